"""Who may approve a plan, and what an approval is good for. No plan is pushed without one."""

from __future__ import annotations

import psycopg

from lead_intel.errors import Paused, UsageError
from lead_intel.policy import Activation
from lead_intel.record import ingestions, plans
from lead_intel.uploads import State


def approve(connection: psycopg.Connection, plan_id: str, by: str, policy: Activation) -> plans.Plan:
    """Approve the plan as `by`. Approving an approved plan again changes nothing.

    Raises:
        UsageError: there is no such plan, a newer one has taken its place, or nobody is named.
        Paused: `approval`: policy wants a second person; the upload waits as `awaiting_approval`.
    """
    plan = plans.find(connection, plan_id)
    if not by.strip():
        raise UsageError("approver_missing", "An approval needs a name.", "`lead-intel approve PLAN --by WHO`.")
    if plan.state == "superseded":
        newest = plans.newest(connection, plan.upload)
        raise UsageError(
            "plan_superseded", f"{plan_id} was superseded by {newest.plan}.", f"Look at {newest.plan} and approve that."
        )
    if plan.state == "draft":
        if policy.second_person:
            _second_person(connection, plan, by)
        plans.approve(connection, plan_id, by)
    return plans.find(connection, plan_id)


def resync_approval(connection: psycopg.Connection, plan: plans.Plan, policy: Activation) -> bool:
    """Approve a re-sync's draft in the name of who approved the upload's last push; False where a person must.

    A re-sync keeps in step what a person approved. Where policy wants a second person, each plan needs its own.
    """
    approver = plans.last_approver(connection, plan.upload)
    if policy.second_person or approver is None or plan.state != "draft":
        return False
    return plans.approve(connection, plan.plan, approver)


def _second_person(connection: psycopg.Connection, plan: plans.Plan, by: str) -> None:
    chooser = ingestions.find(connection, plan.upload).sample_by
    if chooser is not None and chooser != by:
        return
    message = (
        f"{by} chose the sample; policy wants a second person to approve {plan.plan}."
        if chooser is not None
        else f"Nobody is on record as having chosen the sample of {plan.upload}, so no one can be the second."
    )
    remedy = (
        f"Somebody else runs `lead-intel approve {plan.plan} --by WHO`."
        if chooser is not None
        else f"Choose it again: `lead-intel sample {plan.upload} PERCENT`."
    )
    ingestions.set_state(
        connection, plan.upload, State.AWAITING_APPROVAL, reason="approval", message=message, remedy=remedy
    )
    raise Paused("approval", message, remedy)
