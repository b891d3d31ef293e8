"""Exits: takes out of the audiences whoever may not be contacted any more. Needs nobody's approval.

It reads the record alone: no frame, no vendor, no budget, no sample. What it pushes are removals only, so that
guardrail 7 (the write key) is the only one to ask. It neither holds the upload nor touches its state, and obeys no
stop: a stop parks what is to be added. Run again, or beside a push, it says nothing twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pandas as pd
import psycopg

from lead_intel.activation.plan import audience_keys, difference, messages_digest
from lead_intel.activation.planning import choices_now
from lead_intel.activation.push import AtWork, push_exits
from lead_intel.errors import Stopped
from lead_intel.policy import Policy
from lead_intel.record import database, evidence, members, outbox, plans, suppressions
from lead_intel.settings import Settings

STALE_FOR = timedelta(days=1)
"""A verdict may have run out so long ago before it costs a membership: first, screening tries to renew it."""

_STAGE = "activation"
_HELD = ["persona", "lead_id", "version", "ours", "unsure"]
_RECEIPTS = ["message_id", "lead_id", "persona", "action", "state", "reason", "excluded"]


@dataclass
class Exiting:
    """What exits work with when no stage holds the upload."""

    upload: str
    settings: Settings
    policy: Policy
    connection: psycopg.Connection
    stop: threading.Event = field(default_factory=threading.Event)

    def progress(self, done: int, total: int) -> None:
        """Shown nowhere: the upload's progress is that of whoever holds it."""

    def stop_if_asked(self) -> None:
        """Raise Stopped once `stop` is set."""
        if self.stop.is_set():
            raise Stopped.by_person()


def take_out(at_work: AtWork, *, stale_for: timedelta, before_exits: Callable[[], None]) -> pd.DataFrame:
    """Push the removals that the upload owes; returns `contract.ActivationReceipts` with `excluded`: why.

    Somebody goes who is suppressed, whose verdict is no `send`, was given under another profile than the upload's, or
    ran out longer than `stale_for` ago, or who is no longer known.

    Args:
        before_exits: the guardrail; called only when somebody goes.

    Raises:
        GuardrailFailed, TransientError: as in `push.push`; what is left goes with the next exits.
    """
    connection, upload = at_work.connection, at_work.upload
    gone = _who_must_go(at_work, stale_for)
    plan = _kept(at_work, gone)
    if plan is None:
        return gone.reindex(columns=_RECEIPTS)
    before_exits()
    push_exits(at_work, plan)
    receipts = outbox.receipts(connection, plan.plan)
    states = {f"exits_{state}": int(count) for state, count in receipts["state"].value_counts().items()}
    evidence.append(connection, upload, _STAGE, states, receipts)
    return receipts.merge(gone[["persona", "lead_id", "excluded"]], on=["persona", "lead_id"], how="left")


def _who_must_go(at_work: AtWork, stale_for: timedelta) -> pd.DataFrame:
    rows = members.inside(at_work.connection, at_work.upload, stale_for)
    suppressed = suppressions.suppressed_people(at_work.connection, at_work.settings.lead_intel_identity_key, rows)
    excluded = pd.Series("", index=rows.index, dtype="str")
    # In the order of gravity: the last that is true is named.
    reasons = {
        "verdict_stale": rows["stale"],
        "verdict_hold": rows["verdict"] == "hold",
        "not_screened": rows["verdict"] == "",
        "verdict_block": rows["verdict"] == "block",
        "suppressed": suppressed,
        "person_unknown": rows["phone"] == 0,
    }
    for reason, where in reasons.items():
        excluded = excluded.mask(where, reason)
    return rows.assign(excluded=excluded)[excluded != ""].reset_index(drop=True)


def _kept(at_work: AtWork, gone: pd.DataFrame) -> plans.Plan | None:
    """The plan of exits, its removals committed; None when nobody goes."""
    connection, policy, upload = at_work.connection, at_work.policy, at_work.upload
    if gone.empty:
        outbox.withhold_earlier_exits(connection, upload, "")
        return None
    ever = [(used.persona, used.audience_key) for used in members.personas_ever_used(connection)]
    removals = difference(
        pd.DataFrame({name: pd.Series(dtype="str") for name in ("persona", "lead_id", "version", "traits")}),
        gone.assign(ours=True, unsure=False)[_HELD],
        outbox.message_numbers(connection, upload),
        audience_keys(policy.personas, ever),
        database.now(connection),
    )
    digest = messages_digest(removals["message_id"])
    draft = plans.Draft(
        choices=choices_now(connection, policy, upload),
        facts=digest,
        messages=digest,
        additions=0,
        changes=0,
        removals=len(removals),
        personas={},
    )
    rows = removals.assign(state="pending", reason="").merge(
        gone[["persona", "lead_id", "excluded"]], on=["persona", "lead_id"], how="left"
    )
    with connection.transaction():
        plan = plans.put_exits(connection, upload, draft)
        outbox.enqueue_exits(connection, plan.plan, upload, rows)
        members.exclude(connection, upload, gone)
    return plan
