"""Rows of `lead_ingestions`: the upload, its state and choices, who works on it. Its files live in `upload_files`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from lead_intel.errors import UsageError
from lead_intel.uploads import State, checked_upload_key


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
    source: str
    collecting: bool

    def __post_init__(self) -> None:
        # The column is text; psycopg hands it over as such.
        object.__setattr__(self, "state", State(self.state))


@dataclass(frozen=True, slots=True)
class DueForResync:
    """An upload to keep in step; `exits_only`: nothing may be added, so that only removals go."""

    upload: str
    exits_only: bool


_COLUMNS = ", ".join(Ingestion.__slots__)


def waiting_for_launch(connection: psycopg.Connection, older_than_seconds: float) -> list[str]:
    """Uploads that were accepted and that nobody has started to screen."""
    rows = connection.execute(
        "select upload from lead_intel.lead_ingestions where state = 'received' and run_id is null "
        "and not collecting and created_at < now() - make_interval(secs => %s) order by created_at limit 50",
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


def paused_for(connection: psycopg.Connection, reasons: Sequence[str], longer_than_seconds: float) -> list[Ingestion]:
    """Uploads that have been paused for one of `reasons` for so long, those that wait longest first."""
    with connection.cursor(row_factory=class_row(Ingestion)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from lead_intel.lead_ingestions where state = 'paused' "  # noqa: S608  # our own names
            "and state_reason = any(%s) and not stop_requested "
            "and updated_at < now() - make_interval(secs => %s) order by updated_at limit 20",
            (list(reasons), longer_than_seconds),
        ).fetchall()


def due_for_resync(connection: psycopg.Connection, younger_than_days: int) -> list[DueForResync]:
    """Uploads that nobody works on now and that have, or may have, somebody in an audience; or were activated lately.

    Neither age nor state ends it while people are in audiences: an opt-out must reach Segment however old the list is,
    and whatever became of it since. What was stopped by a person or rejected gets its exits and nothing else.
    """
    rows = connection.execute(
        "with facts as (select upload, created_at, state, "
        "stop_requested or state in ('stopped', 'rejected') as exits_only, "
        "exists (select 1 from lead_intel.audience_members member where member.upload = row.upload) or exists "
        "(select 1 from lead_intel.activation_outbox o where o.upload = row.upload and o.attempts > 0 "
        "and o.state in ('pending', 'failed')) as inside, created_at > now() - make_interval(days => %s) and exists "
        "(select 1 from lead_intel.activation_plans plan where plan.upload = row.upload and plan.state = 'activated' "
        "and plan.kind = 'difference') as lately from lead_intel.lead_ingestions row) "
        "select upload, exits_only from facts where state not in ('received', 'screening', 'enriching', 'activating') "
        "and (inside or (lately and not exits_only)) order by created_at",
        (younger_than_days,),
    ).fetchall()
    return [DueForResync(str(upload), bool(exits_only)) for upload, exits_only in rows]


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


def refuse_collecting(row: Ingestion) -> None:
    """Raise UsageError while the upload still collects rows: half of it must not be screened."""
    if row.collecting:
        raise UsageError(
            "upload_open",
            f"{row.upload} still collects posted leads.",
            "It is screened by itself once it is closed and in the bucket.",
        )


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


def fail_if_at_work(
    connection: psycopg.Connection, upload: str, run_id: str, *, reason: str, message: str, remedy: str
) -> None:
    """Show the upload as failed if `run_id` held it and left it in a working state."""
    connection.execute(
        "update lead_intel.lead_ingestions set state = 'failed', state_reason = %(reason)s, "
        "state_message = %(message)s, state_remedy = %(remedy)s, updated_at = now() where upload = %(upload)s "
        "and run_id = %(run)s and state in ('received', 'screening', 'enriching', 'activating')",
        {"upload": upload, "run": run_id, "reason": reason, "message": message, "remedy": remedy},
    )


def fail_if_never_begun(
    connection: psycopg.Connection, upload: str, since: float, *, reason: str, message: str, remedy: str
) -> None:
    """Show the upload as failed if nobody is at work on it and nothing happened to it after `since` (epoch seconds)."""
    connection.execute(
        "update lead_intel.lead_ingestions set state = 'failed', state_reason = %(reason)s, "
        "state_message = %(message)s, state_remedy = %(remedy)s, updated_at = now() where upload = %(upload)s "
        "and state not in ('screening', 'enriching', 'activating', 'rejected') and not collecting "
        "and updated_at < to_timestamp(%(since)s)",
        {"upload": upload, "since": since, "reason": reason, "message": message, "remedy": remedy},
    )


def set_profile(connection: psycopg.Connection, upload: str, profile: str) -> None:
    """Choose the consent profile; the next screening uses it."""
    connection.execute(
        "update lead_intel.lead_ingestions set profile = %s, updated_at = now() where upload = %s",
        (profile, upload),
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


def hold_for_run(
    connection: psycopg.Connection, upload: str, run_id: str, *, ended_holder: str | None, stale_seconds: float
) -> bool:
    """Take the upload for `run_id`; False while another run holds it.

    A holder is out when it is `ended_holder` (known to have ended), or its heartbeat is older than `stale_seconds`.
    """
    row = connection.execute(
        "update lead_intel.lead_ingestions set run_id = %(run)s, heartbeat_at = now(), updated_at = now() "
        "where upload = %(upload)s and (run_id is null or run_id in (%(run)s, %(ended)s) or heartbeat_at is null "
        "or heartbeat_at < now() - make_interval(secs => %(stale)s)) returning upload",
        {"run": run_id, "upload": upload, "ended": ended_holder, "stale": stale_seconds},
    ).fetchone()
    return row is not None


def is_held(connection: psycopg.Connection, upload: str, stale_seconds: float) -> bool:
    """True while the heartbeat of whoever holds the upload is younger than `stale_seconds`."""
    row = connection.execute(
        "select 1 from lead_intel.lead_ingestions where upload = %s and run_id is not null "
        "and heartbeat_at >= now() - make_interval(secs => %s)",
        (upload, stale_seconds),
    ).fetchone()
    return row is not None


def has_beaten(connection: psycopg.Connection, upload: str, run_id: str, seconds: float) -> bool:
    """True when `run_id` holds the upload and its heartbeat is not older than so many seconds."""
    row = connection.execute(
        "select 1 from lead_intel.lead_ingestions where upload = %s and run_id = %s "
        "and heartbeat_at >= now() - make_interval(secs => %s)",
        (upload, run_id, seconds),
    ).fetchone()
    return row is not None


def set_state_as_holder(
    connection: psycopg.Connection,
    upload: str,
    run_id: str,
    state: State,
    *,
    reason: str | None = None,
    message: str | None = None,
    remedy: str | None = None,
) -> bool:
    """Like `set_state`, for a stage at work; False, and nothing is changed, when `run_id` holds the upload no more."""
    row = connection.execute(
        "update lead_intel.lead_ingestions set state = %s, state_reason = %s, state_message = %s, "
        "state_remedy = %s, updated_at = now() where upload = %s and run_id = %s returning upload",
        (state, reason, message, remedy, upload, run_id),
    ).fetchone()
    return row is not None


def interrupt(connection: psycopg.Connection, upload: str, run_id: str, silent_seconds: float) -> bool:
    """Take the upload from `run_id` (blank: nobody) if it is silent even now, and show it as interrupted.

    The run holds it no longer: should its process live after all, its next heartbeat finds that and the stage ends.
    """
    row = connection.execute(
        "update lead_intel.lead_ingestions set run_id = null, state = 'failed', state_reason = 'interrupted', "
        "state_message = 'The work on this upload was interrupted.', "
        "state_remedy = '`lead-intel resume` goes on without paying again.', updated_at = now() "
        "where upload = %s and coalesce(run_id, '') = %s and state in ('screening', 'enriching', 'activating') "
        "and coalesce(heartbeat_at, updated_at) < now() - make_interval(secs => %s) returning upload",
        (upload, run_id, silent_seconds),
    ).fetchone()
    return row is not None


def beat(
    connection: psycopg.Connection, upload: str, run_id: str, stage: str, done: int | None, total: int | None
) -> bool | None:
    """Record life and progress of the stage at work; returns whether a stop is asked for.

    None: `run_id` holds the upload no more, somebody took it for dead.
    """
    row = connection.execute(
        "update lead_intel.lead_ingestions set heartbeat_at = now(), stage = %s, stage_done = %s, stage_total = %s "
        "where upload = %s and run_id = %s returning stop_requested",
        (stage, done, total, upload, run_id),
    ).fetchone()
    return None if row is None else bool(row[0])


def beat_between_stages(connection: psycopg.Connection, upload: str, run_id: str) -> bool | None:
    """Record life between two stages; returns whether a stop is asked for.

    None: the upload is not at work, or not `run_id`'s, any more.
    """
    row = connection.execute(
        "update lead_intel.lead_ingestions set heartbeat_at = now() where upload = %s and run_id = %s "
        "and state in ('screening', 'enriching', 'activating') returning stop_requested",
        (upload, run_id),
    ).fetchone()
    return None if row is None else bool(row[0])


def add_stage_seconds(connection: psycopg.Connection, upload: str, stage: str, seconds: float) -> None:
    """Add to the time that `stage` took for this upload."""
    connection.execute(
        "update lead_intel.lead_ingestions set stage_seconds = stage_seconds || jsonb_build_object(%(stage)s::text, "
        "round((coalesce((stage_seconds ->> %(stage)s)::numeric, 0) + %(seconds)s::numeric), 3)) "
        "where upload = %(upload)s",
        {"stage": stage, "seconds": seconds, "upload": upload},
    )
