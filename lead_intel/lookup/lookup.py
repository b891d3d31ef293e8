"""Lookup of distinct phones: from the cache while fresh, from Twilio for the rest; line types, then further packages.

Knows no Dagster. How a paid call is made, recorded and paid is the room `calls`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
import psycopg

from lead_intel.calls.paid import answer_all
from lead_intel.calls.ports import Answered, CallSummary
from lead_intel.errors import Paused
from lead_intel.policy import Policy, VendorLimits
from lead_intel.record import lookups
from lead_intel.record.lookups import LookupRow
from lead_intel.record.vendor_calls import ANSWERS
from lead_intel.settings import Settings
from lead_intel.vendors.twilio_lookup import LINE_TYPE, UNKNOWN, TwilioLookup, worth_a_package

_COLUMNS = frozenset(
    {"valid", "line_type", "carrier_name", "mobile_country_code", "mobile_network_code", "country_code", "error_code"}
)


@dataclass(frozen=True, slots=True)
class PackageAnswers:
    """One package's answers about one list: `frame` as in `contract.PhoneLookups`; `calls` None: nobody was asked."""

    frame: pd.DataFrame
    cached: int
    calls: CallSummary | None


@dataclass(frozen=True, slots=True)
class LookedUp(PackageAnswers):
    """The line types, and under `further` what policy has asked beside them."""

    further: Mapping[str, PackageAnswers] = field(default_factory=dict)

    @property
    def unanswered(self) -> int:
        """Numbers whose line type nobody told."""
        return int((~self.frame["outcome"].isin(ANSWERS)).sum())

    def refuse_unanswered(self, share: float, least: int) -> None:
        """Go on only if Twilio answered: a list that is held for its silence is not looked up.

        Raises:
            Paused: `lookup`, when more than `share` of the numbers, and more than `least`, have no answer.
        """
        if self.unanswered > max(share * len(self.frame), least):
            raise Paused(
                "lookup",
                f"Twilio Lookup gave no answer about {self.unanswered:,} of {len(self.frame):,} numbers.",
                "They are asked about by themselves while `lead-intel up` runs; or wait some 20 s for late answers, "
                "then `lead-intel resume`. What is answered is not paid again.",
            )


def look_up(
    phones: pd.Series[int],
    connection: psycopg.Connection,
    *,
    settings: Settings,
    policy: Policy,
    upload: str,
    supplier: str,
    stop: threading.Event,
    progress: Callable[[int, int], None],
    before_paying: Callable[[], None],
) -> LookedUp:
    """Line type and carrier of every distinct number of `phones` (E.164 digits); then the packages of lookup.yml.

    A further package is asked about the line types that policy names for it, after every line type is stored, so
    that its failure costs no other answer. `before_paying` is asked once, only when something is to be paid; it
    raises to keep us from it. A number that got no answer has its outcome (`timeout`, ...) and is `unknown`; it is
    asked again by the next run.

    Raises:
        Paused, Stopped, TransientError: as `calls.paid.answer_all`; answers so far are stored.
    """
    allowed = False

    def answers(package: str, numbers: Sequence[int], limits: VendorLimits) -> PackageAnswers:
        nonlocal allowed
        known = lookups.fresh(connection, numbers, package, limits.cache_days)
        rest = sorted(set(numbers).difference(known["phone"].tolist()))
        if not rest:
            return PackageAnswers(known.sort_values("phone", ignore_index=True), len(known), None)
        if not allowed:
            before_paying()
            allowed = True
        vendor = TwilioLookup(settings, package, policy.lookup.package_errors_billed)
        rows: list[LookupRow] = []

        def store(within: psycopg.Connection, batch: Sequence[Answered]) -> None:
            labelled = [_row(answered) for answered in batch]
            kept = [row for row, answered in zip(labelled, batch, strict=True) if answered.verdict.outcome.is_answer]
            lookups.store(within, package, kept)
            rows.extend(labelled)

        calls = answer_all(
            [vendor.ask_about(phone) for phone in rest],
            vendor,
            limits,
            settings=settings,
            upload=upload,
            supplier=supplier,
            stop=stop,
            store=store,
            progress=lambda done, _: progress(len(known) + done, len(numbers)),
        )
        frame = pd.concat([known, _frame(rows)], ignore_index=True) if len(known) else _frame(rows)
        return PackageAnswers(frame.sort_values("phone", ignore_index=True), len(known), calls)

    limits = policy.limits_of(TwilioLookup.name)
    lines = answers(LINE_TYPE, sorted(phones.unique().tolist()), limits)
    further: dict[str, PackageAnswers] = {}
    for package, wanted in policy.lookup.further_packages.items():
        price = {"price_usd": wanted.price_usd, "cache_days": wanted.cache_days}
        about = worth_a_package(lines.frame, wanted.line_types)
        further[package] = answers(package, about, limits.model_copy(update=price))
    return LookedUp(lines.frame, lines.cached, lines.calls, further)


def _row(answered: Answered) -> LookupRow:
    """A number without an answer is unknown, and `valid` as far as anybody said."""
    fields = answered.verdict.fields
    return LookupRow(
        phone=answered.ask.payload,
        outcome=answered.verdict.outcome.value,
        valid=fields.get("valid", True),
        line_type=fields.get("line_type", ""),
        carrier_name=fields.get("carrier_name", ""),
        mobile_country_code=fields.get("mobile_country_code", ""),
        mobile_network_code=fields.get("mobile_network_code", ""),
        country_code=fields.get("country_code", ""),
        error_code=fields.get("error_code", 0),
        call_id=answered.call_id,
        fields={name: value for name, value in fields.items() if name not in _COLUMNS},
    )


def _frame(rows: Sequence[LookupRow]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "phone": pd.Series([row.phone for row in rows], dtype="int64"),
            "outcome": pd.Series([row.outcome for row in rows], dtype="str"),
            "valid": pd.Series([row.valid for row in rows], dtype="bool"),
            "line_type": pd.Series([row.line_type or UNKNOWN for row in rows], dtype="str"),
            "carrier_name": pd.Series([row.carrier_name or UNKNOWN for row in rows], dtype="str"),
            "error_code": pd.Series([row.error_code for row in rows], dtype="int64"),
        }
    )
