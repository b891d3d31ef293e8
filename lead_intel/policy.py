"""What a business person may change: `data/policy/*.yml`, read into typed, dated, frozen models.

The JSON Schemas beside the files are written from these models (`python -m lead_intel.policy`), so editors
complete and check them. Nothing here decides; stages ask.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lead_intel.errors import SetupError, UsageError

Profile = Literal["strict", "lenient"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Dated(_Strict):
    effective: date = Field(description="the day from which this file holds")


class ConsentSource(_Strict):
    """One word that suppliers may write in `consent_source`; a trailing `*` matches any ending."""

    source: str
    channel: str = Field(description="how consent was given: web, phone, paper, event, partner, certificate")
    valid_from: date | None = Field(default=None, description="consent given on this day (UTC) or later")
    valid_until: date | None = Field(default=None, description="consent given on this day (UTC) or earlier")


class SupplierConsent(_Strict):
    """What differs for one supplier."""

    sources: tuple[ConsentSource, ...] = Field(
        default=(), description="words of this supplier; one that everybody may write means here what stands here"
    )
    column_aliases: dict[str, str] = Field(default_factory=dict, description="header -> our column")


class Consent(_Dated):
    """consent.yml: the vocabulary, and the evidence that each profile asks for before a contact."""

    sources: tuple[ConsentSource, ...]
    evidence: dict[Profile, tuple[str, ...]] = Field(description="columns that must be given; `a|b` means one of them")
    max_age_days: dict[Profile, int] = Field(description="consent older than this is held")
    suppliers: dict[str, SupplierConsent] = Field(default_factory=dict)


class Columns(_Dated):
    """columns.yml: other names under which lists carry our columns."""

    aliases: dict[str, tuple[str, ...]]


class VendorLimits(_Strict):
    """How one vendor may be called, and what a call costs."""

    price_usd: Decimal = Field(ge=0)
    deadline_seconds: float = Field(gt=0, le=30)
    per_second: float = Field(gt=0)
    concurrency: int = Field(gt=0, le=1000)
    attempts: int = Field(ge=1, le=6, description="calls for one answer, retries of safe failures included")
    cache_days: int = Field(ge=0, description="an answer is reused for so long")
    package_days: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="package -> the same, where a package's answers age otherwise"
    )
    patience_seconds: float = Field(
        default=0, ge=0, le=600, description="how long past the deadline a rate-limited question may wait its turn"
    )
    late_seconds: float = Field(
        default=0, ge=0, le=60, description="how long past the deadline a paid answer is listened for; nobody waits"
    )

    def of_package(self, package: str) -> VendorLimits:
        """These limits with the days of `package`."""
        return self.model_copy(update={"cache_days": self.package_days.get(package, self.cache_days)})


class Terms(_Strict):
    """What a vendor's terms allow."""

    keep_days: int | None = Field(default=None, ge=0, description="an answer may be kept so long; blank: no figure")
    note: str = Field(min_length=1)
    source: str = Field(min_length=1, description="where that is written, and when it was read")


class FieldGroup(_Strict):
    """Vendors that answer the same fields."""

    mode: Literal["parallel", "waterfall"] = Field(
        description="all at once, or each about those only that the vendors before it did not find"
    )
    vendors: tuple[str, ...] = Field(min_length=1, description="in the order in which a waterfall asks them")
    found: dict[str, tuple[str, ...]] = Field(
        min_length=1, description="field -> the values that count as found; an empty list: any value"
    )


PROMISED_SECONDS = 5.0
"""No Lookup and no enrichment waits longer for an answer, whatever the vendor does."""

LOOKUP_VENDOR = "twilio_lookup"


class Vendors(_Dated):
    """vendors.yml: price, pace, deadline, cache and terms of every paid vendor; which of them enrich, and how."""

    vendors: dict[str, VendorLimits]
    terms: dict[str, Terms] = Field(default_factory=dict, description="what each vendor's terms allow")
    enrichment: tuple[str, ...] = Field(description="the enrichment vendors that are asked, in order of trust")
    groups: dict[str, FieldGroup] = Field(description="which vendors answer the same fields; a vendor is in one group")

    @property
    def found(self) -> dict[str, tuple[str, ...]]:
        """Field -> the values that count as found, of all groups."""
        return {field: values for group in self.groups.values() for field, values in group.found.items()}

    @model_validator(mode="after")
    def _vendors_are_complete(self) -> Self:
        grouped = [vendor for group in self.groups.values() for vendor in group.vendors]
        for vendor in (*self.enrichment, *grouped, *self.terms):
            if vendor not in self.vendors:
                msg = f"{vendor} has no entry in vendors"
                raise ValueError(msg)
        for vendor in self.enrichment:
            if grouped.count(vendor) != 1:
                msg = f"{vendor} must stand in exactly one of groups"
                raise ValueError(msg)
        for vendor in (LOOKUP_VENDOR, *grouped):
            if vendor in self.vendors and self.vendors[vendor].deadline_seconds > PROMISED_SECONDS:
                msg = f"{vendor}: deadline_seconds is more than the {PROMISED_SECONDS} that Lookup and enrichment keep"
                raise ValueError(msg)
        for vendor in grouped:
            if self.vendors[vendor].patience_seconds > 0:
                msg = f"{vendor}: patience_seconds must be 0: no enrichment waits for a vendor that refuses"
                raise ValueError(msg)
        for vendor, terms in self.terms.items():
            limits = self.vendors[vendor]
            longest = max(limits.cache_days, *limits.package_days.values(), 0)
            if terms.keep_days is not None and longest > terms.keep_days:
                msg = f"{vendor}: an answer is reused for longer than its terms' keep_days"
                raise ValueError(msg)
        return self


