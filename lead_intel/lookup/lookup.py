"""Lookup of distinct phones: from the cache while fresh, from Twilio for the rest.

Knows no Dagster. How a paid call is made, recorded and paid is the room `calls`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import psycopg

from lead_intel.calls.paid import answer_all
from lead_intel.calls.ports import Answered, CallSummary
from lead_intel.policy import Policy
from lead_intel.record import lookups
from lead_intel.record.lookups import LookupRow
from lead_intel.settings import Settings
from lead_intel.vendors.twilio_lookup import UNKNOWN, TwilioLookup


@dataclass(frozen=True, slots=True)
class LookedUp:
    """`frame` is as in `contract.PhoneLookups`; `calls` is None when the cache knew every number."""

    frame: pd.DataFrame
    cached: int
    calls: CallSummary | None


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
    """Line type and carrier of every distinct number of `phones` (E.164 digits).

    `before_paying` is asked once, only when something is to be paid; it raises to keep us from it. A number that
    got no answer has its outcome (`timeout`, ...) and is `unknown`; it is asked again by the next run.

    Raises:
        Paused, Stopped, TransientError: as `calls.paid.answer_all`; answers so far are stored.
    """
    vendor = TwilioLookup(settings)
    limits = policy.limits_of(vendor.name)
    distinct = sorted(phones.unique().tolist())
    known = lookups.fresh(connection, distinct, vendor.package, limits.cache_days)
    rest = sorted(set(distinct).difference(known["phone"].tolist()))
    if not rest:
        return LookedUp(known.sort_values("phone", ignore_index=True), len(known), None)
    rows: list[LookupRow] = []

    def store(within: psycopg.Connection, batch: Sequence[Answered]) -> None:
        labelled = [_row(answered) for answered in batch]
        answers = [row for row, answered in zip(labelled, batch, strict=True) if answered.verdict.outcome.is_answer]
        lookups.store(within, vendor.package, answers)
        rows.extend(labelled)

    before_paying()
    calls = answer_all(
        [vendor.ask_about(phone) for phone in rest],
        vendor,
        limits,
        settings=settings,
        upload=upload,
        supplier=supplier,
        stop=stop,
        store=store,
        progress=lambda done, _: progress(len(known) + done, len(distinct)),
    )
    frame = pd.concat([known, _frame(rows)], ignore_index=True) if len(known) else _frame(rows)
    return LookedUp(frame.sort_values("phone", ignore_index=True), len(known), calls)


def _row(answered: Answered) -> LookupRow:
    """A number without an answer is unknown, and `valid` as far as anybody said."""
    fields = answered.verdict.fields
    return LookupRow(
        phone=answered.ask.payload,
        outcome=answered.verdict.outcome.value,
        valid=fields.get("valid", True),
        line_type=fields.get("line_type", UNKNOWN),
        carrier_name=fields.get("carrier_name", UNKNOWN),
        mobile_country_code=fields.get("mobile_country_code", ""),
        mobile_network_code=fields.get("mobile_network_code", ""),
        country_code=fields.get("country_code", ""),
        error_code=fields.get("error_code", 0),
        call_id=answered.call_id,
    )


def _frame(rows: Sequence[LookupRow]) -> pd.DataFrame:
    types = {
        "phone": "int64",
        "outcome": "str",
        "valid": "bool",
        "line_type": "str",
        "carrier_name": "str",
        "error_code": "int64",
    }
    return pd.DataFrame({name: pd.Series([getattr(row, name) for row in rows], dtype=t) for name, t in types.items()})
