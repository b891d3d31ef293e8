"""Rows of `lead_ingestions`, `upload_files` and `bucket_objects`: the upload, its files, its state.

The unique rows here are the guard against double work; whoever inserts first owns the upload.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from lead_intel.errors import UsageError
from lead_intel.uploads import State, checked_upload_key, new_upload_key


@dataclass(frozen=True, slots=True)
class Ingestion:
    """One row of `lead_ingestions`."""

    upload: str
    supplier: str
    profile: str
    profile_screened: str | None
    sha256: str
    state: State
    state_reason: str | None
    state_message: str | None
    state_remedy: str | None
    stage: str | None
    stage_done: int | None
    stage_total: int | None
    stage_seconds: dict[str, float]
    mapping: dict[str, str] | None
    sample_percent: Decimal | None
    sample_by: str | None
    activation_ready: bool
    rows_file: int | None
    rows_accepted: int | None
    rows_quarantined: int | None
    rows_duplicate: int | None
    stop_requested: bool
    run_id: str | None
    heartbeat_at: datetime | None
    created_at: datetime
    updated_at: datetime

    def __post_init__(self) -> None:
        # The column is text; psycopg hands it over as such.
        object.__setattr__(self, "state", State(self.state))


@dataclass(frozen=True, slots=True)
class UploadFile:
    """One file of an upload, pinned to an object version and a digest."""

    upload: str
    file_no: int
    kind: str
    bucket: str
    object_path: str
    object_version: str
    file_name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of the bucket whose bytes were read once: the base of an upload."""

    bucket: str
    object_path: str
    object_version: str
    file_name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """Result of `accept`: the upload, and whether this call created it."""

    upload: str
    created: bool


_COLUMNS = ", ".join(Ingestion.__slots__)


def accept(connection: psycopg.Connection, stored: StoredObject, supplier: str, profile: str = "strict") -> Accepted:
    """Make the upload of `stored`, or find it: the same bytes from the same supplier are the same upload.

    The profile of an existing upload is left alone (`set_profile` changes it).
    """
    with connection.transaction():
        now = _now(connection)
        key = new_upload_key(now)
        row = connection.execute(
            "insert into lead_intel.lead_ingestions (upload, supplier, profile, sha256) values (%s, %s, %s, %s) "
            "on conflict (supplier, sha256) do nothing returning upload",
            (key, supplier, profile, stored.sha256),
        ).fetchone()
        created = row is not None
        if row is None:
            row = connection.execute(
                "select upload from lead_intel.lead_ingestions where supplier = %s and sha256 = %s",
                (supplier, stored.sha256),
            ).fetchone()
        assert row is not None  # noqa: S101  # rows of lead_ingestions are never deleted
        upload = str(row[0])
        if created:
            connection.execute(
                "insert into lead_intel.upload_files (upload, file_no, bucket, object_path, object_version, "
                "file_name, bytes, sha256) values (%s, 1, %s, %s, %s, %s, %s, %s)",
                (
                    upload,
                    stored.bucket,
                    stored.object_path,
                    stored.object_version,
                    stored.file_name,
                    stored.bytes,
                    stored.sha256,
                ),
            )
        connection.execute(
            "insert into lead_intel.bucket_objects (bucket, object_path, object_version, upload) "
            "values (%s, %s, %s, %s) on conflict do nothing",
            (stored.bucket, stored.object_path, stored.object_version, upload),
        )
    return Accepted(upload, created)


def object_seen(connection: psycopg.Connection, bucket: str, object_path: str, object_version: str) -> bool:
    """True when this version of the object was handled before, by whomever."""
    row = connection.execute(
        "select 1 from lead_intel.bucket_objects where bucket = %s and object_path = %s and object_version = %s",
        (bucket, object_path, object_version),
    ).fetchone()
    return row is not None


def objects_listed(connection: psycopg.Connection, bucket: str) -> set[tuple[str, datetime]]:
    """(path, updated_at) of every object version that a sweep has handled."""
    rows = connection.execute(
        "select object_path, listed_at from lead_intel.bucket_objects where bucket = %s and listed_at is not null",
        (bucket,),
    ).fetchall()
    return {(str(path), listed) for path, listed in rows}


def mark_object_listed(
    connection: psycopg.Connection, bucket: str, object_path: str, object_version: str, listed_at: datetime
) -> None:
    """Remember that a sweep has handled this object version (one without an upload is one we cannot take)."""
    connection.execute(
        "insert into lead_intel.bucket_objects (bucket, object_path, object_version, listed_at) "
        "values (%s, %s, %s, %s) on conflict (bucket, object_path, object_version) "
        "do update set listed_at = excluded.listed_at",
        (bucket, object_path, object_version, listed_at),
    )


