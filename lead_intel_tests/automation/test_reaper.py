"""What a dead machine left is ended: the upload says so and can be resumed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from lead_intel.automation.reaper import UNHEARD, end_unheard, reap
from lead_intel.record import ingestions, upload_files
from lead_intel.record.upload_files import StoredObject
from lead_intel.uploads import State


@pytest.fixture
def upload(database: psycopg.Connection) -> str:
    stored = StoredObject("lead-uploads", "acme/a.csv", "1", "a.csv", 1, "0" * 64)
    key = upload_files.accept(database, stored, "acme").upload
    ingestions.set_state(database, key, State.SCREENING)
    return key


def silence(database: psycopg.Connection, upload: str, seconds: int) -> None:
    database.execute(
        "update lead_intel.lead_ingestions set heartbeat_at = now() - make_interval(secs => %s), run_id = 'gone' "
        "where upload = %s",
        (seconds, upload),
    )


def test_an_upload_whose_heartbeat_stopped_is_interrupted(database: psycopg.Connection, upload: str) -> None:
    silence(database, upload, 61)

    with dg.DagsterInstance.ephemeral() as instance:
        assert reap(database, instance) == [upload]

    row = ingestions.find(database, upload)
    assert (row.state, row.state_reason) == ("failed", "interrupted")
    assert "resume" in (row.state_remedy or "")


def test_an_upload_with_a_fresh_heartbeat_is_left_alone(database: psycopg.Connection, upload: str) -> None:
    silence(database, upload, 5)

    with dg.DagsterInstance.ephemeral() as instance:
        assert reap(database, instance) == []


def test_the_run_that_dagster_believes_alive_is_ended(database: psycopg.Connection, upload: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(_job(), status=dg.DagsterRunStatus.STARTED)
        silence(database, upload, 61)
        database.execute("update lead_intel.lead_ingestions set run_id = %s", (run.run_id,))

        reap(database, instance)

        ended = instance.get_run_by_id(run.run_id)
        assert ended is not None
        assert ended.status == dg.DagsterRunStatus.FAILURE


def started_run(instance: dg.DagsterInstance, upload: str) -> dg.DagsterRun:
    return instance.create_run_for_job(
        _job(), status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": upload, "upload": upload}
    )


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_run_that_died_before_its_first_stage_is_ended(database: psycopg.Connection, upload: str) -> None:
    """Its upload still waits: no state says that somebody was at work, and no queue would ever let another run."""
    ingestions.set_state(database, upload, State.RECEIVED)
    with dg.DagsterInstance.ephemeral() as instance:
        run = started_run(instance, upload)
        assert end_unheard(database, instance, datetime.now(UTC) + UNHEARD / 2) == []

        assert end_unheard(database, instance, datetime.now(UTC) + UNHEARD) == [upload]

        assert status_of(instance, run) == dg.DagsterRunStatus.FAILURE
    assert ingestions.find(database, upload).state == State.RECEIVED


def test_a_run_that_died_after_its_last_stage_is_ended(database: psycopg.Connection, upload: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = started_run(instance, upload)
        ingestions.hold_for_run(database, upload, run.run_id, ended_holder=None, stale_seconds=30)
        ingestions.set_state(database, upload, State.SCREENED)
        silence(database, upload, int(UNHEARD.total_seconds()) + 1)
        database.execute("update lead_intel.lead_ingestions set run_id = %s", (run.run_id,))

        assert end_unheard(database, instance, datetime.now(UTC) + UNHEARD) == [upload]
    assert ingestions.find(database, upload).state == State.SCREENED


def test_a_run_that_beats_is_left_alone_however_little_it_logs(database: psycopg.Connection, upload: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = started_run(instance, upload)
        ingestions.hold_for_run(database, upload, run.run_id, ended_holder=None, stale_seconds=30)

        assert end_unheard(database, instance, datetime.now(UTC) + timedelta(hours=5)) == []


def test_another_runs_heartbeat_does_not_keep_a_dead_run(database: psycopg.Connection, upload: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        started_run(instance, upload)
        ingestions.hold_for_run(database, upload, "another", ended_holder=None, stale_seconds=30)

        assert end_unheard(database, instance, datetime.now(UTC) + UNHEARD) == [upload]
    assert ingestions.find(database, upload).run_id == "another"


def test_a_run_that_logs_is_left_alone(database: psycopg.Connection, upload: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = started_run(instance, upload)
        later = datetime.now(UTC) + UNHEARD
        instance.handle_new_event(
            dg.EventLogEntry(
                error_info=None,
                level=20,
                user_message="A check is under way.",
                run_id=run.run_id,
                timestamp=later.timestamp(),
                job_name=run.job_name,
            )
        )

        assert end_unheard(database, instance, later) == []


def _job() -> dg.JobDefinition:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def empty() -> None:
        nothing()

    return empty
