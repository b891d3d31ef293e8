"""How an upload moves from one job to the next: the moves that a person makes in the CLI, and later in the hub.

Each move launches a Dagster job or changes the upload's row; what a stage does is the stage's business. Every move
can be repeated: done work is found, never paid or pushed again.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import dagster as dg
import psycopg

from lead_intel.activation.activate import refuse_other_choices
from lead_intel.activation.approval import approve
from lead_intel.activation.planning import choices_now
from lead_intel.automation import jobs
from lead_intel.automation.desk import Desk
from lead_intel.automation.interruptible import interruptibly
from lead_intel.automation.launch import RunEnd, run_job
from lead_intel.automation.receiving import receive
from lead_intel.enrichment.forecast import record_forecast
from lead_intel.errors import (
    GuardrailFailed,
    LeadIntelError,
    Paused,
    RejectedInput,
    Stopped,
    UsageError,
)
from lead_intel.failures import ELSEWHERE
from lead_intel.record import dnc, ingestions, layouts, plans, quarantine, turns
from lead_intel.record.announcements import announce_sample
from lead_intel.record.frames import has_frame
from lead_intel.stage import STALE_SECONDS, has_ended
from lead_intel.uploads import WORKING, State

_LOOK_AGAIN_SECONDS = 0.5
_STOP_SECONDS = 5.0
_SCREENING_STAGES = (None, "validation", "lookup", "dnc")
_PLANNED = (State.PLANNED, State.AWAITING_APPROVAL, State.ACTIVATING, State.ACTIVATED)
_AT_ITS_END = (State.ACTIVATED, State.REJECTED)


@contextmanager
def turn_of(desk: Desk, upload: str) -> Iterator[None]:
    """Make several moves of one upload as one: a second person's, or command's, wait and then find the work done.

    `stop` needs no turn. A turn ends with its process, however that dies.
    """
    told = False
    while not turns.take(desk.connection, upload):
        if not told:
            desk.say(f"Another command works on {upload}; waiting for it.")
            told = True
        time.sleep(_LOOK_AGAIN_SECONDS)
    try:
        yield
    finally:
        turns.give_back(desk.connection, upload)


def screen(desk: Desk, upload: str) -> None:
    """Validate, look up and screen.

    Raises:
        UsageError: the upload still collects posted leads.
    """
    ingestions.refuse_collecting(ingestions.find(desk.connection, upload))
    _work(
        desk, jobs.SCREEN, upload, is_done=lambda: not _needs_screening(desk, ingestions.find(desk.connection, upload))
    )


def choose_sample(desk: Desk, upload: str, percent: Decimal) -> None:
    """Store the sample that a person chose.

    Lowering it buys nothing and deletes no answer; the next plan takes out of the audiences who is in it no longer.
    Who wished an activation before did not wish it for this sample.
    """
    row = ingestions.find(desk.connection, upload)
    if row.state == State.REJECTED:
        raise RejectedInput(row.state_reason or "rejected", row.state_message or "The upload was rejected.")
    ingestions.set_activation_ready(desk.connection, upload, ready=False)
    _store_sample(desk, upload, percent)
    record_forecast(desk.connection, desk.settings, desk.policy, upload, percent)


def _store_sample(desk: Desk, upload: str, percent: Decimal) -> None:
    ingestions.set_sample_percent(desk.connection, upload, percent, getpass.getuser())
    announce_sample(desk.settings, ingestions.find(desk.connection, upload))


def plan(desk: Desk, upload: str) -> None:
    """Enrich the chosen sample and plan its activation: a dry run, so that resuming it pushes nothing either.

    Raises:
        UsageError: nobody has chosen a sample.
    """
    if ingestions.find(desk.connection, upload).sample_percent is None:
        raise UsageError(
            "sample_not_chosen",
            f"No sample of {upload} was chosen.",
            f"Choose one, `lead-intel sample {upload} 25`; `forecast` says what it would cost.",
        )
    ingestions.set_activation_ready(desk.connection, upload, ready=False)
    screen_if_needed(desk, upload)
    _work(desk, jobs.ENRICH, upload)


def _enrich_and_plan(desk: Desk, upload: str) -> None:
    if _needs_screening(desk, ingestions.find(desk.connection, upload)):
        screen(desk, upload)
    _work(desk, jobs.ENRICH, upload)


def screen_if_needed(desk: Desk, upload: str) -> None:
    """Screen unless a screening that still holds, and lacks no number's Lookup, is there."""
    row = ingestions.find(desk.connection, upload)
    if _needs_screening(desk, row) or dnc.has_unanswered_lookup(desk.connection, upload):
        screen(desk, upload)


def screen_if_mended(desk: Desk, upload: str) -> None:
    """Screen if a person corrected or released rows that no screening has taken in yet."""
    if quarantine.has_unscreened(desk.connection, upload):
        screen(desk, upload)


