"""Run one job for one upload in this process, on the shared Dagster instance, so that the web UI shows it."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from lead_intel import process
from lead_intel.errors import LeadIntelError
from lead_intel.failures import reason_of
from lead_intel.partition import UPLOADS

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended: its id in Dagster, and why it failed; None when every step and blocking check passed."""

    run_id: str
    failure: LeadIntelError | None


def register_partition(instance: dg.DagsterInstance, upload: str) -> None:
    """Add the upload's partition; adding it twice changes nothing."""
    instance.add_dynamic_partitions(str(UPLOADS.name), [upload])


def run_job(instance: dg.DagsterInstance, definitions: dg.Definitions, job: str, upload: str) -> RunEnd:
    """Run `job` for `upload` to its end."""
    register_partition(instance, upload)
    result = definitions.resolve_job_def(job).execute_in_process(
        partition_key=upload,
        instance=instance,
        run_config=_QUIET,
        tags={"upload": upload, process.TAG: process.this_process()},
        raise_on_error=False,
    )
    failed = [event for event in result.all_events if event.is_step_failure]
    return RunEnd(result.run_id, None if result.success else reason_of(failed, result.run_id))
