"""Ends what a dead machine left: runs that Dagster believes alive, uploads that are shown as at work.

Dagster's default launcher never notices that a whole machine died; the heartbeat row of the upload does.
"""

from __future__ import annotations

import dagster as dg
import psycopg

from lead_intel.record import ingestions
from lead_intel.uploads import State

SILENT_SECONDS = 60.0


def reap(connection: psycopg.Connection, instance: dg.DagsterInstance) -> list[str]:
    """Mark silent uploads as interrupted, end their runs, and return their keys."""
    ended = []
    for upload, run_id in ingestions.silent(connection, SILENT_SECONDS):
        run = instance.get_run_by_id(run_id) if run_id else None
        if run is not None and run.status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED):
            continue
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, "Its heartbeat stopped: the machine or process that ran it is gone.")
        ingestions.set_state(
            connection,
            upload,
            State.FAILED,
            reason="interrupted",
            message="The work on this upload was interrupted.",
            remedy="`lead-intel resume` goes on without paying again.",
        )
        ended.append(upload)
    return ended