LineType = Literal[
    "mobile", "landline", "fixedVoip", "nonFixedVoip", "tollFree", "premium",
    "sharedCost", "personal", "uan", "voicemail", "pager", "unknown",
]  # fmt: skip


class LookupPackage(_Strict):
    """A package of Twilio Lookup beside the line type: its price, its age, and whom it is asked about."""

    price_usd: Decimal = Field(ge=0)
    cache_days: int = Field(ge=0)
    line_types: tuple[LineType, ...] = Field(min_length=1, description="asked about numbers of these line types only")


class Lookup(_Dated):
    """lookup.yml: what Twilio Lookup is asked beside the line type, whose price and age stand in vendors.yml."""

    package_errors_billed: Literal["no", "unknown", "yes"] = Field(
        description="whether an answer that holds an error code instead of data is paid; unknown counts as paid"
    )
    unanswered_share: float = Field(
        ge=0, lt=1, description="more numbers without an answer than this, and the upload waits instead of going on"
    )
    unanswered_least: int = Field(ge=0, description="so many may lack an answer in a list of any size")
    further_packages: dict[Literal["caller_name", "line_status"], LookupPackage] = Field(
        description="asked in this order after the line type; none by default, each costs its price per number"
    )


class CarrierBrand(_Strict):
    """One brand: the networks that are its own, and the words by which carriers that belong to it are named."""

    networks: tuple[str, ...] = Field(default=(), description="MCC and MNC together, three digits each")
    names: tuple[str, ...] = Field(
        default=(), description="whole words at which a carrier's name (in any case) is recognised"
    )


class Carriers(_Dated):
    """carriers.yml: which brand a carrier belongs to. The network decides; without one, the first name that fits."""

    brands: dict[Annotated[str, Field(max_length=24)], CarrierBrand]

    @model_validator(mode="after")
    def _a_network_has_one_brand(self) -> Self:
        networks = [network for brand in self.brands.values() for network in brand.networks]
        twice = sorted({network for network in networks if networks.count(network) > 1})
        wrong = [network for network in networks if not (len(network) == 6 and network.isdecimal())]
        if twice or wrong:
            msg = f"a network is six digits and has one brand: {', '.join(twice + wrong)}"
            raise ValueError(msg)
        return self


class Budgets(_Dated):
    """budgets.yml: caps in US dollars; reaching one parks the upload."""

    per_day: Decimal = Field(ge=0)
    per_upload: Decimal = Field(ge=0, description="a month's cap for one upload, its re-syncs included")
    per_vendor: dict[str, Decimal] = Field(default_factory=dict, description="a month's cap for one vendor")


class Dnc(_Dated):
    """dnc.yml: freshness, the vendor's codes, and what a line type means for a contact."""

    fresh_days: int = Field(ge=1, le=31, description="16 CFR 310.4(b)(3)(iv): 31 days, from the version's date")
    vendor_answer_days: int = Field(ge=1, description="an answer is bought again after so many days")
    unanswered_share: float = Field(
        ge=0, lt=1, description="more numbers without an answer than this, and the upload waits instead of going on"
    )
    vendor_codes: dict[str, Literal["send", "hold", "block"]] = Field(description="unknown codes block")
    line_types: dict[str, Literal["send", "hold", "block"]]
    regions: tuple[str, ...] = Field(description="ISO-2 regions that may be contacted; others hold")


class Sampling(_Dated):
    """sampling.yml: how the sample is drawn."""

    key_version: str
    minimum_per_stratum: int = Field(ge=0)


class Persona(_Strict):
    """One audience: who belongs to it, what is sent."""

    description: str
    audience_key: str = Field(pattern=r"^[a-z][a-z0-9_]{2,60}$", description="the boolean trait in Segment")
    where: str = Field(description="a condition over the lead's fields (see docs/personas.md)")
    score: dict[str, str] = Field(description="part -> expression; the score is their sum")
    minimum_score: float = 0
    maximum_size: int | None = Field(default=None, ge=1)
    traits: tuple[str, ...]
    template: str | None = Field(default=None, description="the Engage template or journey that it feeds")


class Personas(_Dated):
    """personas.yml."""

    personas: dict[str, Persona]


