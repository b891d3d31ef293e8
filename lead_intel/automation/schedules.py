"""The re-sync schedule: keeps activated audiences in step with suppressions, freshness and consent."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from lead_intel.automation.jobs import EXITS, resync
from lead_intel.record import ingestions
from lead_intel.surroundings import Surroundings


@dg.schedule(
    name="resync_activated",
    job=resync,
    cron_schedule="0 5 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning: opt-outs leave the audiences; activated uploads are screened and pushed again.",
)
def resync_activated(
    context: dg.ScheduleEvaluationContext, surroundings: Surroundings
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run per upload that has somebody in an audience, or that policy still keeps in step."""
    policy = surroundings.policy.activation
    with surroundings.connected() as connection:
        due = ingestions.due_for_resync(connection, policy.resync_days)
    if not due:
        yield dg.SkipReason("No upload has anybody in an audience.")
    tick = context.scheduled_execution_time.strftime("%Y%m%dT%H%M")
    for each in due:
        yield dg.RunRequest(
            run_key=f"{each.upload}:{tick}",
            partition_key=each.upload,
            tags={"upload": each.upload},
            asset_selection=[dg.AssetKey(EXITS)] if each.exits_only else None,
        )


ALL = [resync_activated]
