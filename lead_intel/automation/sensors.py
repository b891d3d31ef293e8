"""Sensors: gather, call a plain function, build the result. Decisions live in `sweep`, `reaper` and the record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from lead_intel.automation import jobs
from lead_intel.automation.attempts import Attempt, attempts_due
from lead_intel.automation.posted import close_posted
from lead_intel.automation.reaper import end_unheard, reap
from lead_intel.automation.resuming import resumable
from lead_intel.automation.sweep import accept_new_objects
from lead_intel.dnc.snapshots import ensure_snapshot
from lead_intel.errors import LeadIntelError
from lead_intel.failures import ELSEWHERE, reason_of
from lead_intel.partition import UPLOADS
from lead_intel.record import ingestions
from lead_intel.record.announcements import announce_state
from lead_intel.record.frames import remove_abandoned
from lead_intel.surroundings import Surroundings

_PER_TICK = 20
_OUR_JOBS = (jobs.SCREEN, jobs.ENRICH, jobs.ACTIVATE, jobs.RESYNC)
_LAUNCH_GRACE_SECONDS = 15.0
"""Whoever accepts an upload launches it at once; after this long the sensor does it for them."""


@dg.sensor(
    name="lists_in_bucket",
    job=jobs.screen_upload,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Picks up lists that any client puts into the storage bucket, and screens them.",
)
def lists_in_bucket(context: dg.SensorEvaluationContext, surroundings: Surroundings) -> dg.SensorResult:
    """Accept what is new, and launch what was accepted and never begun."""
    try:
        with surroundings.connected() as connection:
            ensure_snapshot(connection, surroundings.settings)
            created = accept_new_objects(connection, surroundings.settings, _PER_TICK)
            waiting = ingestions.waiting_for_launch(connection, _LAUNCH_GRACE_SECONDS)
            known = [upload for upload in waiting if upload not in created]
            again = attempts_due(connection, context.instance, known, datetime.now(UTC))
    except LeadIntelError as error:
        # A bucket that cannot be read is not an empty bucket: say so and look again.
        return dg.SensorResult(skip_reason=f"{error.message} {error.remedy}")
    for upload in created:
        announce_state(surroundings.settings, upload)
    attempts = [*(Attempt(upload, 1) for upload in created), *again]
    if not attempts:
        return dg.SensorResult(skip_reason="No new list in the bucket.")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=attempt.run_key, partition_key=attempt.upload, tags={"upload": attempt.upload})
            for attempt in attempts
        ],
        dynamic_partitions_requests=[UPLOADS.build_add_request([attempt.upload for attempt in attempts])],
    )


@dg.sensor(
    name="paused_uploads",
    jobs=jobs.ALL,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Goes on with uploads that were paused for something that passes by itself, once it has passed.",
)
def paused_uploads(
    context: dg.SensorEvaluationContext, surroundings: Surroundings
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Launch the job that was paused; what a person must mend waits for `lead-intel resume`."""
    with surroundings.connected() as connection:
        ready = resumable(connection, context.instance, surroundings.settings, surroundings.policy)
    if not ready:
        yield dg.SkipReason("Nothing that was paused can go on by itself.")
    for pause in ready:
        yield dg.RunRequest(
            run_key=pause.run_key, job_name=pause.job, partition_key=pause.upload, tags={"upload": pause.upload}
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
        ended += end_unheard(connection, context.instance, datetime.now(UTC))
    for upload in ended:
        announce_state(surroundings.settings, upload)
    remove_abandoned(surroundings.settings.lead_intel_home)
    return dg.SkipReason(f"Interrupted: {', '.join(ended)}." if ended else "All heartbeats are fresh.")


@dg.run_failure_sensor(
    name="failed_uploads",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=5,
    description="Shows an upload as failed when its run ended in a way that no stage foresaw.",
)
def failed_uploads(context: dg.RunFailureSensorContext, surroundings: Surroundings) -> None:
    """A stage that knows what went wrong has said so already; this is for the rest, also before a stage began."""
    run = context.dagster_run
    upload = run.tags.get("dagster/partition")
    if upload is None or run.tags.get("dagster/will_retry") == "true":
        return
    error = reason_of(context.get_step_failure_events(), run.run_id)
    if error.code in ELSEWHERE:
        return
    reason = error.as_reason()
    record = context.instance.get_run_record_by_id(run.run_id)
    with surroundings.connected() as connection:
        ingestions.fail_if_at_work(connection, upload, run.run_id, **reason)
        # Somebody's rerun of a single asset in the web UI says there why it failed; it is not the upload's failure.
        if record is not None and run.job_name in _OUR_JOBS:
            ingestions.fail_if_never_begun(connection, upload, record.create_timestamp.timestamp(), **reason)
    announce_state(surroundings.settings, upload)


@dg.sensor(
    name="posted_leads",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Closes uploads of posted leads when their time is over, and puts their rows into the bucket; "
    "`lists_in_bucket` then screens them.",
)
def posted_leads(surroundings: Surroundings) -> dg.SkipReason:
    """Close and store; launches nothing."""
    try:
        with surroundings.connected() as connection:
            stored = close_posted(connection, surroundings.settings, surroundings.policy.ingestion)
    except LeadIntelError as error:
        # The rows are safe in the database: look again.
        return dg.SkipReason(f"{error.message} {error.remedy}")
    return dg.SkipReason(f"In the bucket now: {', '.join(stored)}." if stored else "No upload of posted leads is due.")


ALL = [lists_in_bucket, posted_leads, paused_uploads, interrupted_uploads, failed_uploads]
