"""Sensors: gather, call a plain function, build the result. Decisions live in `sweep`, `reaper` and the record."""

from __future__ import annotations

import dagster as dg

from lead_intel.automation.jobs import screen_upload
from lead_intel.automation.reaper import reap
from lead_intel.automation.sweep import accept_new_objects
from lead_intel.dnc.snapshots import ensure_snapshot
from lead_intel.errors import LeadIntelError
from lead_intel.partition import UPLOADS
from lead_intel.record import ingestions
from lead_intel.surroundings import Surroundings

_PER_TICK = 20
_LAUNCH_GRACE_SECONDS = 15.0
"""Whoever accepts an upload launches it at once; after this long the sensor does it for them."""


@dg.sensor(
    name="lists_in_bucket",
    job=screen_upload,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Picks up lists that any client puts into the storage bucket, and screens them.",
)
def lists_in_bucket(surroundings: Surroundings) -> dg.SensorResult:
    """Accept what is new, and launch what was accepted and never started."""
    try:
        with surroundings.connected() as connection:
            ensure_snapshot(connection, surroundings.settings)
            created = accept_new_objects(connection, surroundings.settings, _PER_TICK)
            waiting = ingestions.waiting_for_launch(connection, _LAUNCH_GRACE_SECONDS)
    except LeadIntelError as error:
        # A bucket that cannot be read is not an empty bucket: say so and look again.
        return dg.SensorResult(skip_reason=f"{error.message} {error.remedy}")
    uploads = list(dict.fromkeys([*created, *waiting]))
    if not uploads:
        return dg.SensorResult(skip_reason="No new list in the bucket.")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=upload, partition_key=upload, tags={"upload": upload}) for upload in uploads
        ],
        dynamic_partitions_requests=[UPLOADS.build_add_request(uploads)],
    )


@dg.sensor(
    name="interrupted_uploads",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose heartbeat stopped because their machine or process died.",
)
def interrupted_uploads(context: dg.SensorEvaluationContext, surroundings: Surroundings) -> dg.SkipReason:
    """Reap; launches nothing."""
    with surroundings.connected() as connection:
        ended = reap(connection, context.instance)
    return dg.SkipReason(f"Interrupted: {', '.join(ended)}." if ended else "All heartbeats are fresh.")


@dg.run_failure_sensor(
    name="failed_uploads",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=5,
    description="Shows an upload as failed when its run ended in a way that no stage foresaw.",
)
def failed_uploads(context: dg.RunFailureSensorContext, surroundings: Surroundings) -> None:
    """A stage that knows what went wrong has said so already; this is for the rest."""
    run = context.dagster_run
    upload = run.tags.get("dagster/partition")
    if upload is not None:
        with surroundings.connected() as connection:
            ingestions.fail_if_at_work(connection, upload, run.run_id)


ALL = [lists_in_bucket, interrupted_uploads, failed_uploads]
