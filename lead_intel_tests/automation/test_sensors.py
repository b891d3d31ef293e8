"""What the sensors launch again, and what they say about runs that ended before a stage began."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest

from lead_intel.automation import jobs, sensors
from lead_intel.automation.attempts import attempts_due
from lead_intel.automation.resuming import MOST_RUNS_A_DAY
from lead_intel.build import build_definitions
from lead_intel.partition import UPLOADS
from lead_intel.process import TAG, is_gone, this_process
from lead_intel.record import ingestions, upload_files
from lead_intel.record.upload_files import StoredObject
from lead_intel.settings import Settings
from lead_intel.stage import has_ended
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import State


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def upload(settings: Settings, database: psycopg.Connection) -> str:
    stored = StoredObject("lead-uploads", "acme/a.csv", "1", "a.csv", 1, "0" * 64)
    key = upload_files.accept(database, stored, "acme").upload
    database.execute(
        "update lead_intel.lead_ingestions set created_at = now() - interval '1 hour', "
        "updated_at = now() - interval '1 hour'"
    )
    return key


def launched(instance: dg.DagsterInstance) -> list[str]:
    """Run keys that a tick of `lists_in_bucket` asks for."""
    context = dg.build_sensor_context(instance=instance, resources={"surroundings": Surroundings()})
    result = sensors.lists_in_bucket(context)
    assert isinstance(result, dg.SensorResult)
    return [str(request.run_key) for request in result.run_requests or []]


def run_of(instance: dg.DagsterInstance, upload: str, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    return instance.create_run_for_job(_job(), status=status, tags={"upload": upload, **tags})


def test_an_upload_whose_run_is_alive_is_not_launched_again(instance: dg.DagsterInstance, upload: str) -> None:
    assert launched(instance) == [f"{upload}:1"]
    run_of(instance, upload, dg.DagsterRunStatus.STARTED)
    assert launched(instance) == []


def test_an_upload_whose_run_died_before_it_began_waits_a_minute_for_the_next(
    instance: dg.DagsterInstance, upload: str
) -> None:
    run_of(instance, upload, dg.DagsterRunStatus.FAILURE)
    assert launched(instance) == []


def test_after_three_attempts_a_minute_apart_it_is_failed_with_a_reason(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    moment, numbers = datetime.now(UTC), []
    for _ in range(5):
        moment += timedelta(seconds=61)
        for attempt in attempts_due(database, instance, [upload], moment):
            numbers.append(attempt.number)
            run_of(instance, upload, dg.DagsterRunStatus.FAILURE)

    assert numbers == [1, 2, 3]
    row = ingestions.find(database, upload)
    assert (row.state, row.state_reason) == ("failed", "never_begun")


def test_a_run_that_ended_before_a_stage_began_is_the_uploads_reason(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    definitions = build_definitions()
    instance.add_dynamic_partitions(str(UPLOADS.name), [upload])
    # No frame is there: the job ends before its first stage begins.
    result = definitions.resolve_job_def(jobs.ENRICH).execute_in_process(
        partition_key=upload, instance=instance, raise_on_error=False
    )
    assert not result.success
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_uploads",
        dagster_event=next(event for event in result.all_events if event.is_job_failure),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        resources={"surroundings": Surroundings()},
    ).for_run_failure()

    sensors.failed_uploads(context)

    row = ingestions.find(database, upload)
    assert (row.state, row.state_reason) == ("failed", "frame_missing")
    assert "is not there" in (row.state_message or "")


@pytest.fixture
def paused(database: psycopg.Connection, instance: dg.DagsterInstance, upload: str) -> str:
    run = instance.create_run_for_job(_job(jobs.SCREEN), status=dg.DagsterRunStatus.FAILURE)
    ingestions.set_state(database, upload, State.PAUSED, reason="guardrail:1", message="The bucket is gone.")
    database.execute(
        "update lead_intel.lead_ingestions set run_id = %s, updated_at = now() - interval '6 minutes'", (run.run_id,)
    )
    return run.run_id


def resumed(instance: dg.DagsterInstance) -> list[Any]:
    context = dg.build_sensor_context(instance=instance, resources={"surroundings": Surroundings()})
    requests: Any = sensors.paused_uploads(context)
    return list(requests)


def test_a_pause_whose_guardrail_passes_again_ends_by_itself(
    instance: dg.DagsterInstance, upload: str, paused: str
) -> None:
    (request,) = resumed(instance)
    assert isinstance(request, dg.RunRequest)
    assert (request.job_name, request.partition_key) == (jobs.SCREEN, upload)
    assert request.run_key == f"{upload}:after:{paused}"


def test_a_pause_whose_guardrail_still_fails_goes_on(
    instance: dg.DagsterInstance, sandbox: Any, upload: str, paused: str
) -> None:
    sandbox.fault("supabase_storage", "server_error")
    (answer,) = resumed(instance)
    assert isinstance(answer, dg.SkipReason)


@pytest.mark.parametrize("reason", ["budget", "credentials", "guardrail:9"])
def test_a_pause_that_a_person_must_end_is_left_alone(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str, paused: str, reason: str
) -> None:
    database.execute("update lead_intel.lead_ingestions set state_reason = %s", (reason,))
    (answer,) = resumed(instance)
    assert isinstance(answer, dg.SkipReason)


def test_a_pause_is_looked_at_no_sooner_than_after_five_minutes(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str, paused: str
) -> None:
    database.execute("update lead_intel.lead_ingestions set updated_at = now() - interval '4 minutes'")
    (answer,) = resumed(instance)
    assert isinstance(answer, dg.SkipReason)


def test_a_pause_that_returned_too_often_in_a_day_waits_for_a_person(
    instance: dg.DagsterInstance, upload: str, paused: str
) -> None:
    for _ in range(MOST_RUNS_A_DAY):
        run_of(instance, upload, dg.DagsterRunStatus.FAILURE, **{"dagster/partition": upload})
    (answer,) = resumed(instance)
    assert isinstance(answer, dg.SkipReason)


def test_a_run_whose_process_was_killed_has_ended(instance: dg.DagsterInstance, upload: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "from lead_intel.process import this_process; print(this_process()); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    process = child.stdout.readline().strip()
    run = run_of(instance, upload, dg.DagsterRunStatus.STARTED, **{TAG: process})
    assert not has_ended(instance, run.run_id)
    child.kill()
    child.communicate()
    assert has_ended(instance, run.run_id)


def test_a_process_of_another_machine_is_never_taken_for_dead() -> None:
    _machine, pid, started = this_process().rsplit("|", 2)
    assert not is_gone(f"elsewhere|{pid}|{started}")
    assert not is_gone(this_process())


def test_cloned_machines_share_a_name_and_are_told_apart() -> None:
    machine, _pid, started = this_process().rsplit("|", 2)
    name, boot, namespace = machine.split(" ")
    assert all((name, boot, namespace))
    # No process has this id: on this machine it would be gone.
    nobody = f"{2**22 + 1}|{started}"
    assert is_gone(f"{machine}|{nobody}")
    assert not is_gone(f"{name} 00000000-0000-0000-0000-000000000000 {namespace}|{nobody}")


def _job(name: str = "empty") -> dg.JobDefinition:
    @dg.op
    def nothing() -> None: ...

    @dg.job(name=name)
    def empty() -> None:
        nothing()

    return empty
