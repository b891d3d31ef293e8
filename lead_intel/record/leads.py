"""Rows of `leads`, `upload_leads` and `quarantined_rows`: what intake found, one upload at a time.

SQL only; one upload's rows are replaced in one transaction, so that screening it again changes nothing else. What did
not change is not written again.
"""

from __future__ import annotations

import pandas as pd
import psycopg

from lead_intel.record.copying import copy_in

# Rows of `upload_leads` as they should be.
_FOUND = (
    "select i.file_no, i.line, i.lead_id, i.duplicate, l.first_upload <> %(upload)s as known, "
    "coalesce(i.shared_phone, false) as shared_phone, i.consent, i.attributes "
    "from incoming_leads i join lead_intel.leads l using (lead_id)"
)
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
    copy_in(connection, ["incoming_leads"], occurrences[_OCCURRENCE_COLUMNS])
    connection.execute("analyze incoming_leads")
    # In one order, so that two uploads with the same people cannot wait for each other.
    connection.execute(
        "insert into lead_intel.leads (lead_id, phone, email, first_upload) "
        "select lead_id, phone, nullif(email, ''), %s from incoming_leads where not duplicate order by lead_id "
        "on conflict (lead_id) do nothing",
        (upload,),
    )
    values = {"upload": upload}
    connection.execute(
        "delete from lead_intel.upload_leads kept where upload = %(upload)s and not exists "  # noqa: S608  # ours
        f"(select from ({_FOUND}) found where found.file_no = kept.file_no and found.line = kept.line and "
        "(found.lead_id, found.duplicate, found.known, found.shared_phone, found.consent, found.attributes) = "
        "(kept.lead_id, kept.duplicate, kept.known, kept.shared_phone, kept.consent, kept.attributes))",
        values,
    )
    row = connection.execute(
        "select exists (select from lead_intel.upload_leads where upload = %(upload)s)", values
    ).fetchone()
    # The first time nothing is there to be compared with.
    unless_kept = (
        " where not exists (select from lead_intel.upload_leads kept where kept.upload = %(upload)s "
        "and kept.file_no = found.file_no and kept.line = found.line)"
        if row and row[0]
        else ""
    )
    connection.execute(
        "insert into lead_intel.upload_leads "  # noqa: S608  # our own text
        "(upload, file_no, line, lead_id, duplicate, known, shared_phone, consent, attributes) "
        f"select %(upload)s, found.* from ({_FOUND}) found{unless_kept}",
        values,
    )
    connection.execute("drop table incoming_leads")


def _save_quarantined(connection: psycopg.Connection, upload: str, quarantined: pd.DataFrame) -> None:
    connection.execute(
        "create temporary table incoming_quarantine (file_no integer, line bigint, codes text, original jsonb, "
        "primary key (file_no, line)) on commit drop"
    )
    copy_in(connection, ["incoming_quarantine"], quarantined[["file_no", "line", "codes", "original"]])
    connection.execute(
        "delete from lead_intel.quarantined_rows q where upload = %s and not exists "
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
