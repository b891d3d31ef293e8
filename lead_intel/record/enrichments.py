"""Rows of `enrichments`: what each enrichment vendor last said about a lead. Answers only, SQL only.

What a vendor failed to say is in `vendor_calls`, and labels the rows of the upload's frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql


@dataclass(frozen=True, slots=True)
class EnrichmentRow:
    """One answer about one lead. `fields` is JSON text; `answered_at` None means now."""

    lead_id: str
    outcome: str
    fields: str
    call_id: int | None
    answered_at: datetime | None = None


def store(connection: psycopg.Connection, vendor: str, rows: Sequence[EnrichmentRow]) -> None:
    """Insert or replace answers of `vendor`; an older answer never replaces a newer one."""
    ordered = sorted(rows, key=lambda row: row.lead_id)
    connection.execute(
        "insert into lead_intel.enrichments as kept (lead_id, vendor, outcome, fields, call_id, answered_at) "
        "select lead_id, %(vendor)s, outcome, fields::jsonb, call_id, coalesce(answered_at, now()) "
        "from unnest(%(leads)s::uuid[], %(outcomes)s::text[], %(fields)s::text[], %(calls)s::bigint[], "
        "%(times)s::timestamptz[]) as answer (lead_id, outcome, fields, call_id, answered_at) "
        "on conflict (lead_id, vendor) do update set outcome = excluded.outcome, fields = excluded.fields, "
        "call_id = excluded.call_id, answered_at = excluded.answered_at "
        "where kept.answered_at < excluded.answered_at",
        {
            "vendor": vendor,
            "leads": [row.lead_id for row in ordered],
            "outcomes": [row.outcome for row in ordered],
            "fields": [row.fields for row in ordered],
            "calls": [row.call_id for row in ordered],
            "times": [row.answered_at for row in ordered],
        },
    )


def answer_times(connection: psycopg.Connection, vendor: str, lead_ids: Sequence[str]) -> dict[str, datetime]:
    """When `vendor` last answered about each of `lead_ids`, where it did: as its call has it, bought now or earlier."""
    rows = connection.execute(
        "select lead_id::text, coalesce(call.answered_at, kept.answered_at) from lead_intel.enrichments kept "
        "left join lead_intel.vendor_calls call using (call_id) "
        "where kept.vendor = %s and lead_id = any(%s::uuid[])",
        (vendor, list(lead_ids)),
    ).fetchall()
    return {str(lead_id): answered_at for lead_id, answered_at in rows}


def found_rate(connection: psycopg.Connection, vendor: str, needed: Mapping[str, Sequence[str]]) -> float | None:
    """The share of `vendor`'s answers that have every field of `needed` with a value that counts (no list: any).

    None when it has answered nothing yet.
    """
    conditions = [
        sql.SQL("fields->>{} = any({})").format(sql.Literal(name), sql.Literal(list(counting)))
        if counting
        else sql.SQL("coalesce(fields->>{}, '') <> ''").format(sql.Literal(name))
        for name, counting in needed.items()
    ]
    row = connection.execute(
        sql.SQL("select avg(({})::int)::float8 from lead_intel.enrichments where vendor = {}").format(
            sql.SQL(" and ").join(conditions), sql.Literal(vendor)
        )
    ).fetchone()
    return None if row is None or row[0] is None else float(row[0])
