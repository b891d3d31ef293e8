"""Pushes a plan's messages to Segment: committed first, asked again about each lead, sent, recorded.

At every moment a kill leaves rows that say what may have arrived; the next push sends those again under the same ids.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Container, Iterator, Sequence
from typing import Protocol

import pandas as pd
import psycopg

from lead_intel.errors import GuardrailFailed, Stopped, TransientError
from lead_intel.policy import Activation, Policy
from lead_intel.record import members, outbox, plans, suppressions, vendor_rounds
from lead_intel.record.outbox import Due, Standing
from lead_intel.settings import Settings
from lead_intel.vendors.segment_tracking import Delivery, Fate, Tracking, room_for_events, size_of

_FIRST_WAIT_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 30.0
_RETRY_AFTER_CAP_SECONDS = 60.0
_SEPARATOR_BYTES = 2
_ACCOUNT = "segment_tracking"


class AtWork(Protocol):
    """What of a stage at work is needed here (`lead_intel.stage.StageAtWork` has it)."""

    upload: str
    settings: Settings
    policy: Policy
    connection: psycopg.Connection
    stop: threading.Event

    def progress(self, done: int, total: int) -> None:
        """Show how far the work is."""
        ...


def enqueue(connection: psycopg.Connection, plan: plans.Plan, messages: pd.DataFrame, policy: Activation) -> None:
    """Commit the plan's messages (`contract.ActivationPlan`); those that Segment cannot take are failed at once."""
    verdicts = [_objection(payload, policy.event_bytes) for payload in messages["payload"]]
    objections = pd.Series(verdicts, index=messages.index, dtype="str")
    rows = messages.assign(
        payload=messages["payload"].mask(objections == "unserialisable", "{}"),
        state=pd.Series("pending", index=messages.index, dtype="str").mask(objections != "", "failed"),
        reason=objections,
    )
    outbox.enqueue(connection, plan.plan, plan.upload, rows)


def push_exits(at_work: AtWork, plan: plans.Plan) -> None:
    """Send the removals of a plan of exits. Raises as `push`."""
    _Push(at_work, plan).run()
    plans.set_activated(at_work.connection, plan.plan)


def push(at_work: AtWork, plan: plans.Plan) -> None:
    """Send what is pending of `plan` until every message has reached its end.

    Raises:
        Stopped: within a second of the stop; nothing is lost, a batch in flight is sent again on resume.
        GuardrailFailed: `guardrail:7`: Segment refuses the write key.
        TransientError: Segment does not answer, or is busy for longer than policy waits.
    """
    outbox.end_unconfirmed(at_work.connection, plan.plan)
    _Push(at_work, plan).run()
    with at_work.connection.transaction():
        members.take_over(at_work.connection, plan.upload)
        plans.set_activated(at_work.connection, plan.plan)


