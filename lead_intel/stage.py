"""One stage at work on one upload: who holds it, its heartbeat, its time, and how its errors become states.

Used by the rooms' `assets.py` only. An asset does its work inside `stage_of`; everything that goes wrong there
ends as a state with a reason, a sentence and a remedy on the upload's row, and as a Dagster failure. Whatever a
stage writes about its upload is fenced: a run that was taken for dead finds that it holds the upload no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import dagster as dg
import psycopg

from lead_intel import between_stages, process
from lead_intel.errors import (
    GuardrailFailed,
    LeadIntelError,
    Paused,
    RejectedInput,
    Stopped,
    TransientError,
)
from lead_intel.failures import ELSEWHERE, FINAL, as_ours, failure_of, without_personal_data
from lead_intel.policy import Policy
from lead_intel.record import ingestions
from lead_intel.record.announcements import announce_progress, announce_state
from lead_intel.record.database import connected
from lead_intel.record.ingestions import Ingestion
from lead_intel.settings import Settings
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import WORKING, State

BEAT_SECONDS = 0.5
"""How often a stage records life and looks whether a person asked to stop (promise: within a second)."""

STALE_SECONDS = 30.0
"""A holder whose heartbeat is older than this is taken for dead."""

_SETTLED_BY = {
    State.SCREENING: "dnc_verdicts",
    State.ENRICHING: "activation_plan",
    State.ACTIVATING: "activation_receipts",
}
"""Working state -> the step that ends it with a state of its own."""

_BEYOND_SCREENING = (State.PLANNED, State.AWAITING_APPROVAL, State.ACTIVATED)
_INTERRUPTS = (KeyboardInterrupt, SystemExit, dg.DagsterExecutionInterruptedError)


@dataclass
class StageAtWork:
    """What a stage's body works with. `stop` is set when a person asks to stop, or the upload is lost."""

    upload: str
    stage: str
    run_id: str
    settings: Settings
    policy: Policy
    connection: psycopg.Connection
    stop: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)
    done: int | None = None
    total: int | None = None
    ended_in: State | None = None

    @property
    def ingestion(self) -> Ingestion:
        """The upload's row as it is now."""
        return ingestions.find(self.connection, self.upload)

    def progress(self, done: int, total: int) -> None:
        """Shown by the CLI and the hub with the next heartbeat."""
        self.done, self.total = done, total

    def stop_if_asked(self) -> None:
        """Raise Stopped when a person asked to stop, and TransientError when another run has taken the upload."""
        if self.lost.is_set():
            raise _lost_hold(self.upload)
        if self.stop.is_set():
            raise Stopped.by_person()

    def reached(self, state: State) -> None:
        """Say in which state this stage leaves the upload, once its body ends well."""
        self.ended_in = state


@dataclass(frozen=True)
class _Hold:
    """An upload in the hands of a run's step: how it was found, and what the rest of the run will do to it."""

    upload: str
    stage: str
    run_id: str
    settings: Settings
    found: Ingestion
    state: State
    is_alone: bool
    settles_later: bool
    stop_asked: bool

    def leave(self, connection: psycopg.Connection, ended_in: State | None) -> None:
        """After the body: the state it reached; else the working state if the run goes on, or the one found.

        A stage that a data engineer reruns by itself must not move an upload back.
        """
        if ended_in is State.SCREENED and self.is_alone and self.found.state in _BEYOND_SCREENING:
            ended_in = None
        if ended_in is not None:
            self._set(connection, ended_in)
        elif not self.settles_later:
            found = self.found
            self._set(connection, found.state, found.state_reason, found.state_message, found.state_remedy)

    def end(self, error: LeadIntelError, seconds: float, *, may_retry: bool) -> None:
        """After an error: its state. On a connection of its own, because the stage's may be what broke."""
        state = state_for(error)
        try:
            with connected(self.settings) as connection:
                ingestions.add_stage_seconds(connection, self.upload, self.stage, seconds)
                if state is None:
                    return
                if may_retry:
                    self.leave(connection, None)
                else:
                    ingestions.set_state_as_holder(connection, self.upload, self.run_id, state, **error.as_reason())
        except (psycopg.Error, TransientError):
            # No database, no state: the reaper finds the upload silent and says so.
            return

    def _set(
        self,
        connection: psycopg.Connection,
        state: State,
        reason: str | None = None,
        message: str | None = None,
        remedy: str | None = None,
    ) -> None:
        if not ingestions.set_state_as_holder(
            connection, self.upload, self.run_id, state, reason=reason, message=message, remedy=remedy
        ):
            raise _lost_hold(self.upload)


@contextmanager
def stage_of(
    context: dg.AssetExecutionContext, surroundings: Surroundings, stage: str, state: State
) -> Iterator[StageAtWork]:
    """Hold the run's upload for `stage`, shown as `state` while the body runs.

    Raises:
        dg.Failure: for every error; transient ones may be retried by Dagster.
    """
    with without_personal_data():
        settings, started = surroundings.settings, time.monotonic()
        with connected(settings) as connection:
            between_stages.end(context.partition_key, context.run.run_id)
            hold = _take(context, connection, settings, stage, state)
            lost = threading.Event()
            try:
                at_work = StageAtWork(hold.upload, stage, hold.run_id, settings, surroundings.policy, connection)
                lost = at_work.lost
                if hold.stop_asked:
                    at_work.stop.set()
                with _heartbeat(at_work):
                    at_work.stop_if_asked()
                    yield at_work
                    at_work.stop_if_asked()
                hold.leave(connection, at_work.ended_in)
                ingestions.add_stage_seconds(connection, hold.upload, stage, time.monotonic() - started)
                announce_state(settings, hold.upload)
            except _INTERRUPTS:
                hold.end(_interrupted(), time.monotonic() - started, may_retry=False)
                raise
            except Exception as error:  # noqa: BLE001  # whatever it is, the upload's row must say how it ended
                ours = _lost_hold(hold.upload) if lost.is_set() else as_ours(error)
                hold.end(ours, time.monotonic() - started, may_retry=_may_retry(context, ours))
                announce_state(settings, hold.upload)
                raise failure_of(ours.with_traceback(error.__traceback__)) from None
            finally:
                if not lost.is_set():
                    between_stages.begin(settings, hold.upload, hold.run_id)


