"""What stands between a plan and its push: the approval, unchanged facts, and the guardrails. Then receipts.

Whatever keeps a re-sync from pushing its plan keeps nobody in an audience: `exits` go all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pandas as pd

from lead_intel.activation.approval import resync_approval
from lead_intel.activation.exits import take_out
from lead_intel.activation.plan import messages_digest
from lead_intel.activation.planning import choices_now, facts_now
from lead_intel.activation.push import AtWork, enqueue, push
from lead_intel.errors import GuardrailFailed, Paused
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
        Paused: `approval`: nobody approved the plan; `plan_outdated`: the facts it was made from, or the sample,
            profile or policy that it was made for, have changed.
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


def resync(
    at_work: AtWork,
    messages: pd.DataFrame,
    *,
    before_pushing: Callable[[], None],
    before_exits: Callable[[], None],
) -> pd.DataFrame:
    """`activate` as a re-sync does it; where the plan may not go, those who may not be contacted leave all the same.

    By now everybody was screened again, so that a verdict which is still stale counts at once.

    Raises: as `activate`.
    """
    try:
        return activate(at_work, messages, is_resync=True, before_pushing=before_pushing)
    except (Paused, GuardrailFailed):
        take_out(at_work, stale_for=timedelta(), before_exits=before_exits)
        raise


def refuse_other_choices(plan: plans.Plan, now: plans.Choices) -> None:
    """Raise Paused (`plan_outdated`) when `plan` was made for another sample, profile or policy than hold now."""
    if plan.choices == now:
        return
    made = plan.choices
    changed = [
        f"the sample was {made.sample_percent.normalize():f} % and is {now.sample_percent.normalize():f} %"
        if made.sample_percent != now.sample_percent
        else "",
        f"the profile was {made.profile} and is {now.profile}" if made.profile != now.profile else "",
        "the persona or activation policy is another one" if made.policy != now.policy else "",
    ]
    raise Paused(
        "plan_outdated",
        f"What {plan.plan} was made for has changed: {'; '.join(filter(None, changed))}.",
        f"Renew it: `lead-intel plan {plan.upload}`.",
    )


def _refuse_outdated(at_work: AtWork, plan: plans.Plan, messages: pd.DataFrame) -> None:
    refuse_other_choices(plan, choices_now(at_work.connection, at_work.policy, at_work.upload))
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
