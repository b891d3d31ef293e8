"""The Dagster face of activation: load, call, return frame and metadata. No logic of its own."""

# Without `from __future__ import annotations`: Dagster reads the annotation of `context` as an object.

import dagster as dg
import pandas as pd

from lead_intel.activation import personas
from lead_intel.activation.activate import activate, resync
from lead_intel.activation.exits import STALE_FOR, Exiting, take_out
from lead_intel.activation.fields import joined
from lead_intel.activation.planning import Planned, keep_members, make_plan
from lead_intel.contract import ActivationPlan, ActivationReceipts, PersonaMembers, checked
from lead_intel.errors import LeadIntelError
from lead_intel.failures import without_personal_data
from lead_intel.guardrails.g08_engage_audiences import examine
from lead_intel.guardrails.gate import require
from lead_intel.guardrails.inputs import gather
from lead_intel.partition import UPLOADS
from lead_intel.record import engage_templates, evidence, outbox, plans
from lead_intel.stage import StageAtWork, stage_of
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import State

_STAGE = "activation"
_RESYNC_JOB = "resync"
_GUARDRAILS = (7, 8, 9, 10)
_EXITS_GUARDRAILS = (7,)
_FIRST = {"dagster/priority": "10"}
"""Of the steps that are ready the executor takes this one first: nothing that fails later keeps anybody inside."""


@dg.asset(
    partitions_def=UPLOADS,
    group_name=_STAGE,
    kinds={"duckdb", "postgres"},
    description="Who of the sample belongs to which persona, with the parts of the score and the traits to send.",
)
def persona_members(
    context: dg.AssetExecutionContext,
    surroundings: Surroundings,
    valid_leads: pd.DataFrame,
    phone_lookups: pd.DataFrame,
    enriched_leads: pd.DataFrame,
) -> dg.Output[pd.DataFrame]:
    """See `personas.members`."""
    with stage_of(context, surroundings, _STAGE, State.ENRICHING) as at_work:
        leads = joined(valid_leads, phone_lookups, enriched_leads)
        key = at_work.settings.lead_intel_identity_key
        frame = checked(personas.members(leads, at_work.policy.personas, key), PersonaMembers)
        keep_members(at_work.connection, at_work.upload, at_work.policy, frame)
        sizes = frame.groupby("persona").agg(leads=("lead_id", "size"), mean_score=("score", "mean")).round(1)
        return dg.Output(
            frame,
            metadata={
                "dagster/row_count": len(frame),
                "leads": int(frame["lead_id"].nunique()),
                "without_persona": len(leads) - int(frame["lead_id"].nunique()),
                "personas": dg.MetadataValue.md(sizes.reset_index().to_markdown(index=False)),
            },
        )


@dg.asset(
    partitions_def=UPLOADS,
    group_name=_STAGE,
    kinds={"pandas", "postgres"},
    # Verdicts are read from the record, as they are now: a re-sync screens first, then plans.
    deps=["dnc_verdicts"],
    description="Dry run: the additions, changes and removals that bring the audiences up to date. Pushes nothing.",
)
def activation_plan(
    context: dg.AssetExecutionContext, surroundings: Surroundings, persona_members: pd.DataFrame
) -> dg.Output[pd.DataFrame]:
    """See `planning.make_plan`."""
    with stage_of(context, surroundings, _STAGE, State.ENRICHING) as at_work:
        planned = make_plan(at_work.connection, at_work.settings, at_work.policy, at_work.upload, persona_members)
        frame = checked(planned.messages, ActivationPlan)
        state = State.ACTIVATED if planned.plan.state == "activated" else State.PLANNED
        at_work.stop_if_asked()
        at_work.reached(state)
        return dg.Output(frame, metadata=_account(planned))


