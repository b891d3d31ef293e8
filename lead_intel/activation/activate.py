"""What stands between a plan and its push: the approval, unchanged facts, and the guardrails. Then receipts."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from lead_intel.activation.approval import resync_approval
from lead_intel.activation.plan import messages_digest
from lead_intel.activation.planning import facts_now
from lead_intel.activation.push import AtWork, enqueue, push
from lead_intel.errors import Paused
from lead_intel.record import outbox, plans


def activate(
    at_work: AtWork, messages: pd.DataFrame, *, is_resync: bool, before_pushing: Callable[[], None]
) -> pd.DataFrame:
    """Push the upload's newest plan, whose messages are `messages`; returns `contract.ActivationReceipts`.

    A plan that was pushed before gives its receipts again and sends nothing.

    Args:
        is_resync: a re-sync keeps in step what was approved before, so that its plan may go without a new approval.
        before_pushing: the guardrails; called only when there is something to push.

    Raises:
        UsageError: the upload has no plan.
        Paused: `approval`: nobody approved the plan; `plan_outdated`: the facts it was made from have changed.
        GuardrailFailed, Stopped, TransientError: as in `push`.
    """
    connection = at_work.connection
    plan = plans.newest(connection, at_work.upload)
    if plan.state == "draft" and is_resync and resync_approval(connection, plan, at_work.policy.activation):
        plan = plans.find(connection, plan.plan)
    if plan.state == "draft":
        raise Paused("approval", f"{plan.plan} waits for an approval.", f"`lead-intel approve {plan.plan}`.")
    if plan.state == "approved":
        _refuse_outdated(at_work, plan, messages)
        if plan.size:
            before_pushing()
        enqueue(connection, plan, messages, at_work.policy.activation)
        push(at_work, plan)
    return outbox.receipts(connection, plan.plan)


def _refuse_outdated(at_work: AtWork, plan: plans.Plan, messages: pd.DataFrame) -> None:
    now = facts_now(at_work.connection, at_work.settings, at_work.policy, at_work.upload)
    if plan.facts == now.digest and plan.messages == messages_digest(messages["message_id"]):
        return
    excluded = now.members["excluded"]
    left_out = excluded[excluded != ""].value_counts()
    why = ", ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "none"
    raise Paused(
        "plan_outdated",
        f"What {plan.plan} was made from has changed; members left out now: {why}.",
        f"Renew it: `lead-intel plan {at_work.upload}`.",
    )
