"""The contract: the columns at every stage's door, one Pandera model a door.

Frames are narrow and keyed by `lead_id`; each stage emits only what it adds. Every text column is Arrow-backed
`str`; a phone is its E.164 digits as int64. Models are checked once at the door, vectorised (`checked`).
"""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series

from lead_intel.errors import LeadIntelError

LINE_TYPES = (
    "mobile", "landline", "fixedVoip", "nonFixedVoip", "tollFree", "premium",
    "sharedCost", "personal", "uan", "voicemail", "pager", "unknown",
)  # fmt: skip
"""Twilio Lookup v2 `line_type_intelligence.type`, exactly."""

REQUIRED_COLUMNS = ("phone", "email", "consent_source")
"""Headers that a list must have after mapping."""

CONSENT_COLUMNS = (
    "consent_source", "consent_at", "consent_url", "consent_text", "consent_ip", "consent_seller",
    "consent_channel", "consent_purpose", "certificate_type", "certificate_url",
)  # fmt: skip
"""Evidence of consent: what 16 CFR 310.5(a)(8) asks to keep, plus certificates. Blank text = not given."""

PERSON_COLUMNS = ("first_name", "last_name", "city", "state", "postal_code")
"""Further columns that later stages understand. Everything else is kept as attributes."""


ENRICHMENT_FIELDS = {
    "email_status": "text",
    "activity_score": "number",
    "litigator_risk": "flag",
    "job_title": "text",
    "company": "text",
    "seniority": "text",
    "match_likelihood": "number",
    "email_sub_status": "kept",
    "line_type": "kept",
}
"""Every field that an enrichment vendor may answer -> its kind. `kept`: with the answers, not in `EnrichedLeads`."""


class RawUpload(pa.DataFrameModel):
    """An upload as read: `file_no`, `line` and every column of the file as text, header names as given."""

    file_no: Series[int] = pa.Field(ge=1)
    line: Series[int] = pa.Field(ge=1)

    class Config:
        strict = False


class ValidLeads(pa.DataFrameModel):
    """Accepted leads, one row a lead (the first occurrence). `attributes` is a JSON object of the rest."""

    lead_id: Series[str] = pa.Field(unique=True, str_length=36)
    phone: Series[int] = pa.Field(ge=10**6, lt=10**15)
    region: Series[str] = pa.Field(description="ISO-2 of the number's country, or 001")
    email: Series[str] = pa.Field(description="normalised; blank when the list gave none")
    first_name: Series[str]
    last_name: Series[str]
    city: Series[str]
    state: Series[str]
    postal_code: Series[str]
    consent_source: Series[str] = pa.Field(str_length={"min_value": 1})
    consent_at: Series[str] = pa.Field(description="as given; judged by the DNC stage")
    consent_url: Series[str]
    consent_text: Series[str]
    consent_ip: Series[str]
    consent_seller: Series[str]
    consent_channel: Series[str]
    consent_purpose: Series[str]
    certificate_type: Series[str]
    certificate_url: Series[str]
    attributes: Series[str]
    file_no: Series[int] = pa.Field(ge=1)
    line: Series[int] = pa.Field(ge=1)
    shared_phone: Series[bool]
    email_flags: Series[str] = pa.Field(description="`|`-joined: role, disposable, typo")

    class Config:
        strict = True


class QuarantinedRows(pa.DataFrameModel):
    """Rows that were not accepted: `codes` is `|`-joined, `original` the row as a JSON object."""

    file_no: Series[int] = pa.Field(ge=1)
    line: Series[int] = pa.Field(ge=1)
    codes: Series[str] = pa.Field(str_length={"min_value": 1})
    original: Series[str]

    class Config:
        strict = True


class DuplicateRows(pa.DataFrameModel):
    """Repeats inside one upload: the row and the accepted lead that it repeats, with its consent evidence."""

    file_no: Series[int] = pa.Field(ge=1)
    line: Series[int] = pa.Field(ge=1)
    lead_id: Series[str]
    consent: Series[str]
    attributes: Series[str]

    class Config:
        strict = True


class PhoneLookups(pa.DataFrameModel):
    """One row per distinct phone. `line_type` and `carrier_name` are `unknown` where the answer has none."""

    phone: Series[int] = pa.Field(unique=True)
    outcome: Series[str]
    valid: Series[bool]
    line_type: Series[str] = pa.Field(isin=LINE_TYPES)
    carrier_name: Series[str] = pa.Field(str_length={"min_value": 1})
    error_code: Series[int] = pa.Field(description="package error, 0 when none")

    class Config:
        strict = True


