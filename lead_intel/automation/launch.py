"""Run one job for one upload in this process, on the shared Dagster instance, so that the web UI shows it."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from lead_intel.partition import UPLOADS

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended: its id in Dagster, and whether every step and blocking check passed."""

    run_id: str
    success: bool


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
        tags={"upload": upload},
        raise_on_error=False,
    )
    return RunEnd(result.run_id, result.success)
