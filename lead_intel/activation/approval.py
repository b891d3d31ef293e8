"""Who may approve a plan, and what an approval is good for. No plan is pushed without one."""

from __future__ import annotations

import psycopg

from lead_intel.errors import Paused, UsageError
from lead_intel.policy import Activation
from lead_intel.record import ingestions, outbox, plans
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
        _mark_approved(connection, plan, by)
    return plans.find(connection, plan_id)


def _mark_approved(connection: psycopg.Connection, plan: plans.Plan, by: str) -> None:
    """Approve, and end the upload's wait for it: what remains is a plan that may be pushed."""
    with connection.transaction():
        plans.approve(connection, plan.plan, by)
        if ingestions.find(connection, plan.upload).state is State.AWAITING_APPROVAL:
            ingestions.set_state(connection, plan.upload, State.PLANNED)


def resync_approval(connection: psycopg.Connection, plan: plans.Plan, policy: Activation) -> bool:
    """Approve a re-sync's draft in the name of who approved the upload's last plan; False where a person must.

    A re-sync keeps in step what a person approved: the same sample, profile and policy. A plan that was made for
    anything else waits for a person; so does one that would send again what may have arrived more than a day ago, and
    every one where policy wants a second person.
    """
    approved = plans.last_approved(connection, plan.upload)
    if policy.second_person or approved is None or approved.approved_by is None or plan.state != "draft":
        return False
    if approved.choices != plan.choices or outbox.has_unconfirmed(connection, plan.upload):
        return False
    return plans.approve(connection, plan.plan, approved.approved_by)


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
