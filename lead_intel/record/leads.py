"""Rows of `leads`, `upload_leads`, `quarantined_rows` and `column_mappings`: what intake found, one upload at a time.

SQL only; one upload's rows are replaced in one transaction, so that screening it again changes nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import psycopg
from psycopg.types.json import Jsonb

from lead_intel.record.copying import copy_in

_SLICE = 100_000
_OCCURRENCE_COLUMNS = [
    "file_no", "line", "lead_id", "phone", "email", "duplicate", "shared_phone", "consent", "attributes",
]  # fmt: skip


def save(connection: psycopg.Connection, upload: str, occurrences: pd.DataFrame, quarantined: pd.DataFrame) -> int:
    """Put the upload's rows in the place of its earlier ones; returns how many of its leads other uploads brought.

    Args:
        connection: autocommit; everything happens in one transaction.
        upload: the upload's key.
        occurrences: file_no, line, lead_id, phone, email, duplicate, shared_phone, consent, attributes (the last two
            JSON). phone, email and shared_phone of duplicates may be null.
        quarantined: as in `contract.QuarantinedRows`. Rows that a person released or corrected stay so.
    """
    with connection.transaction():
        _save_occurrences(connection, upload, occurrences)
        _save_quarantined(connection, upload, quarantined)
        row = connection.execute(
            "select count(*) from lead_intel.upload_leads where upload = %s and known and not duplicate", (upload,)
        ).fetchone()
    return int(row[0]) if row else 0


def _save_occurrences(connection: psycopg.Connection, upload: str, occurrences: pd.DataFrame) -> None:
    connection.execute(
        "create temporary table incoming_leads (file_no integer, line bigint, lead_id uuid, phone bigint, email text, "
        "duplicate boolean, shared_phone boolean, consent jsonb, attributes jsonb) on commit drop"
    )
    _copy_in_slices(connection, "incoming_leads", occurrences[_OCCURRENCE_COLUMNS])
    connection.execute("analyze incoming_leads")
    # In one order, so that two uploads with the same people cannot wait for each other.
    connection.execute(
        "insert into lead_intel.leads (lead_id, phone, email, first_upload) "
        "select lead_id, phone, nullif(email, ''), %s from incoming_leads where not duplicate order by lead_id "
        "on conflict (lead_id) do nothing",
        (upload,),
    )
    connection.execute("delete from lead_intel.upload_leads where upload = %s", (upload,))
    connection.execute(
        "insert into lead_intel.upload_leads "
        "(upload, file_no, line, lead_id, duplicate, known, shared_phone, consent, attributes) "
        "select %(upload)s, i.file_no, i.line, i.lead_id, i.duplicate, l.first_upload <> %(upload)s, "
        "coalesce(i.shared_phone, false), i.consent, i.attributes "
        "from incoming_leads i join lead_intel.leads l using (lead_id)",
        {"upload": upload},
    )
    connection.execute("drop table incoming_leads")


def _save_quarantined(connection: psycopg.Connection, upload: str, quarantined: pd.DataFrame) -> None:
    connection.execute(
        "create temporary table incoming_quarantine (file_no integer, line bigint, codes text, original jsonb, "
        "primary key (file_no, line)) on commit drop"
    )
    _copy_in_slices(connection, "incoming_quarantine", quarantined[["file_no", "line", "codes", "original"]])
    connection.execute(
        "delete from lead_intel.quarantined_rows q where upload = %s and state = 'open' and not exists "
        "(select from incoming_quarantine i where i.file_no = q.file_no and i.line = q.line)",
        (upload,),
    )
    connection.execute(
        "insert into lead_intel.quarantined_rows as kept (upload, file_no, line, codes, original) "
        "select %s, file_no, line, string_to_array(codes, '|'), original from incoming_quarantine "
        "on conflict (upload, file_no, line) do update set codes = excluded.codes, original = excluded.original "
        "where (kept.codes, kept.original) is distinct from (excluded.codes, excluded.original)",
        (upload,),
    )
    connection.execute("drop table incoming_quarantine")


def _copy_in_slices(connection: psycopg.Connection, table: str, frame: pd.DataFrame) -> None:
    """COPY in slices: the text of a million rows is never in memory at once."""
    for start in range(0, len(frame), _SLICE):
        copy_in(connection, (table,), frame.iloc[start : start + _SLICE])


def remembered_mapping(connection: psycopg.Connection, supplier: str, header_fingerprint: str) -> dict[str, str]:
    """What a person confirmed for this supplier's layout: header key -> our column; empty when nobody did."""
    row = connection.execute(
        "select mapping from lead_intel.column_mappings "
        "where supplier = %s and header_fingerprint = %s and confirmed_by is not null",
        (supplier, header_fingerprint),
    ).fetchone()
    return dict(row[0]) if row else {}


def remember_mapping(
    connection: psycopg.Connection,
    supplier: str,
    header_fingerprint: str,
    mapping: Mapping[str, str],
    confirmed_by: str | None = None,
) -> None:
    """Remember how a layout was mapped; what a person confirmed is applied again, and only a person replaces it."""
    connection.execute(
        "insert into lead_intel.column_mappings as known (supplier, header_fingerprint, mapping, confirmed_by) "
        "values (%s, %s, %s, %s) on conflict (supplier, header_fingerprint) do update "
        "set mapping = excluded.mapping, confirmed_by = excluded.confirmed_by, updated_at = now() "
        "where excluded.confirmed_by is not null or "
        "(known.confirmed_by is null and known.mapping is distinct from excluded.mapping)",
        (supplier, header_fingerprint, Jsonb(dict(mapping)), confirmed_by),
    )