class CarrierBreakout(pa.DataFrameModel):
    """Carrier x line type: distinct numbers and their share of all (0 to 1)."""

    carrier: Series[str]
    line_type: Series[str] = pa.Field(isin=LINE_TYPES)
    numbers: Series[int] = pa.Field(gt=0)
    share: Series[float] = pa.Field(ge=0, le=1)

    class Config:
        strict = True


class CarrierCells(pa.DataFrameModel):
    """One row per day of the answer (blank: none), place, line type, brand and carrier that occurs in an upload."""

    answered_on: Series[str]
    place: Series[str] = pa.Field(str_length={"min_value": 1}, description="US-NY, CA-ON, JM, abroad or unknown")
    line_type: Series[str] = pa.Field(isin=LINE_TYPES)
    brand: Series[str] = pa.Field(str_length={"min_value": 1})
    carrier: Series[str] = pa.Field(str_length={"min_value": 1})
    numbers: Series[int] = pa.Field(gt=0)

    class Config:
        strict = True
        unique = ("answered_on", "place", "line_type", "brand", "carrier")


class DncVerdicts(pa.DataFrameModel):
    """One row per accepted lead. `reasons` is `|`-joined, all kept; `send` may carry informative ones."""

    lead_id: Series[str] = pa.Field(unique=True)
    verdict: Series[str] = pa.Field(isin=("send", "hold", "block"))
    reasons: Series[str]
    fresh_until: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"}, coerce=True)

    class Config:
        strict = True


class LeadSample(pa.DataFrameModel):
    """The chosen sample: a prefix of each stratum's keyed order, and who was drawn earlier: 10 % lies inside 25 %."""

    lead_id: Series[str] = pa.Field(unique=True)
    stratum: Series[str]
    position: Series[int] = pa.Field(ge=1)

    class Config:
        strict = True


class VendorAnswers(pa.DataFrameModel):
    """One enrichment vendor's answers for the sample. `fields` is a JSON object in our own words."""

    lead_id: Series[str] = pa.Field(unique=True)
    outcome: Series[str]
    fields: Series[str]
    answered_at: Series[pd.DatetimeTZDtype] = pa.Field(
        dtype_kwargs={"unit": "us", "tz": "UTC"}, nullable=True, coerce=True, description="missing without an answer"
    )

    class Config:
        strict = True


class EnrichedLeads(pa.DataFrameModel):
    """Sampled leads with merged fields; `provenance` is a JSON object field -> vendor."""

    lead_id: Series[str] = pa.Field(unique=True)
    email_status: Series[str] = pa.Field(description="valid, invalid, catch-all, ..., or blank")
    activity_score: Series[float] = pa.Field(nullable=True, description="0 to 100 from the phone vendor")
    litigator_risk: Series[pd.BooleanDtype] = pa.Field(nullable=True, description="missing when nobody said")
    job_title: Series[str]
    company: Series[str]
    seniority: Series[str]
    match_likelihood: Series[float] = pa.Field(nullable=True, description="0 to 10 from the person vendor")
    provenance: Series[str]
    outcomes: Series[str] = pa.Field(description="JSON object vendor -> outcome")

    class Config:
        strict = True


class PersonaMembers(pa.DataFrameModel):
    """Who belongs to which persona. `traits` is the JSON object to send, `version` its digest."""

    lead_id: Series[str]
    persona: Series[str]
    score: Series[float]
    score_parts: Series[str]
    traits: Series[str]
    version: Series[str]

    class Config:
        strict = True


class ActivationPlan(pa.DataFrameModel):
    """The difference to push: one row per message. `payload` is the identify call as JSON."""

    message_id: Series[str] = pa.Field(unique=True, str_length={"max_value": 100})
    lead_id: Series[str]
    persona: Series[str]
    action: Series[str] = pa.Field(isin=("add", "change", "remove"))
    version: Series[str]
    payload: Series[str]

    class Config:
        strict = True


class ActivationReceipts(pa.DataFrameModel):
    """What became of every message of the plan."""

    message_id: Series[str] = pa.Field(unique=True)
    lead_id: Series[str]
    persona: Series[str]
    action: Series[str]
    state: Series[str] = pa.Field(isin=("sent", "failed", "pending", "withheld"))
    reason: Series[str]

    class Config:
        strict = True


class ContractBroken(LeadIntelError):
    """A frame of ours broke its own contract: a defect, never a person's fault."""


def checked(frame: pd.DataFrame, model: type[pa.DataFrameModel]) -> pd.DataFrame:
    """Return `frame` as `model` wants it, or raise ContractBroken naming columns and rules (never cell values)."""
    try:
        return model.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases[["column", "check"]].astype(str).drop_duplicates()
        rules = "; ".join(f"{row.column}: {row.check}" for row in cases.itertuples())
        raise ContractBroken("contract_broken", f"{model.__name__}: {rules}.") from None
