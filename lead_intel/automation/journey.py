"""How an upload moves from one job to the next: the moves that a person makes in the CLI, and later in the hub.

Each move launches a Dagster job or changes the upload's row; what a stage does is the stage's business. Every move
can be repeated: done work is found, never paid or pushed again.
"""

from __future__ import annotations

import getpass
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import dagster as dg
import psycopg

from lead_intel.activation.approval import approve
from lead_intel.automation import jobs
from lead_intel.automation.launch import register_partition, run_job
from lead_intel.errors import (
    GuardrailFailed,
    LeadIntelError,
    Paused,
    RejectedInput,
    Stopped,
    UsageError,
)
from lead_intel.policy import Policy
from lead_intel.record import bucket, ingestions, plans
from lead_intel.record.frames import has_frame
from lead_intel.settings import Settings
from lead_intel.stage import STALE_SECONDS
from lead_intel.uploads import WORKING, State

_BLOCK = 1 << 20
_STOP_SECONDS = 5.0
_SCREENING_STAGES = (None, "validation", "lookup", "dnc")


class Say(Protocol):
    """Tells the person one sentence about what happens now."""

    def __call__(self, sentence: str) -> None:
        """Show `sentence`."""
        ...


@dataclass(frozen=True)
class Desk:
    """What a person's moves need: where the house stands, its policy, its record, its Dagster."""

    settings: Settings
    policy: Policy
    connection: psycopg.Connection
    instance: dg.DagsterInstance
    definitions: Callable[[], dg.Definitions]
    """Loads the code location: a second or two, for which a move that finds its work done does not wait."""
    say: Say


@dataclass(frozen=True, slots=True)
class Received:
    """The upload that a file became, or already was."""

    upload: str
    created: bool


def receive(desk: Desk, file: Path, supplier: str, profile: str | None) -> Received:
    """Put `file` into the bucket and make an upload of it; the same bytes again are the same upload.

    Raises:
        UsageError: the file cannot be read, or the supplier's name is impossible.
        RejectedInput: the bucket refuses it.
    """
    if not bucket.SUPPLIER.fullmatch(supplier):
        raise UsageError(
            "supplier_name",
            f"{supplier!r} cannot be a supplier.",
            "Use letters, digits, dot, dash, underscore.",
        )
    digest = sha256_of(file)
    same = ingestions.find_same_bytes(desk.connection, supplier, digest)
    if same is not None:
        if profile is not None and profile != same.profile:
            ingestions.set_profile(desk.connection, same.upload, profile)
        return Received(same.upload, created=False)
    stored = bucket.put_list(desk.settings, file, supplier, digest)
    accepted = ingestions.accept(desk.connection, stored, supplier, profile or "strict")
    if profile is not None:
        ingestions.set_profile(desk.connection, accepted.upload, profile)
    register_partition(desk.instance, accepted.upload)
    return Received(accepted.upload, accepted.created)


def screen(desk: Desk, upload: str) -> None:
    """Validate, look up and screen."""
    _work(desk, jobs.SCREEN, upload)


def choose_sample(desk: Desk, upload: str, percent: Decimal) -> None:
    """Store the sample that a person chose. Lowering it deletes nothing and buys nothing."""
    row = ingestions.find(desk.connection, upload)
    if row.state == State.REJECTED:
        raise RejectedInput(row.state_reason or "rejected", row.state_message or "The upload was rejected.")
    ingestions.set_sample_percent(desk.connection, upload, percent, getpass.getuser())


def plan(desk: Desk, upload: str) -> None:
    """Enrich the chosen sample and plan its activation: a dry run, nothing is pushed."""
    if not has_frame(desk.settings.frames_dir, "dnc_verdicts", upload):
        screen(desk, upload)
    _work(desk, jobs.ENRICH, upload)


def screen_if_needed(desk: Desk, upload: str) -> None:
    """Screen unless a screening that still holds is there."""
    row = ingestions.find(desk.connection, upload)
    if _needs_screening(desk, row):
        screen(desk, upload)


def activate(desk: Desk, plan_id: str, by: str) -> None:
    """Approve a plan as `by`, unless it is approved, and push it.

    Raises:
        Paused: policy wants a second person.
        GuardrailFailed: a pre-flight check says no.
    """
    chosen = plans.find(desk.connection, plan_id)
    if chosen.state == "draft":
        approve(desk.connection, plan_id, by, desk.policy.activation)
    push(desk, chosen.upload)


def push(desk: Desk, upload: str) -> None:
    """Push the newest plan, which must be approved."""
    ingestions.set_activation_ready(desk.connection, upload, ready=True)
    _work(desk, jobs.ACTIVATE, upload)


def stop(connection: psycopg.Connection, upload: str) -> None:
    """Park the upload: at once when nobody works on it, else within a second by whoever does."""
    row = ingestions.find(connection, upload)
    ingestions.request_stop(connection, upload)
    if row.state not in WORKING:
        if row.state in (State.ACTIVATED, State.REJECTED):
            ingestions.clear_stop(connection, upload)
            raise UsageError("nothing_to_stop", f"{upload} is {row.state}: there is nothing to stop.")
        _set_stopped(connection, upload)
        return
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline:
        if ingestions.find(connection, upload).state not in WORKING:
            return
        time.sleep(0.1)
    # Whoever worked on it is gone or hangs: the row is parked, and a late worker finds it so.
    _set_stopped(connection, upload)