@dg.asset(
    partitions_def=UPLOADS,
    group_name=_STAGE,
    kinds={"segment", "postgres"},
    description="What became of every message of the approved plan: sent, failed or withheld, each with its reason.",
)
def activation_receipts(
    context: dg.AssetExecutionContext, surroundings: Surroundings, activation_plan: pd.DataFrame
) -> dg.Output[pd.DataFrame]:
    """See `activate.activate`. Needs the newest plan approved; guardrails 7 to 10 are asked before the first push."""
    with stage_of(context, surroundings, _STAGE, State.ACTIVATING) as at_work:
        try:
            frame = checked(_pushed(context, at_work, activation_plan), ActivationReceipts)
        except LeadIntelError:
            # A push that breaks has sent something all the same: what it did so far is evidence, too.
            _keep_evidence(at_work)
            raise
        _keep_evidence(at_work)
        ends = frame.groupby(["persona", "action", "state", "reason"]).size().rename("messages").reset_index()
        at_work.reached(State.ACTIVATED)
        return dg.Output(
            frame,
            metadata={
                "dagster/row_count": len(frame),
                "leads": int(frame["lead_id"].nunique()),
                "receipts": dg.MetadataValue.md(ends.to_markdown(index=False)),
            },
        )


@dg.asset(
    partitions_def=UPLOADS,
    group_name=_STAGE,
    kinds={"segment", "postgres"},
    op_tags=_FIRST,
    description="Removals that need no approval: who opted out or lost the verdict leaves the audiences, first of all.",
)
def audience_exits(context: dg.AssetExecutionContext, surroundings: Surroundings) -> dg.MaterializeResult[None]:
    """See `exits.take_out`. Works whatever the upload's state, and leaves that alone."""
    with without_personal_data(), surroundings.connected() as connection:
        at_work = Exiting(context.partition_key, surroundings.settings, surroundings.policy, connection)
        left = take_out(at_work, stale_for=STALE_FOR, before_exits=lambda: require(_EXITS_GUARDRAILS, at_work))
    counts = left.groupby(["persona", "excluded", "state"]).size().rename("messages").reset_index()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(left),
            "leads": int(left["lead_id"].nunique()),
            "exits": dg.MetadataValue.md(counts.to_markdown(index=False)),
        }
    )


@dg.asset(
    group_name=_STAGE,
    kinds={"segment"},
    description="The Segment audiences that feed our Engage templates, as the Public API shows them now.",
)
def segment_audiences(surroundings: Surroundings) -> dg.MaterializeResult[None]:
    """Asks as guardrail 8 does, and shows what is registered."""
    with surroundings.connected() as connection:
        finding = examine(gather(surroundings.settings, surroundings.policy, connection, None))
        templates = engage_templates.registered(connection).values()
    table = pd.DataFrame(
        [(row.template, row.audience_key, row.last_seen_status or "never", str(row.last_seen_at)) for row in templates],
        columns=["template", "audience", "status", "seen"],
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(table),
            "state": str(finding.state),
            "seen": finding.seen,
            "audiences": dg.MetadataValue.md(table.to_markdown(index=False)),
        }
    )


def _pushed(context: dg.AssetExecutionContext, at_work: StageAtWork, messages: pd.DataFrame) -> pd.DataFrame:
    def before_pushing() -> None:
        require(_GUARDRAILS, at_work)

    if context.job_name == _RESYNC_JOB:
        return resync(
            at_work,
            messages,
            before_pushing=before_pushing,
            before_exits=lambda: require(_EXITS_GUARDRAILS, at_work),
        )
    return activate(at_work, messages, is_resync=False, before_pushing=before_pushing)


def _keep_evidence(at_work: StageAtWork) -> None:
    plan = plans.newest_or_none(at_work.connection, at_work.upload)
    if plan is None:
        return
    receipts = outbox.receipts(at_work.connection, plan.plan)
    if plan.state == "draft" and receipts.empty:
        return
    states = {str(state): int(count) for state, count in receipts["state"].value_counts().items()}
    evidence.append(at_work.connection, at_work.upload, _STAGE, states, receipts)


def _account(planned: Planned) -> dict[str, dg.MetadataValue | int | str]:
    plan = planned.plan
    actions = planned.messages.groupby(["persona", "action"]).size().rename("messages").reset_index()
    left_out = ", ".join(f"{reason}: {count}" for reason, count in planned.left_out.items())
    return {
        "dagster/row_count": len(planned.messages),
        "plan": plan.plan,
        "plan_state": plan.state,
        "additions": plan.additions,
        "changes": plan.changes,
        "removals": plan.removals,
        "left_out": left_out or "nobody",
        "messages": dg.MetadataValue.md(actions.to_markdown(index=False)),
    }