def activate(desk: Desk, plan_id: str, by: str) -> None:
    """Approve a plan as `by`, unless it is approved, and push it.

    Raises:
        UsageError: a newer plan has taken its place.
        Paused: policy wants a second person, or the plan was made for another sample, profile or policy.
        GuardrailFailed: a pre-flight check says no.
    """
    chosen = plans.find(desk.connection, plan_id)
    newest = plans.newest(desk.connection, chosen.upload)
    if chosen.plan != newest.plan:
        raise UsageError(
            "plan_superseded",
            f"{plan_id} was superseded by {newest.plan}.",
            f"Look at {newest.plan} and activate that.",
        )
    if chosen.state != "activated":
        refuse_other_choices(chosen, choices_now(desk.connection, desk.policy, chosen.upload))
    if chosen.state == "draft":
        approve(desk.connection, plan_id, by, desk.policy.activation)
    push(desk, chosen.upload)


def push(desk: Desk, upload: str) -> None:
    """Push the newest plan, which must be approved."""
    ingestions.set_activation_ready(desk.connection, upload, ready=True)
    _work(desk, jobs.ACTIVATE, upload)
    # The wish is fulfilled: a later dry run is a dry run again, and resuming it pushes nothing.
    ingestions.set_activation_ready(desk.connection, upload, ready=False)


def stop(connection: psycopg.Connection, upload: str) -> None:
    """Park the upload: at once when nobody works on it, else within a second by whoever does.

    Raises:
        UsageError: it has reached its end.
    """
    row = ingestions.find(connection, upload)
    if row.state in _AT_ITS_END:
        raise UsageError("nothing_to_stop", f"{upload} is {row.state}: there is nothing to stop.")
    ingestions.request_stop(connection, upload)
    deadline = time.monotonic() + _STOP_SECONDS
    while row.state in WORKING and time.monotonic() < deadline:
        time.sleep(0.1)
        row = ingestions.find(connection, upload)
    if row.state in _AT_ITS_END:
        # It was faster than we were.
        ingestions.clear_stop(connection, upload)
    elif row.state != State.STOPPED:
        # At rest, or whoever worked on it is gone or hangs: a late worker finds the request.
        _set_stopped(connection, upload)


def _set_stopped(connection: psycopg.Connection, upload: str) -> None:
    ingestions.set_state(connection, upload, State.STOPPED, **Stopped.by_person().as_reason())


def resume(desk: Desk, upload: str, by: str) -> None:
    """Go on where the upload stopped, without paying or pushing again what is done.

    A push that a person asked for goes on, approved as `by` where nobody has approved it yet: with the plan that was
    made, if it still is what people chose (else a new one is made, and waits), or the first one, if none was made yet.

    Raises:
        Paused: as `activate`; or the cause of the pause is still there.
    """
    row = ingestions.find(desk.connection, upload)
    ingestions.clear_stop(desk.connection, upload)
    if row.collecting:
        ingestions.set_state(desk.connection, upload, State.RECEIVED)
        desk.say(f"{upload} still collects posted leads; it is screened by itself once it is closed.")
        return
    if _needs_screening(desk, row):
        screen(desk, upload)
    elif row.stage == "activation" and row.activation_ready and _may_go_on_pushing(desk, row):
        activate(desk, plans.newest(desk.connection, upload).plan, by)
        return
    elif dnc.has_unanswered_lookup(desk.connection, upload):
        screen(desk, upload)
    if row.sample_percent is None:
        return
    awaits_first_plan = row.activation_ready and plans.newest_or_none(desk.connection, upload) is None
    _enrich_and_plan(desk, upload)
    if awaits_first_plan:
        activate(desk, plans.newest(desk.connection, upload).plan, by)


def run(
    desk: Desk,
    file: Path,
    supplier: str,
    profile: str | None,
    percent: Decimal | None,
    *,
    activated_by: str | None,
    said: layouts.Said | None = None,
) -> str:
    """Everything in one go: receive, screen, sample, plan and, when `activated_by` is given, activate.

    Returns the upload. What an earlier run did is not done again.
    """
    received = receive(desk, file, supplier, profile, said)
    upload = received.upload
    before = ingestions.find(desk.connection, upload)
    if not received.created:
        desk.say(f"These bytes are known: upload {upload} of {before.created_at:%Y-%m-%d %H:%M} UTC, {before.state}.")
    with turn_of(desk, upload):
        _carry_on(desk, upload, percent, activated_by)
    return upload


