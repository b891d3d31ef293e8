"""Ends what a dead machine left: runs that Dagster believes alive, uploads that are shown as at work.

Dagster's default launcher never notices that a whole machine died; the heartbeat row of the upload does.
"""

from __future__ import annotations

import dagster as dg
import psycopg

from lead_intel.record import ingestions

SILENT_SECONDS = 60.0

_WAITING = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING)


def reap(connection: psycopg.Connection, instance: dg.DagsterInstance) -> list[str]:
    """Mark silent uploads as interrupted, end their runs, and return their keys.

    A run that waits for its turn is silent too, and alive.
    """
    ended = []
    for upload, run_id in ingestions.silent(connection, SILENT_SECONDS):
        run = instance.get_run_by_id(run_id) if run_id else None
        if run is not None and run.status in _WAITING:
            continue
        if not ingestions.interrupt(connection, upload, run_id, SILENT_SECONDS):
            continue
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, "Its heartbeat stopped: the machine or process that ran it is gone.")
        ended.append(upload)
    return ended
