"""Rows of `enrichments`: what each enrichment vendor last said about a lead. Answers only, SQL only.

What a vendor failed to say is in `vendor_calls`, and labels the rows of the upload's frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg


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
