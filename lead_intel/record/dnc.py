"""Rows of `dnc_snapshots`, `dnc_answers` and `dnc_verdicts`: lists imported, vendor answers, what was decided.

Keys are E.164 digits and lead ids; nothing here is logged. Whoever decides is `lead_intel.dnc`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
from psycopg.rows import class_row

from lead_intel.record.copying import copy_in, copy_out

SYNTHETIC = "synthetic"
"""Source of the list that ships: it serves until a real one is imported, whatever its date."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One imported list. `path` is the index below LEAD_INTEL_HOME."""

    digest: str
    source: str
    jurisdiction: str
    version_date: date
    numbers: int
    area_codes: list[int]
    path: str
    imported_at: datetime


_SNAPSHOT = "digest, source, jurisdiction, version_date, numbers, area_codes, path, imported_at"


def today(connection: psycopg.Connection) -> date:
    """The database's calendar day, UTC."""
    row: Any = connection.execute("select (now() at time zone 'utc')::date").fetchone()
    return row[0]  # type: ignore[no-any-return]


def now(connection: psycopg.Connection) -> datetime:
    """The database's clock."""
    row: Any = connection.execute("select clock_timestamp()").fetchone()
    return row[0]  # type: ignore[no-any-return]


def newest_snapshot(connection: psycopg.Connection, jurisdiction: str, source: str | None = None) -> Snapshot | None:
    """The list in use: of the latest version date; the synthetic one only where there is no other.

    With `source`, the latest of that source.
    """
    with connection.cursor(row_factory=class_row(Snapshot)) as cursor:
        return cursor.execute(
            f"select {_SNAPSHOT} from lead_intel.dnc_snapshots "  # noqa: S608  # our own names
            "where jurisdiction = %(jurisdiction)s and (%(source)s::text is null or source = %(source)s) "
            "order by source = %(synthetic)s, version_date desc, imported_at desc limit 1",
            {"jurisdiction": jurisdiction, "source": source, "synthetic": SYNTHETIC},
        ).fetchone()


def snapshots(connection: psycopg.Connection) -> list[Snapshot]:
    """Every list imported, the newest version first."""
    with connection.cursor(row_factory=class_row(Snapshot)) as cursor:
        return cursor.execute(
            f"select {_SNAPSHOT} from lead_intel.dnc_snapshots "  # noqa: S608  # our own names
            "order by version_date desc, imported_at desc"
        ).fetchall()


def add_snapshot(
    connection: psycopg.Connection,
    *,
    digest: str,
    source: str,
    jurisdiction: str,
    version_date: date,
    numbers: int,
    area_codes: list[int],
    path: str,
) -> Snapshot:
    """Register a list; the same content again is the same row."""
    connection.execute(
        "insert into lead_intel.dnc_snapshots "
        "(digest, source, jurisdiction, version_date, numbers, area_codes, path) "
        "values (%s, %s, %s, %s, %s, %s, %s) on conflict (digest) do update set path = excluded.path",
        (digest, source, jurisdiction, version_date, numbers, area_codes, path),
    )
    with connection.cursor(row_factory=class_row(Snapshot)) as cursor:
        row = cursor.execute(
            f"select {_SNAPSHOT} from lead_intel.dnc_snapshots where digest = %s",  # noqa: S608  # our own names
            (digest,),
        ).fetchone()
    assert row is not None  # noqa: S101  # inserted above
    return row


def fresh_answers(connection: psycopg.Connection, vendor: str, phones: pd.Series, days: int) -> pd.DataFrame:
    """The vendor's answers about `phones` not older than `days`: phone, result_code, reason, answered_at."""
    with connection.transaction():
        connection.execute("create temporary table asked_phones (phone bigint) on commit drop")
        copy_in(connection, ["asked_phones"], pd.DataFrame({"phone": phones.drop_duplicates()}))
        rows = copy_out(
            connection,
            "select answer.phone, result_code, reason, (extract(epoch from answered_at) * 1000000)::bigint "
            "from lead_intel.dnc_answers answer join asked_phones asked using (phone) "
            "where vendor = %(vendor)s and answered_at > now() - make_interval(days => %(days)s)",
            {"vendor": vendor, "days": days},
            {"phone": pa.int64(), "result_code": pa.string(), "reason": pa.string(), "answered_at": pa.int64()},
        )
    return rows.assign(answered_at=_moments(rows["answered_at"]))


def save_answers(connection: psycopg.Connection, vendor: str, answers: pd.DataFrame) -> None:
    """Keep the vendor's answers (phone, result_code, reason, call_id), newest per phone.

    An answer is as old as the call that gave it: one found again in the call ledger does not become younger.
    """
    if answers.empty:
        return
    with connection.transaction():
        connection.execute(
            "create temporary table new_answers (phone bigint, result_code text, reason text, call_id bigint) "
            "on commit drop"
        )
        copy_in(connection, ["new_answers"], answers[["phone", "result_code", "reason", "call_id"]])
        connection.execute(
            "insert into lead_intel.dnc_answers as kept (phone, vendor, result_code, reason, call_id, answered_at) "
            "select distinct on (phone) phone, %s, result_code, reason, call_id, coalesce(answered_at, now()) "
            "from new_answers left join lead_intel.vendor_calls using (call_id) "
            "order by phone, coalesce(answered_at, now()) desc "
            "on conflict (phone, vendor) do update set result_code = excluded.result_code, "
            "reason = excluded.reason, call_id = excluded.call_id, answered_at = excluded.answered_at "
            "where kept.answered_at <= excluded.answered_at",
            (vendor,),
        )
        # The caller may store several batches in one transaction.
        connection.execute("drop table new_answers")


def save_verdicts(connection: psycopg.Connection, upload: str, verdicts: pd.DataFrame, snapshot: str | None) -> None:
    """Replace the upload's verdicts (lead_id, verdict, `|`-joined reasons, fresh_until)."""
    rows = pd.DataFrame(
        {
            "upload": upload,
            "lead_id": verdicts["lead_id"],
            "verdict": verdicts["verdict"],
            "reasons": "{" + verdicts["reasons"].str.replace("|", ",", regex=False) + "}",
            "fresh_until": verdicts["fresh_until"],
        }
    )
    if snapshot is not None:
        rows = rows.assign(snapshot=snapshot)
    with connection.transaction():
        connection.execute("delete from lead_intel.dnc_verdicts where upload = %s", (upload,))
        copy_in(connection, ["lead_intel", "dnc_verdicts"], rows)


def verdict_counts(connection: psycopg.Connection, upload: str) -> dict[str, int] | None:
    """Leads by verdict (send, hold, block); None while the upload is not screened."""
    rows = connection.execute(
        "select verdict, count(*) from lead_intel.dnc_verdicts where upload = %s group by verdict", (upload,)
    ).fetchall()
    counts = {str(verdict): int(count) for verdict, count in rows}
    return {verdict: counts.get(verdict, 0) for verdict in ("send", "hold", "block")} if counts else None


def reason_counts(connection: psycopg.Connection, upload: str) -> dict[str, int]:
    """Leads held or blocked, by reason, the most frequent first. A lead with two reasons counts under both."""
    rows = connection.execute(
        "select reason, count(*) from lead_intel.dnc_verdicts, unnest(reasons) as reason "
        "where upload = %s and verdict <> 'send' group by reason order by count(*) desc, reason",
        (upload,),
    ).fetchall()
    return {str(reason): int(count) for reason, count in rows}


def _moments(microseconds: pd.Series) -> pd.Series:
    return pd.to_datetime(microseconds, unit="us", utc=True).astype("datetime64[us, UTC]")