class Activation(_Dated):
    """activation.yml: who approves, and how fast Segment is fed."""

    second_person: bool = Field(description="true: whoever chose the sample may not approve")
    batch_events: int = Field(ge=1, le=2500)
    batch_bytes: int = Field(ge=1000, le=500_000)
    event_bytes: int = Field(ge=1000, le=32_000)
    events_per_second: int = Field(ge=1, le=1000)
    attempts: int = Field(ge=1, le=10)
    resync_days: int = Field(ge=1, description="re-synced for so long, and while anybody is in an audience")


class Guardrails(_Dated):
    """guardrails.yml: thresholds, and which unverifiable guardrails are accepted where."""

    accept_unverifiable: dict[Literal["embedded", "production"], dict[int, str]] = Field(
        description="guardrail number -> why that is acceptable there"
    )
    enrichment_sla_seconds: float
    unknown_carrier_share: float = Field(ge=0, le=1)
    replication_lag_seconds: int


class StageTarget(_Strict):
    """The target of one stage."""

    target_seconds: float = Field(gt=0)
    rows: int = Field(gt=0, description="for a list of this many rows")


class Sla(_Dated):
    """sla.yml: the target per stage; actual times are stored beside each upload."""

    stages: dict[Literal["validation", "lookup", "dnc", "enrichment", "activation"], StageTarget]


class PostingLimits(_Dated):
    """ingestion.yml: how leads may be posted, and when a supplier's open upload closes."""

    close_rows: int = Field(ge=1, le=1_000_000, description="an upload holds at most so many posted rows")
    close_minutes: float = Field(gt=0, le=1440, description="after its first row an upload is open for so long")
    close_bytes: int = Field(ge=1_000, le=1_000_000_000, description="and for at most so many bytes of cells")
    body_bytes: int = Field(ge=1_000, le=100_000_000)
    body_seconds: float = Field(gt=0, le=600, description="a body that takes longer to arrive is refused")
    rows_per_request: int = Field(ge=1, le=100_000)
    row_characters: int = Field(ge=100, le=100_000)
    fields_per_row: int = Field(ge=3, le=1_000)
    nested_depth: int = Field(ge=1, le=64, description="of objects and arrays inside a field")
    columns_per_upload: int = Field(ge=3, le=1_000, description="distinct field names of all rows of an upload")
    requests_per_second: float = Field(gt=0, description="of one key, beyond the burst")
    burst: int = Field(ge=1)
    concurrent_requests: int = Field(ge=1, le=1_000, description="of one key at the same moment")
    key_days: int = Field(ge=1, le=3650, description="a new key is valid for so long unless told otherwise")
    idempotency_days: int = Field(ge=1, le=365, description="a retry under its Idempotency-Key is known for so long")
    suspended: tuple[str, ...] = Field(default=(), description="suppliers whose posts are refused for now")

    @model_validator(mode="after")
    def _a_request_fits_into_an_upload(self) -> Self:
        if self.rows_per_request > self.close_rows or self.body_bytes > self.close_bytes:
            msg = "a request must fit into an upload: rows_per_request <= close_rows, body_bytes <= close_bytes"
            raise ValueError(msg)
        if self.fields_per_row > self.columns_per_upload:
            msg = "a row must fit into an upload: fields_per_row <= columns_per_upload"
            raise ValueError(msg)
        return self


class Policy(_Strict):
    """All policy files together."""

    consent: Consent
    columns: Columns
    vendors: Vendors
    lookup: Lookup
    carriers: Carriers
    budgets: Budgets
    dnc: Dnc
    sampling: Sampling
    personas: Personas
    activation: Activation
    guardrails: Guardrails
    sla: Sla
    ingestion: PostingLimits

    def limits_of(self, vendor: str) -> VendorLimits:
        """Limits of `vendor`, or UsageError when policy does not know it."""
        if vendor not in self.vendors.vendors:
            raise UsageError("vendor_unknown", f"No vendor {vendor!r} in vendors.yml.")
        return self.vendors.vendors[vendor]


def load_policy(folder: Path) -> Policy:
    """Read and check every policy file in `folder`.

    Raises:
        SetupError: naming the file, the place in it and what is wrong.
    """
    values: dict[str, Any] = {}
    for name, model in _files().items():
        path = folder / f"{name}.yml"
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            values[name] = model.model_validate(content)
        except OSError:
            raise SetupError(
                "policy_missing", f"Policy file {path.name} cannot be read.", f"Expected in {folder}."
            ) from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f" line {mark.line + 1}" if mark else ""
            raise SetupError("policy_invalid", f"{path.name}{where} is not YAML.", "Mend it and try again.") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise SetupError(
                "policy_invalid", f"{path.name}: {place}: {first['msg']}.", "Its JSON Schema lies in schema/."
            ) from None
    return Policy(**values)


def _files() -> dict[str, type[BaseModel]]:
    return {
        name: info.annotation
        for name, info in Policy.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
    }


def write_schemas(folder: Path) -> None:
    """Write the JSON Schema of each policy file to `folder`/schema."""
    target = folder / "schema"
    target.mkdir(exist_ok=True)
    for name, model in _files().items():
        text = json.dumps(model.model_json_schema(), indent=2, sort_keys=True)
        (target / f"{name}.schema.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
