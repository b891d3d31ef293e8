"""Rows of `dnc_snapshots`, `dnc_answers` and `dnc_verdicts`: lists imported, vendor answers, what was decided.

Keys are E.164 digits and lead ids; nothing here is logged. Whoever decides is `lead_intel.dnc`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
from psycopg.rows import class_row

from lead_intel.errors import Stopped
from lead_intel.record.copying import copy_in, copy_out
from lead_intel.record.database import connected
from lead_intel.settings import Settings

_LOCK_SECONDS = 0.2

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


def save_verdicts(
    connection: psycopg.Connection, upload: str, verdicts: pd.DataFrame, *, profile: str, snapshot: str | None
) -> None:
    """Replace the upload's verdicts (lead_id, verdict, `|`-joined reasons, fresh_until), given under `profile`.

    The upload's row says so in the same transaction: verdicts and the profile they were given under never part.
    """
    rows = pd.DataFrame(
        {
            "upload": upload,
            "profile": profile,
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
        connection.execute(
            "update lead_intel.lead_ingestions set profile_screened = %s where upload = %s", (profile, upload)
        )


def sendable(connection: psycopg.Connection, upload: str) -> pd.Series:
    """Ids of the leads whose verdict is a fresh `send` under the upload's present profile, by the database's clock."""
    rows = copy_out(
        connection,
        "select said.lead_id from lead_intel.dnc_verdicts said join lead_intel.lead_ingestions present using (upload) "
        "where said.upload = %(upload)s and said.verdict = 'send' and said.profile = present.profile "
        "and said.fresh_until > clock_timestamp()",
        {"upload": upload},
        {"lead_id": pa.string()},
    )
    return rows["lead_id"]


def has_stale_send(connection: psycopg.Connection, upload: str) -> bool:
    """Whether a `send` of the upload may not be acted on any more: it has to be screened again."""
    row = connection.execute(
        "select 1 from lead_intel.dnc_verdicts where upload = %s and verdict = 'send' "
        "and fresh_until <= clock_timestamp() limit 1",
        (upload,),
    ).fetchone()
    return row is not None


def has_unanswered_lookup(connection: psycopg.Connection, upload: str) -> bool:
    """Whether leads of the upload are held for want of a Lookup answer: asking again may set them free."""
    row = connection.execute(
        "select 1 from lead_intel.dnc_verdicts where upload = %s and verdict = 'hold' "
        "and 'lookup_no_answer' = any(reasons) limit 1",
        (upload,),
    ).fetchone()
    return row is not None


@contextmanager
def buying_alone(settings: Settings, stop: threading.Event) -> Iterator[None]:
    """Nobody else finds out meanwhile which numbers lack an answer: two uploads would both buy what both lack.

    The lock lives in a transaction of a connection of its own (Supabase's transaction pooler keeps no session locks)
    and ends with the process, however it ends.

    Raises:
        Stopped: `stop` was set while another upload was buying.
    """
    with connected(settings) as connection, connection.transaction():
        while not _locked(connection):
            if stop.wait(_LOCK_SECONDS):
                raise Stopped.by_person()
        yield


def _locked(connection: psycopg.Connection) -> bool:
    row = connection.execute("select pg_try_advisory_xact_lock(hashtext('lead_intel.dnc_answers'))").fetchone()
    return bool(row and row[0])


def _moments(microseconds: pd.Series) -> pd.Series:
    return pd.to_datetime(microseconds, unit="us", utc=True).astype("datetime64[us, UTC]")
