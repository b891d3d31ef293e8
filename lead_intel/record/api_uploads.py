"""The one open upload of each supplier that posts leads, and the batches in it. Each post is one transaction.

A row counts as taken once that transaction is committed, and never before. Uploads close here; `api_storing` then
makes one object of their rows.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from lead_intel.contract import REQUIRED_COLUMNS
from lead_intel.errors import RejectedInput, TransientError, UsageError
from lead_intel.policy import PostingLimits
from lead_intel.record import database
from lead_intel.uploads import new_upload_key

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class InFlight(TransientError):
    """Another request under this Idempotency-Key is being worked on."""


class KeyReused(UsageError):
    """The Idempotency-Key belongs to a request with other content."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What one request holds: `cells` is a JSON array of rows, each an array of texts in the order of `columns`.

    `idempotency`: digest of the Idempotency-Key; `fingerprint`: digest of the content.
    """

    supplier: str
    key_id: str
    idempotency: bytes | None
    fingerprint: bytes
    columns: tuple[str, ...]
    cells: bytes
    rows: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A request that was taken, as it is answered; the same for a retry. Rows are numbered per upload, from 1."""

    batch: str
    upload: str
    rows: int
    first_row: int
    columns: list[str]
    fingerprint: bytes
    closes_at: datetime
    accepted_at: datetime

    @property
    def missing(self) -> list[str]:
        """Required columns that no row of the request has: its rows will be quarantined for that."""
        return [name for name in REQUIRED_COLUMNS if name not in self.columns]


@dataclass(frozen=True, slots=True)
class Taken:
    """Result of `take`: the batch; whether it was taken earlier; whether it filled its upload."""

    batch: Batch
    replayed: bool
    filled: bool


@dataclass(frozen=True, slots=True)
class Collected:
    """An upload that collects, or collected, posted rows."""

    upload: str
    supplier: str
    rows: int
    bytes: int
    columns: list[str]
    opened_at: datetime
    closes_at: datetime
    closed_at: datetime | None
    close_reason: str | None
    stored_at: datetime | None


_COLLECTED = ", ".join(Collected.__slots__)


def take(connection: psycopg.Connection, posted: Posted, limits: PostingLimits) -> Taken:
    """Add the rows to the supplier's open upload, opening one if need be; a retry is recognised and adds nothing.

    Raises:
        InFlight: the same Idempotency-Key is being worked on elsewhere.
        KeyReused: it was used for other content.
        RejectedInput: `too_many_columns`.
    """
    with connection.transaction():
        if posted.idempotency is not None:
            earlier = _earlier(connection, posted.supplier, posted.idempotency)
            if earlier is not None:
                if earlier.fingerprint != posted.fingerprint:
                    raise KeyReused(
                        "idempotency_key_reused",
                        "This Idempotency-Key was used for other content.",
                        "Use a new key for new content, and the same content for a retry.",
                    )
                return Taken(earlier, replayed=True, filled=False)
        upload = _room_for(connection, posted, limits)
        _refuse_columns(upload.columns, posted.columns, limits.columns_per_upload)
        batch = _add(connection, upload, posted)
        filled = upload.rows + posted.rows >= limits.close_rows
        if filled:
            _close(connection, upload.upload, "rows")
    return Taken(batch, replayed=False, filled=filled)


def _earlier(connection: psycopg.Connection, supplier: str, idempotency: bytes) -> Batch | None:
    row = connection.execute(
        "select pg_try_advisory_xact_lock(hashtextextended(%s || encode(%s, 'hex'), 0))", (supplier, idempotency)
    ).fetchone()
    if row is None or not row[0]:
        raise InFlight(
            "idempotency_key_in_flight", "A request with this Idempotency-Key is being worked on.", "Try again soon."
        )
    with connection.cursor(row_factory=class_row(Batch)) as cursor:
        return cursor.execute(
            "select batch, upload, b.rows, first_row, b.columns, fingerprint, closes_at, accepted_at "
            "from lead_intel.api_batches b join lead_intel.api_uploads using (upload) "
            "where b.supplier = %s and idempotency = %s",
            (supplier, idempotency),
        ).fetchone()


def _room_for(connection: psycopg.Connection, posted: Posted, limits: PostingLimits) -> Collected:
    """The supplier's open upload, locked, with room for the rows; one that is full or due is closed."""
    while True:
        found = _open_upload(connection, posted.supplier)
        if found is None:
            _open(connection, posted, limits)
            continue
        reason = None
        if database.now(connection) >= found.closes_at:
            reason = "time"
        elif found.rows + posted.rows > limits.close_rows:
            reason = "rows"
        elif found.rows and found.bytes + len(posted.cells) > limits.close_bytes:
            reason = "bytes"
        if reason is None:
            return found
        _close(connection, found.upload, reason)


def _open_upload(connection: psycopg.Connection, supplier: str) -> Collected | None:
    with connection.cursor(row_factory=class_row(Collected)) as cursor:
        return cursor.execute(
            f"select {_COLLECTED} from lead_intel.api_uploads "  # noqa: S608  # our own names
            "where supplier = %s and closed_at is null for update",
            (supplier,),
        ).fetchone()