def waiting_for_launch(connection: psycopg.Connection, older_than_seconds: float) -> list[str]:
    """Uploads that were accepted and that nobody has started to screen."""
    rows = connection.execute(
        "select upload from lead_intel.lead_ingestions where state = 'received' and run_id is null "
        "and created_at < now() - make_interval(secs => %s) order by created_at limit 50",
        (older_than_seconds,),
    ).fetchall()
    return [str(row[0]) for row in rows]


def silent(connection: psycopg.Connection, older_than_seconds: float) -> list[tuple[str, str]]:
    """(upload, run) of uploads that are shown as at work but whose heartbeat has stopped."""
    rows = connection.execute(
        "select upload, coalesce(run_id, '') from lead_intel.lead_ingestions "
        "where state in ('screening', 'enriching', 'activating') "
        "and coalesce(heartbeat_at, updated_at) < now() - make_interval(secs => %s)",
        (older_than_seconds,),
    ).fetchall()
    return [(str(upload), str(run)) for upload, run in rows]


def due_for_resync(connection: psycopg.Connection, younger_than_days: int) -> list[str]:
    """Uploads that were activated once, at rest now, and are young or still have somebody in an audience.

    Age does not end it while people are in audiences: an opt-out must reach Segment however old the list is. Also due
    are those whose last re-sync failed or paused: their opt-outs have not reached Segment yet.
    """
    rows = connection.execute(
        "select upload from lead_intel.lead_ingestions upload_row where exists (select 1 "
        "from lead_intel.activation_plans plan where plan.upload = upload_row.upload and plan.state = 'activated') "
        "and state in ('activated', 'screened', 'planned', 'awaiting_approval', 'paused', 'failed') "
        "and (created_at > now() - make_interval(days => %s) or exists (select 1 "
        "from lead_intel.audience_members member where member.upload = upload_row.upload)) order by created_at",
        (younger_than_days,),
    ).fetchall()
    return [str(row[0]) for row in rows]


def find(connection: psycopg.Connection, upload: str) -> Ingestion:
    """The upload's row. Raises UsageError when there is none."""
    checked_upload_key(upload)
    with connection.cursor(row_factory=class_row(Ingestion)) as cursor:
        row = cursor.execute(
            f"select {_COLUMNS} from lead_intel.lead_ingestions where upload = %s",  # noqa: S608  # our own names
            (upload,),
        ).fetchone()
    if row is None:
        raise UsageError("upload_unknown", f"There is no upload {upload}.", "`lead-intel uploads` lists them.")
    return row


def find_same_bytes(connection: psycopg.Connection, supplier: str, sha256: str) -> Ingestion | None:
    """The upload made of these bytes by this supplier, if any."""
    row = connection.execute(
        "select upload from lead_intel.lead_ingestions where supplier = %s and sha256 = %s",
        (supplier, sha256),
    ).fetchone()
    return None if row is None else find(connection, str(row[0]))


def newest(connection: psycopg.Connection, limit: int = 200) -> list[Ingestion]:
    """The newest uploads first."""
    with connection.cursor(row_factory=class_row(Ingestion)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from lead_intel.lead_ingestions order by created_at desc limit %s",  # noqa: S608
            (limit,),
        ).fetchall()


def files_of(connection: psycopg.Connection, upload: str) -> list[UploadFile]:
    """The upload's files in order."""
    with connection.cursor(row_factory=class_row(UploadFile)) as cursor:
        return cursor.execute(
            "select upload, file_no, kind, bucket, object_path, object_version, file_name, bytes, sha256 "
            "from lead_intel.upload_files where upload = %s order by file_no",
            (upload,),
        ).fetchall()


def set_state(
    connection: psycopg.Connection,
    upload: str,
    state: State,
    *,
    reason: str | None = None,
    message: str | None = None,
    remedy: str | None = None,
) -> None:
    """Move the upload to `state`; a state without reason clears the earlier one."""
    connection.execute(
        "update lead_intel.lead_ingestions set state = %s, state_reason = %s, state_message = %s, "
        "state_remedy = %s, updated_at = now() where upload = %s",
        (state, reason, message, remedy, upload),
    )


def fail_if_at_work(connection: psycopg.Connection, upload: str, run_id: str) -> None:
    """Show the upload as failed if `run_id` held it and left it in a working state."""
    connection.execute(
        "update lead_intel.lead_ingestions set state = 'failed', state_reason = 'unforeseen', "
        "state_message = 'The run ended in a way that no stage foresaw.', "
        "state_remedy = 'Dagster''s run ' || %(run)s || ' has the details; `lead-intel resume` tries again.', "
        "updated_at = now() where upload = %(upload)s and run_id = %(run)s "
        "and state in ('received', 'screening', 'enriching', 'activating')",
        {"upload": upload, "run": run_id},
    )


def set_profile(connection: psycopg.Connection, upload: str, profile: str) -> None:
    """Choose the consent profile; the next screening uses it."""
    connection.execute(
        "update lead_intel.lead_ingestions set profile = %s, updated_at = now() where upload = %s",
        (profile, upload),
    )