def _take(
    context: dg.AssetExecutionContext, connection: psycopg.Connection, settings: Settings, stage: str, state: State
) -> _Hold:
    upload, run_id, instance = context.partition_key, context.run.run_id, context.instance
    if has_ended(instance, run_id):
        raise _lost_hold(upload)
    found = ingestions.find(connection, upload)
    ingestions.refuse_collecting(found)
    holder = found.run_id if found.run_id != run_id else None
    ended = holder if holder is not None and has_ended(instance, holder) else None
    if not ingestions.hold_for_run(connection, upload, run_id, ended_holder=ended, stale_seconds=STALE_SECONDS):
        raise TransientError(
            "already_running", f"Another run works on {upload}.", "Wait for it, or `lead-intel stop` it."
        )
    if holder is not None:
        _report_dead(instance, holder)
        if found.state in WORKING:
            found = _as_interrupted(found)
    # Before the state: who looks on must not see the new work under the name of the last stage.
    ingestions.beat(connection, upload, run_id, stage, None, None)
    if not found.stop_requested:
        ingestions.set_state_as_holder(connection, upload, run_id, state)
    step = context.get_step_execution_context()
    steps = {key for key in step.execution_plan.step_keys_to_execute if not key.endswith("_guardrails")}
    return _Hold(
        upload=upload,
        stage=stage,
        run_id=run_id,
        settings=settings,
        found=found,
        state=state,
        is_alone=steps == {step.step.key},
        settles_later=_SETTLED_BY[state] in steps - {step.step.key},
        stop_asked=found.stop_requested,
    )


def has_ended(instance: dg.DagsterInstance, run_id: str) -> bool:
    """True when Dagster shows the run as finished, or the process that it lived in is gone."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return True
    lived_in = run.tags.get(process.TAG)
    return lived_in is not None and process.is_gone(lived_in)


def _report_dead(instance: dg.DagsterInstance, run_id: str) -> None:
    """Dagster never notices by itself that a `lead-intel` process died: its run would look alive for ever."""
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, "Its process or its heartbeat is gone; another run has taken over its upload.")


def _as_interrupted(found: Ingestion) -> Ingestion:
    error = _interrupted()
    return replace(
        found,
        state=State.FAILED,
        state_reason=error.code,
        state_message=error.message,
        state_remedy=error.remedy,
    )


def _interrupted() -> LeadIntelError:
    return Stopped(
        "interrupted",
        "The work on this upload was interrupted.",
        "`lead-intel resume` goes on without paying again.",
    )


def _lost_hold(upload: str) -> TransientError:
    return TransientError(
        "lost_hold",
        f"This run was taken for dead and holds {upload} no more.",
        "Nothing is lost: whoever took it over goes on, or `lead-intel resume` does.",
    )


def _may_retry(context: dg.AssetExecutionContext, error: LeadIntelError) -> bool:
    """True when Dagster will try this step again."""
    if not isinstance(error, TransientError) or error.code in FINAL:
        return False
    policy = context.get_step_execution_context().op_retry_policy
    return policy is not None and context.retry_number < policy.max_retries


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
    while not ended.is_set() and not at_work.lost.is_set():
        try:
            with connected(at_work.settings) as connection:
                _beat(at_work, connection, ended)
        except (psycopg.Error, TransientError):
            # A connection that broke must not end the heartbeat: others would take this run for dead.
            ended.wait(BEAT_SECONDS)


def _beat(at_work: StageAtWork, connection: psycopg.Connection, ended: threading.Event) -> None:
    while True:
        stop_asked = ingestions.beat(
            connection, at_work.upload, at_work.run_id, at_work.stage, at_work.done, at_work.total
        )
        if stop_asked is None:
            at_work.lost.set()
        if stop_asked is not False:
            at_work.stop.set()
        if at_work.lost.is_set() or ended.wait(BEAT_SECONDS):
            return


def _announce_until(at_work: StageAtWork, ended: threading.Event) -> None:
    row = announce_state(at_work.settings, at_work.upload)
    announced: tuple[int | None, int | None] = (None, None)
    while True:
        last, progress = ended.is_set(), (at_work.done, at_work.total)
        if row is not None and progress != announced:
            announce_progress(at_work.settings, row, at_work.stage, *progress)
            announced = progress
        if last:
            return
        ended.wait(BEAT_SECONDS)


def state_for(error: LeadIntelError) -> State | None:
    """The state that `error` leaves an upload in; None when the upload is another run's, and not ours to move."""
    match error:
        case Stopped():
            return State.STOPPED
        case Paused(code="approval"):
            return State.AWAITING_APPROVAL
        case Paused() | GuardrailFailed():
            return State.PAUSED
        case RejectedInput():
            return State.REJECTED
        case TransientError() if error.code in ELSEWHERE:
            return None
        case _:
            return State.FAILED