def _open(connection: psycopg.Connection, posted: Posted, limits: PostingLimits) -> None:
    """Open an upload, unless somebody else does at this moment: then wait for that one."""
    key = new_upload_key(database.now(connection))
    opened = connection.execute(
        "insert into lead_intel.api_uploads (upload, supplier, columns, opened_at, closes_at) values "
        "(%(upload)s, %(supplier)s, %(columns)s, clock_timestamp(), "
        "clock_timestamp() + make_interval(secs => %(seconds)s)) "
        "on conflict (supplier) where closed_at is null do nothing returning upload",
        {
            "upload": key,
            "supplier": posted.supplier,
            "columns": list(REQUIRED_COLUMNS),
            "seconds": limits.close_minutes * 60,
        },
    ).fetchone()
    if opened is not None:
        # What posted rows are is known by their upload alone: two uploads may hold the same bytes.
        connection.execute(
            "insert into lead_intel.lead_ingestions (upload, supplier, sha256, source, collecting) "
            "values (%s, %s, %s, 'api', true)",
            (key, posted.supplier, f"api:{key}"),
        )


def _add(connection: psycopg.Connection, upload: Collected, posted: Posted) -> Batch:
    columns = [*upload.columns, *(name for name in posted.columns if name not in upload.columns)]
    tail = "".join(secrets.choice(_ALPHABET) for _ in range(16))
    with connection.cursor(row_factory=class_row(Batch)) as cursor:
        batch = cursor.execute(
            "insert into lead_intel.api_batches (batch, supplier, upload, key_id, idempotency, fingerprint, first_row, "
            "rows, columns, cells, accepted_at) values ('bat_' || to_char(now() at time zone 'utc', 'YYYYMMDD_') || "
            "%s, %s, %s, %s, %s, %s, %s, %s, %s, %b, clock_timestamp()) returning batch, upload, rows, first_row, "
            "columns, fingerprint, %s::timestamptz as closes_at, accepted_at",
            (
                tail,
                posted.supplier,
                upload.upload,
                posted.key_id,
                posted.idempotency,
                posted.fingerprint,
                upload.rows + 1,
                posted.rows,
                list(posted.columns),
                posted.cells,
                upload.closes_at,
            ),
        ).fetchone()
    assert batch is not None  # noqa: S101  # the insert returns its row
    connection.execute(
        "update lead_intel.api_uploads set rows = rows + %s, bytes = bytes + %s, columns = %s where upload = %s",
        (posted.rows, len(posted.cells), columns, upload.upload),
    )
    return batch


def _refuse_columns(existing: Sequence[str], posted: Sequence[str], at_most: int) -> None:
    if len({*existing, *posted}) > at_most:
        raise RejectedInput(
            "too_many_columns",
            f"The open upload would have more than {at_most} different fields.",
            "Use the same field names in every row.",
        )


def _close(connection: psycopg.Connection, upload: str, reason: str) -> None:
    connection.execute(
        "update lead_intel.api_uploads set closed_at = clock_timestamp(), close_reason = %s "
        "where upload = %s and closed_at is null",
        (reason, upload),
    )


def close_due(connection: psycopg.Connection) -> list[str]:
    """Close every upload whose time is over; returns them."""
    rows = connection.execute(
        "update lead_intel.api_uploads set closed_at = clock_timestamp(), close_reason = 'time' "
        "where closed_at is null and closes_at <= clock_timestamp() returning upload"
    ).fetchall()
    return [str(row[0]) for row in rows]


def find(connection: psycopg.Connection, upload: str) -> Collected | None:
    """The upload's collection; None for an upload of files."""
    with connection.cursor(row_factory=class_row(Collected)) as cursor:
        return cursor.execute(
            f"select {_COLLECTED} from lead_intel.api_uploads where upload = %s",  # noqa: S608  # our own names
            (upload,),
        ).fetchone()


def open_of(connection: psycopg.Connection, supplier: str) -> Collected | None:
    """The supplier's open upload, if there is one."""
    with connection.cursor(row_factory=class_row(Collected)) as cursor:
        return cursor.execute(
            f"select {_COLLECTED} from lead_intel.api_uploads "  # noqa: S608  # our own names
            "where supplier = %s and closed_at is null",
            (supplier,),
        ).fetchone()


def rows_of_open(connection: psycopg.Connection) -> dict[str, int]:
    """Upload -> rows so far, of those that are not in the bucket yet."""
    rows = connection.execute("select upload, rows from lead_intel.api_uploads where stored_at is null").fetchall()
    return {str(upload): int(count) for upload, count in rows}


def unstored(connection: psycopg.Connection) -> list[str]:
    """Closed uploads whose rows are not in the bucket yet, oldest first."""
    rows = connection.execute(
        "select upload from lead_intel.api_uploads where closed_at is not null and stored_at is null order by closed_at"
    ).fetchall()
    return [str(row[0]) for row in rows]


def forget_old_retries(connection: psycopg.Connection, days: int) -> int:
    """Drop what recognises retries of batches older than `days`; their rows are in the bucket."""
    return connection.execute(
        "delete from lead_intel.api_batches where cells is null and accepted_at < now() - make_interval(days => %s)",
        (days,),
    ).rowcount