def set_profile_screened(connection: psycopg.Connection, upload: str, profile: str) -> None:
    """Remember under which profile the verdicts were given."""
    connection.execute(
        "update lead_intel.lead_ingestions set profile_screened = %s where upload = %s", (profile, upload)
    )


def set_sample_percent(connection: psycopg.Connection, upload: str, percent: Decimal, by: str | None = None) -> None:
    """Store the sample that a person chose, and who that was."""
    connection.execute(
        "update lead_intel.lead_ingestions set sample_percent = %s, sample_by = %s, updated_at = now() "
        "where upload = %s",
        (percent, by, upload),
    )


def set_activation_ready(connection: psycopg.Connection, upload: str, *, ready: bool) -> None:
    """Mark that a person wants this upload activated; guardrail 9 looks at it."""
    connection.execute(
        "update lead_intel.lead_ingestions set activation_ready = %s, updated_at = now() where upload = %s",
        (ready, upload),
    )


def set_mapping(connection: psycopg.Connection, upload: str, mapping: dict[str, str]) -> None:
    """Store header -> our column, as the validation stage resolved it."""
    connection.execute(
        "update lead_intel.lead_ingestions set mapping = %s, updated_at = now() where upload = %s",
        (Jsonb(mapping), upload),
    )


def set_file_reading(connection: psycopg.Connection, upload: str, file_no: int, reading: dict[str, str | None]) -> None:
    """Store how the file was read: format, encoding, delimiter, sheet."""
    connection.execute(
        "update lead_intel.upload_files set format = %s, encoding = %s, delimiter = %s, sheet = %s "
        "where upload = %s and file_no = %s",
        (
            reading.get("format"),
            reading.get("encoding"),
            reading.get("delimiter"),
            reading.get("sheet"),
            upload,
            file_no,
        ),
    )


def set_row_balance(
    connection: psycopg.Connection, upload: str, *, file: int, accepted: int, quarantined: int, duplicate: int
) -> None:
    """Store the balance: rows in the files = accepted + quarantined + duplicate."""
    connection.execute(
        "update lead_intel.lead_ingestions set rows_file = %s, rows_accepted = %s, rows_quarantined = %s, "
        "rows_duplicate = %s, updated_at = now() where upload = %s",
        (file, accepted, quarantined, duplicate, upload),
    )


def request_stop(connection: psycopg.Connection, upload: str) -> None:
    """Ask whoever works on the upload to stop."""
    connection.execute(
        "update lead_intel.lead_ingestions set stop_requested = true, updated_at = now() where upload = %s",
        (upload,),
    )


def clear_stop(connection: psycopg.Connection, upload: str) -> None:
    """Let the upload go on."""
    connection.execute(
        "update lead_intel.lead_ingestions set stop_requested = false, updated_at = now() where upload = %s",
        (upload,),
    )


def hold_for_run(connection: psycopg.Connection, upload: str, run_id: str, stale_seconds: float) -> bool:
    """Take the upload for `run_id`; False while another run's heartbeat is younger than `stale_seconds`."""
    row = connection.execute(
        "update lead_intel.lead_ingestions set run_id = %(run)s, heartbeat_at = now(), updated_at = now() "
        "where upload = %(upload)s and (run_id is null or run_id = %(run)s or heartbeat_at is null "
        "or heartbeat_at < now() - make_interval(secs => %(stale)s)) returning upload",
        {"run": run_id, "upload": upload, "stale": stale_seconds},
    ).fetchone()
    return row is not None


def release_run(connection: psycopg.Connection, upload: str, run_id: str) -> None:
    """Give the upload back."""
    connection.execute(
        "update lead_intel.lead_ingestions set run_id = null, stage_done = null, stage_total = null "
        "where upload = %s and run_id = %s",
        (upload, run_id),
    )


def beat(connection: psycopg.Connection, upload: str, stage: str, done: int | None, total: int | None) -> bool:
    """Record life and progress of the stage at work; returns whether a stop is asked for."""
    row = connection.execute(
        "update lead_intel.lead_ingestions set heartbeat_at = now(), stage = %s, stage_done = %s, stage_total = %s "
        "where upload = %s returning stop_requested",
        (stage, done, total, upload),
    ).fetchone()
    return bool(row and row[0])


def add_stage_seconds(connection: psycopg.Connection, upload: str, stage: str, seconds: float) -> None:
    """Add to the time that `stage` took for this upload."""
    connection.execute(
        "update lead_intel.lead_ingestions set stage_seconds = stage_seconds || jsonb_build_object(%(stage)s::text, "
        "round((coalesce((stage_seconds ->> %(stage)s)::numeric, 0) + %(seconds)s::numeric), 3)) "
        "where upload = %(upload)s",
        {"stage": stage, "seconds": seconds, "upload": upload},
    )


def _now(connection: psycopg.Connection) -> datetime:
    row: Any = connection.execute("select now()").fetchone()
    return row[0]  # type: ignore[no-any-return]