def _set_stopped(connection: psycopg.Connection, upload: str) -> None:
    ingestions.set_state(
        connection,
        upload,
        State.STOPPED,
        reason="stopped",
        message="Stopped by a person.",
        remedy=f"`lead-intel resume {upload}` goes on without paying again.",
    )


def resume(desk: Desk, upload: str) -> None:
    """Go on where the upload stopped, without paying or pushing again what is done."""
    row = ingestions.find(desk.connection, upload)
    ingestions.clear_stop(desk.connection, upload)
    if row.stage in _SCREENING_STAGES or not has_frame(desk.settings.frames_dir, "dnc_verdicts", upload):
        screen(desk, upload)
    elif row.stage == "activation" and row.activation_ready and row.state_reason != "plan_outdated":
        push(desk, upload)
        return
    if row.sample_percent is not None:
        plan(desk, upload)


def run(
    desk: Desk,
    file: Path,
    supplier: str,
    profile: str | None,
    percent: Decimal | None,
    *,
    activated_by: str | None,
) -> str:
    """Everything in one go: receive, screen, sample, plan and, when `activated_by` is given, activate.

    Returns the upload. What an earlier run did is not done again.
    """
    received = receive(desk, file, supplier, profile)
    upload = received.upload
    before = ingestions.find(desk.connection, upload)
    if not received.created:
        desk.say(f"These bytes are known: upload {upload} of {before.created_at:%Y-%m-%d %H:%M} UTC, {before.state}.")
    ingestions.clear_stop(desk.connection, upload)
    row = ingestions.find(desk.connection, upload)
    fresh_screening = _needs_screening(desk, row)
    if fresh_screening:
        screen(desk, upload)
    wanted = max(percent or Decimal(0), before.sample_percent or Decimal(0))
    if percent is None and before.sample_percent is None and activated_by is None:
        return upload
    if activated_by is not None:
        ingestions.set_activation_ready(desk.connection, upload, ready=True)
    grown = before.sample_percent is None or wanted > before.sample_percent
    if grown:
        choose_sample(desk, upload, wanted)
    if grown or fresh_screening or not _is_planned(desk, upload):
        plan(desk, upload)
    if activated_by is not None and ingestions.find(desk.connection, upload).state != State.ACTIVATED:
        activate(desk, plans.newest(desk.connection, upload).plan, activated_by)
    return upload


def _needs_screening(desk: Desk, row: ingestions.Ingestion) -> bool:
    """True when the upload was never screened to the end, or the profile that judged it has changed."""
    if not has_frame(desk.settings.frames_dir, "dnc_verdicts", row.upload):
        return True
    if row.state in (State.RECEIVED, State.REJECTED, State.SCREENING):
        return True
    if row.state in (State.PAUSED, State.STOPPED, State.FAILED) and row.stage in _SCREENING_STAGES:
        return True
    return row.profile_screened != row.profile


def _is_planned(desk: Desk, upload: str) -> bool:
    row = ingestions.find(desk.connection, upload)
    return row.state in (
        State.PLANNED,
        State.AWAITING_APPROVAL,
        State.ACTIVATING,
        State.ACTIVATED,
    ) and has_frame(desk.settings.frames_dir, "activation_plan", upload)


def _work(desk: Desk, job: str, upload: str) -> None:
    _wait_for_other(desk, upload)
    end = run_job(desk.instance, desk.definitions(), job, upload)
    if not end.success:
        ingestions.fail_if_at_work(desk.connection, upload, end.run_id)
    error = error_of(ingestions.find(desk.connection, upload))
    if error is None and not end.success:
        error = LeadIntelError(
            "unforeseen",
            "The run ended in a way that no stage foresaw.",
            f"Dagster's run {end.run_id} has the details.",
        )
    if error is not None:
        raise error


def _wait_for_other(desk: Desk, upload: str) -> None:
    """Let a run that a sensor started meanwhile finish; its result is ours to use."""
    told = False
    while True:
        row = ingestions.find(desk.connection, upload)
        run = desk.instance.get_run_by_id(row.run_id) if row.run_id else None
        if run is None or run.is_finished or row.state not in WORKING:
            return
        age = desk.connection.execute(
            "select extract(epoch from now() - heartbeat_at) from lead_intel.lead_ingestions where upload = %s",
            (upload,),
        ).fetchone()
        if age is not None and age[0] is not None and float(age[0]) > STALE_SECONDS:
            return
        if not told:
            desk.say(f"Another run works on {upload}; waiting for it.")
            told = True
        time.sleep(0.5)


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


def sha256_of(file: Path) -> str:
    """Digest of a file's bytes. Raises UsageError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with file.open("rb") as handle:
            while block := handle.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise UsageError(
            "file_unreadable", f"{file} cannot be read: {error.strerror}.", "Name a CSV or XLSX file."
        ) from None
    return digest.hexdigest()