def _carry_on(desk: Desk, upload: str, percent: Decimal | None, activated_by: str | None) -> None:
    ingestions.clear_stop(desk.connection, upload)
    before = ingestions.find(desk.connection, upload)
    wanted = max(percent or Decimal(0), before.sample_percent or Decimal(0))
    grown = before.sample_percent is None or wanted > before.sample_percent
    is_more_than_screening = not (percent is None and before.sample_percent is None and activated_by is None)
    # What the person asks for stands in the record before the work begins: whoever resumes it knows.
    if is_more_than_screening and grown:
        _store_sample(desk, upload, wanted)
    ingestions.set_activation_ready(desk.connection, upload, ready=activated_by is not None)
    fresh_screening = _needs_screening(desk, before) or dnc.has_unanswered_lookup(desk.connection, upload)
    if fresh_screening:
        screen(desk, upload)
    if not is_more_than_screening:
        return
    if grown or fresh_screening or not _is_planned(desk, upload):
        _enrich_and_plan(desk, upload)
    if activated_by is not None and ingestions.find(desk.connection, upload).state != State.ACTIVATED:
        activate(desk, plans.newest(desk.connection, upload).plan, activated_by)


def _needs_screening(desk: Desk, row: ingestions.Ingestion) -> bool:
    """True when the upload was never screened to the end, another profile judged it, or a `send` holds no longer.

    Also when a person mended rows since.
    """
    if quarantine.has_unscreened(desk.connection, row.upload):
        return True
    if not has_frame(desk.settings.frames_dir, "dnc_verdicts", row.upload):
        return True
    if row.state in (State.RECEIVED, State.REJECTED, State.SCREENING):
        return True
    if row.state in (State.PAUSED, State.STOPPED, State.FAILED) and row.stage in _SCREENING_STAGES:
        return True
    if layouts.is_unused(desk.connection, row.upload):
        return True
    return row.profile_screened != row.profile or dnc.has_stale_send(desk.connection, row.upload)


def _is_planned(desk: Desk, upload: str) -> bool:
    row = ingestions.find(desk.connection, upload)
    return row.state in _PLANNED and _current_plan(desk, upload) is not None


def _may_go_on_pushing(desk: Desk, row: ingestions.Ingestion) -> bool:
    if row.state_reason == "plan_outdated":
        return False
    plan = _current_plan(desk, row.upload)
    return plan is not None and plan.state in ("draft", "approved")


def _current_plan(desk: Desk, upload: str) -> plans.Plan | None:
    """The newest plan, if it was made for the sample, profile and policy that hold now."""
    newest = plans.newest_or_none(desk.connection, upload)
    if newest is None or not has_frame(desk.settings.frames_dir, "activation_plan", upload):
        return None
    return newest if newest.choices == choices_now(desk.connection, desk.policy, upload) else None


def _work(desk: Desk, job: str, upload: str, *, is_done: Callable[[], bool] = lambda: False) -> None:
    """Run `job` to its end, unless somebody whom we had to wait for has done it (`is_done`)."""
    # Loading takes seconds, in which a sensor may start a run: load first, look then.
    definitions = desk.definitions()
    while True:
        if _waited_for_other(desk, upload) and is_done():
            return
        end = _run_to_its_end(desk, definitions, job, upload)
        if end.failure is None or end.failure.code not in ELSEWHERE:
            break
    if end.failure is not None:
        ingestions.fail_if_at_work(desk.connection, upload, end.run_id, **end.failure.as_reason())
    error = error_of(ingestions.find(desk.connection, upload)) or end.failure
    if error is not None:
        raise error


def _run_to_its_end(desk: Desk, definitions: dg.Definitions, job: str, upload: str) -> RunEnd:
    """Ctrl-C ends the run as a person's stop does; the same command again goes on."""
    try:
        return interruptibly(
            lambda: run_job(desk.instance, definitions, job, upload),
            lambda: ingestions.request_stop(desk.connection, upload),
        )
    except KeyboardInterrupt:
        ingestions.clear_stop(desk.connection, upload)
        raise


def _waited_for_other(desk: Desk, upload: str) -> bool:
    """Let a run that somebody else started finish, or its heartbeat grow old; its result is ours to use."""
    told = False
    while _is_held(desk, upload):
        if not told:
            desk.say(f"Another run works on {upload}; waiting for it.")
            told = True
        time.sleep(_LOOK_AGAIN_SECONDS)
    return told


def _is_held(desk: Desk, upload: str) -> bool:
    row = ingestions.find(desk.connection, upload)
    if row.run_id is None or has_ended(desk.instance, row.run_id):
        return False
    return ingestions.is_held(desk.connection, upload, STALE_SECONDS)


def error_of(row: ingestions.Ingestion) -> LeadIntelError | None:
    """The error that the upload's state stands for, or None when it reached a good end."""
    reason = row.state_reason or row.state.value
    message = row.state_message or f"The upload is {row.state}."
    remedy = row.state_remedy or ""
    match row.state:
        case State.REJECTED:
            return RejectedInput(reason, message, remedy)
        case State.STOPPED:
            return Stopped(reason, message, remedy)
        case State.PAUSED if reason.startswith("guardrail:"):
            return GuardrailFailed(reason, message, remedy)
        case State.PAUSED | State.AWAITING_APPROVAL:
            return Paused(reason, message, remedy)
        case State.FAILED:
            return LeadIntelError(reason, message, remedy)
        case _:
            return None
