"""One stage at work on one upload: who holds it, its heartbeat, its time, and how its errors become states.

Used by the rooms' `assets.py` only. An asset does its work inside `stage_of`; everything that goes wrong there
ends as a state with a reason, a sentence and a remedy on the upload's row, and as a Dagster failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg
import psycopg

from lead_intel.errors import (
    GuardrailFailed,
    LeadIntelError,
    Paused,
    RejectedInput,
    Stopped,
    TransientError,
)
from lead_intel.policy import Policy
from lead_intel.record import channel, ingestions
from lead_intel.record.database import connected
from lead_intel.settings import Settings
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import State

BEAT_SECONDS = 0.5
"""How often a stage records life and looks whether a person asked to stop (promise: within a second)."""

STALE_SECONDS = 30.0
"""A holder whose heartbeat is older than this is taken for dead."""


@dataclass
class StageAtWork:
    """What a stage's body works with. `stop` is set when a person asks to stop."""

    upload: str
    stage: str
    run_id: str
    settings: Settings
    policy: Policy
    connection: psycopg.Connection
    stop: threading.Event = field(default_factory=threading.Event)
    done: int | None = None
    total: int | None = None

    @property
    def ingestion(self) -> ingestions.Ingestion:
        """The upload's row as it is now."""
        return ingestions.find(self.connection, self.upload)

    def progress(self, done: int, total: int) -> None:
        """Shown by the CLI and the hub with the next heartbeat."""
        self.done, self.total = done, total

    def stop_if_asked(self) -> None:
        """Raise Stopped when a person asked to stop."""
        if self.stop.is_set():
            raise Stopped("stopped", "Stopped by a person.", "`lead-intel resume` goes on without paying again.")


@contextmanager
def stage_of(
    context: dg.AssetExecutionContext, surroundings: Surroundings, stage: str, state: State
) -> Iterator[StageAtWork]:
    """Hold the run's upload for `stage`, shown as `state` while the body runs.

    Raises:
        dg.Failure: for every error of ours; transient ones may be retried by Dagster.
    """
    settings, policy = surroundings.settings, surroundings.policy
    upload, started = context.partition_key, time.monotonic()
    with connected(settings) as connection:
        at_work = StageAtWork(upload, stage, context.run.run_id, settings, policy, connection)
        try:
            _take(at_work, context.instance, state)
            with _heartbeat(at_work):
                at_work.stop_if_asked()
                yield at_work
                at_work.stop_if_asked()
        except LeadIntelError as error:
            _park(connection, upload, error)
            raise _failure(error) from error
        finally:
            ingestions.add_stage_seconds(connection, upload, stage, time.monotonic() - started)


def _take(at_work: StageAtWork, instance: dg.DagsterInstance, state: State) -> None:
    holder = at_work.ingestion.run_id
    stale = 0.0 if _has_ended(instance, holder) else STALE_SECONDS
    if not ingestions.hold_for_run(at_work.connection, at_work.upload, at_work.run_id, stale):
        raise TransientError(
            "already_running",
            f"Another run works on {at_work.upload}.",
            "Wait for it, or `lead-intel stop` it.",
        )
    if not at_work.ingestion.stop_requested:
        ingestions.set_state(at_work.connection, at_work.upload, state)
    else:
        at_work.stop.set()


def _has_ended(instance: dg.DagsterInstance, run_id: str | None) -> bool:
    if run_id is None:
        return True
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


@contextmanager
def _heartbeat(at_work: StageAtWork) -> Iterator[None]:
    """Record life, look for a stop, and announce progress, each in a thread of its own while the body works.

    Two threads, because a channel that hangs must not keep a stop from being seen.
    """
    ended = threading.Event()
    threads = [
        threading.Thread(target=loop, args=(at_work, ended), name=f"{name}-{at_work.stage}", daemon=True)
        for name, loop in (("heartbeat", _beat_until), ("announce", _announce_until))
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout=5)


def _beat_until(at_work: StageAtWork, ended: threading.Event) -> None:
    try:
        with connected(at_work.settings) as connection:
            while True:
                if ingestions.beat(connection, at_work.upload, at_work.stage, at_work.done, at_work.total):
                    at_work.stop.set()
                if ended.wait(BEAT_SECONDS):
                    return
    except (psycopg.Error, TransientError):
        # The body meets the same database and reports it; a missed beat alone must not stop the work.
        return


def _announce_until(at_work: StageAtWork, ended: threading.Event) -> None:
    announced: tuple[int | None, int | None] | None = None
    while True:
        last, progress = ended.is_set(), (at_work.done, at_work.total)
        if progress != announced:
            channel.publish(
                at_work.settings,
                "progress",
                {"upload": at_work.upload, "stage": at_work.stage, "done": at_work.done, "total": at_work.total},
            )
            announced = progress
        if last:
            return
        ended.wait(BEAT_SECONDS)


def state_for(error: LeadIntelError) -> State | None:
    """The state that `error` leaves an upload in; None when it keeps its state (a retry may follow)."""
    match error:
        case Stopped():
            return State.STOPPED
        case Paused(code="approval"):
            return State.AWAITING_APPROVAL
        case Paused() | GuardrailFailed():
            return State.PAUSED
        case RejectedInput():
            return State.REJECTED
        case TransientError(code="already_running"):
            return None
        case _:
            return State.FAILED


def _park(connection: psycopg.Connection, upload: str, error: LeadIntelError) -> None:
    state = state_for(error)
    if state is not None:
        ingestions.set_state(connection, upload, state, reason=error.code, message=error.message, remedy=error.remedy)


def _failure(error: LeadIntelError) -> dg.Failure:
    return dg.Failure(
        description=f"{error.message} {error.remedy}".strip(),
        metadata={"code": error.code, "remedy": error.remedy or "-"},
        allow_retries=isinstance(error, TransientError),
    )
