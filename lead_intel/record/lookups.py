"""Rows of `phone_lookups` (the cache of Lookup answers, by number and package). SQL only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa

from lead_intel.record.copying import copy_out

_BLOCK = 100_000

_COLUMNS: dict[str, pa.DataType] = {
    "phone": pa.int64(),
    "outcome": pa.string(),
    "valid": pa.bool_(),
    "line_type": pa.string(),
    "carrier_name": pa.string(),
    "error_code": pa.int64(),
}


@dataclass(frozen=True, slots=True)
class LookupRow:
    """One answer about one number. Texts are blank where the answer has none; `error_code` is 0 when none."""

    phone: int
    outcome: str
    valid: bool
    line_type: str
    carrier_name: str
    mobile_country_code: str
    mobile_network_code: str
    country_code: str
    error_code: int
    call_id: int | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What the answer says beside the columns: the fields of a further package, why a number is invalid."""


def fresh(connection: psycopg.Connection, phones: Sequence[int], package: str, cache_days: int) -> pd.DataFrame:
    """Answers not older than `cache_days` for those of `phones` that have one.

    Columns: phone, outcome, valid, line_type, carrier_name, error_code (as in `contract.PhoneLookups`).
    """
    query = (
        "select phone, outcome, coalesce(valid, true), coalesce(nullif(line_type, ''), 'unknown'), "
        "coalesce(nullif(carrier_name, ''), 'unknown'), coalesce(error_code, 0) "
        "from lead_intel.phone_lookups where package = %(package)s and phone = any(%(phones)s) "
        "and answered_at > now() - make_interval(days => %(days)s)"
    )
    parts = [
        copy_out(
            connection,
            query,
            {"package": package, "phones": list(phones[start : start + _BLOCK]), "days": cache_days},
            _COLUMNS,
        )
        for start in range(0, max(len(phones), 1), _BLOCK)
    ]
    return pd.concat(parts, ignore_index=True)


def store(connection: psycopg.Connection, package: str, rows: Sequence[LookupRow]) -> None:
    """Insert or replace answers, in the order of their numbers (two writers then cannot wait for each other).

    An answer is as old as the call that gave it: one found again in the call ledger does not become younger.
    """
    ordered = sorted(rows, key=lambda row: row.phone)
    connection.execute(
        "insert into lead_intel.phone_lookups as kept (phone, package, outcome, valid, line_type, carrier_name, "
        "mobile_country_code, mobile_network_code, country_code, error_code, fields, call_id, answered_at) "
        "select phone, %(package)s, outcome, valid, nullif(line_type, ''), nullif(carrier_name, ''), nullif(mcc, ''), "
        "nullif(mnc, ''), nullif(country, ''), nullif(error_code, 0), fields::jsonb, call_id, coalesce("
        "(select call.answered_at from lead_intel.vendor_calls call where call.call_id = answer.call_id), now()) "
        "from unnest(%(phones)s::bigint[], %(outcomes)s::text[], %(valid)s::boolean[], %(types)s::text[], "
        "%(carriers)s::text[], %(mcc)s::text[], %(mnc)s::text[], %(countries)s::text[], %(codes)s::integer[], "
        "%(fields)s::text[], %(calls)s::bigint[]) as answer (phone, outcome, valid, line_type, carrier_name, mcc, "
        "mnc, country, error_code, fields, call_id) "
        "on conflict (phone, package) do update set outcome = excluded.outcome, valid = excluded.valid, "
        "line_type = excluded.line_type, carrier_name = excluded.carrier_name, "
        "mobile_country_code = excluded.mobile_country_code, mobile_network_code = excluded.mobile_network_code, "
        "country_code = excluded.country_code, error_code = excluded.error_code, fields = excluded.fields, "
        "call_id = excluded.call_id, answered_at = excluded.answered_at where kept.answered_at <= excluded.answered_at",
        {
            "package": package,
            "phones": [row.phone for row in ordered],
            "outcomes": [row.outcome for row in ordered],
            "valid": [row.valid for row in ordered],
            "types": [row.line_type for row in ordered],
            "carriers": [row.carrier_name for row in ordered],
            "mcc": [row.mobile_country_code for row in ordered],
            "mnc": [row.mobile_network_code for row in ordered],
            "countries": [row.country_code for row in ordered],
            "codes": [row.error_code for row in ordered],
            "fields": [json.dumps(dict(row.fields)) for row in ordered],
            "calls": [row.call_id for row in ordered],
        },
    )
