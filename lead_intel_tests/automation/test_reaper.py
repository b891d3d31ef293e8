"""What a dead machine left is ended: the upload says so and can be resumed."""

from __future__ import annotations

import dagster as dg
import psycopg
import pytest

from lead_intel.automation.reaper import reap
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


def _job() -> dg.JobDefinition:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def empty() -> None:
        nothing()

    return empty