class _Push:
    def __init__(self, at_work: AtWork, plan: plans.Plan) -> None:
        self._at_work = at_work
        self._connection = at_work.connection
        self._policy = at_work.policy.activation
        self._plan = plan
        self._tracking = Tracking(at_work.settings, at_work.stop)
        self._round = uuid.uuid4()
        self._next_start = time.monotonic()

    def run(self) -> None:
        last = ""
        while rows := outbox.due(self._connection, self._plan.plan, last, self._policy.batch_events):
            last = rows[-1].message_id
            for batch in self._batches(rows):
                self._deliver(batch)
            left = outbox.pending(self._connection, self._plan.plan)
            self._at_work.progress(self._plan.size - left, self._plan.size)
        vendor_rounds.leave(self._connection, self._round)

    def _batches(self, rows: Sequence[Due]) -> Iterator[list[Due]]:
        room = room_for_events(self._policy.batch_bytes)
        batch: list[Due] = []
        used = 0
        for row in rows:
            size = size_of(row.payload) + _SEPARATOR_BYTES
            if batch and used + size > room:
                yield batch
                batch, used = [], 0
            batch.append(row)
            used += size
        if batch:
            yield batch

    def _deliver(self, batch: list[Due]) -> None:
        """Send `batch`, again and again while Segment is silent or busy; each time only what may still leave."""
        delivery = Delivery(Fate.NO_ANSWER)
        for attempt in range(self._policy.attempts):
            if attempt:
                self._wait(_backoff(attempt, delivery.retry_after))
            self._keep_pace(len(batch))
            batch = self._allowed(batch)
            if not batch:
                return
            delivery = self._hand_over(batch)
            if delivery.fate in (Fate.ACCEPTED, Fate.REFUSED):
                return
        busy = delivery.fate is Fate.BUSY
        raise TransientError(
            "segment_busy" if busy else "segment_down",
            f"Segment {'is busy' if busy else 'does not answer'} ({delivery.detail}).",
            "Nothing is lost: `lead-intel resume UPLOAD` sends the rest, under the same message ids.",
        )

    def _hand_over(self, batch: list[Due]) -> Delivery:
        ids = [row.message_id for row in batch]
        outbox.note_attempt(self._connection, ids)
        delivery = self._tracking.send([row.payload for row in batch])
        match delivery.fate:
            case Fate.ACCEPTED:
                outbox.note_sent(self._connection, ids)
            case Fate.REFUSED if len(batch) == 1:
                outbox.note_failed(self._connection, ids, "rejected")
            case Fate.REFUSED:
                # One bad message fails its whole batch: halve until it stands alone, and the others leave.
                middle = len(batch) // 2
                self._deliver(batch[:middle])
                self._deliver(batch[middle:])
            case Fate.WRITE_KEY:
                raise GuardrailFailed(
                    "guardrail:7",
                    f"Segment refuses the write key ({delivery.detail}).",
                    "Copy a live write key of the source into SEGMENT_WRITE_KEY; then resume.",
                )
        return delivery

    def _allowed(self, batch: Sequence[Due]) -> list[Due]:
        """Those of `batch` that may leave at this moment; the others are withheld, each with its reason."""
        rows = outbox.standing(self._connection, [row.message_id for row in batch])
        suppressed = self._suppressed(rows)
        reasons = {row.message_id: _why_not(row, suppressed) for row in rows}
        withheld: dict[str, list[str]] = {}
        for message_id, reason in reasons.items():
            if reason:
                withheld.setdefault(reason, []).append(message_id)
        for reason, ids in withheld.items():
            outbox.note_withheld(self._connection, ids, reason)
        return [row for row in batch if not reasons[row.message_id]]

    def _suppressed(self, rows: Sequence[Standing]) -> set[str]:
        """Ids of the messages whose lead is on our own list now, by phone or e-mail."""
        key = self._at_work.settings.lead_intel_identity_key
        by_phone = {row.message_id: suppressions.phone_digest(key, row.phone) for row in rows if row.phone}
        by_email = {row.message_id: suppressions.email_digest(key, row.email) for row in rows if row.email}
        found: set[str] = set()
        for kind, digests in (("phone", by_phone), ("email", by_email)):
            listed = suppressions.suppressed_digests(self._connection, kind, set(digests.values()))
            found |= {message_id for message_id, digest in digests.items() if digest in listed}
        return found

    def _keep_pace(self, events: int) -> None:
        """Wait for this batch's turn; the source's pace is shared with the pushes of other uploads."""
        self._wait(self._next_start - time.monotonic())
        pushes = vendor_rounds.share(self._connection, _ACCOUNT, self._round)
        self._next_start = max(self._next_start, time.monotonic()) + events * pushes / self._policy.events_per_second

    def _wait(self, seconds: float) -> None:
        if self._at_work.stop.wait(max(seconds, 0.0)):
            raise Stopped.by_person()


def _why_not(row: Standing, suppressed: Container[str]) -> str:
    """Why the message may not leave now; blank when it may. A removal may always leave, if it is ours to make."""
    if row.newer_owner:
        return "newer_upload"
    if row.action == "remove":
        return ""
    if row.phone is None:
        return "person_unknown"
    if row.message_id in suppressed:
        return "suppressed"
    if row.verdict != "send":
        return f"verdict_{row.verdict}" if row.verdict else "not_screened"
    return "" if row.fresh else "verdict_stale"


def _objection(payload: str, most_bytes: int) -> str:
    """Why Segment could not take this event; blank when it could."""
    try:
        size = size_of(json.loads(payload))
    except ValueError:
        return "unserialisable"
    return "too_large" if size > most_bytes else ""


def _backoff(attempt: int, retry_after: float | None) -> float:
    if retry_after is not None:
        return min(max(retry_after, _FIRST_WAIT_SECONDS), _RETRY_AFTER_CAP_SECONDS)
    return min(_FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1), _LONGEST_WAIT_SECONDS)
