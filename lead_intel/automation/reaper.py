"""Ends what a dead machine left: runs that Dagster believes alive, uploads that are shown as at work.

No launcher of Dagster's notices that a whole machine died; the heartbeat row of the upload does. Outside the stages,
before the first and after the last, nobody beats: there a run is known to live by what it writes into Dagster's log.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg

from lead_intel.record import ingestions

SILENT_SECONDS = 60.0

UNHEARD = timedelta(seconds=180)
"""A started run that has neither beaten nor logged for so long is dead. Longer than any step outside a stage takes."""

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


def end_unheard(connection: psycopg.Connection, instance: dg.DagsterInstance, now: datetime) -> list[str]:
    """End the runs of uploads that died outside a stage; returns their uploads.

    Left alone, such a run would keep its place in the queue, and its upload from every other run, for hours.
    """
    ended = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        run, upload = record.dagster_run, record.dagster_run.tags.get("dagster/partition")
        if upload is None or now - _last_heard(instance, record) < UNHEARD:
            continue
        if ingestions.has_beaten(connection, upload, run.run_id, UNHEARD.total_seconds()):
            continue
        instance.report_run_failed(run, "Neither heartbeat nor log: the machine or process that ran it is gone.")
        ended.append(upload)
    return ended


def _last_heard(instance: dg.DagsterInstance, record: dg.RunRecord) -> datetime:
    events = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    newest = [datetime.fromtimestamp(event.timestamp, tz=UTC) for event in events]
    return max([record.create_timestamp.astimezone(UTC), *newest])
