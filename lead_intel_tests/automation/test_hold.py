"""Who holds an upload: heartbeats survive hiccups, a run taken for dead touches nothing, errors keep no text."""

# No postponed annotations here: Dagster wants the type of `context` as an object, not as text.

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from lead_intel.automation.reaper import reap
from lead_intel.errors import TransientError
from lead_intel.partition import UPLOADS
from lead_intel.record import ingestions, upload_files
from lead_intel.record.upload_files import StoredObject
from lead_intel.settings import Settings
from lead_intel.stage import StageAtWork, stage_of
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import State

_SECRET = "jane@example.com"

Body = Callable[[StageAtWork], None]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def upload(settings: Settings, database: psycopg.Connection, instance: dg.DagsterInstance) -> str:
    stored = StoredObject("lead-uploads", "acme/a.csv", "1", "a.csv", 1, "0" * 64)
    key = upload_files.accept(database, stored, "acme").upload
    instance.add_dynamic_partitions(str(UPLOADS.name), [key])
    return key


def stage_running(
    body: Body, name: str = "phone_lookups", retries: int = 0, after: Sequence[str] = ()
) -> dg.AssetsDefinition:
    """An asset that does `body` as a stage of the product does."""

    def compute(context: dg.AssetExecutionContext, surroundings: Surroundings) -> dg.MaterializeResult[None]:
        with stage_of(context, surroundings, "lookup", State.SCREENING) as at_work:
            body(at_work)
        return dg.MaterializeResult()

    policy = dg.RetryPolicy(max_retries=retries, delay=0.3) if retries else None
    return dg.asset(name=name, partitions_def=UPLOADS, retry_policy=policy, deps=after)(compute)


def run(instance: dg.DagsterInstance, upload: str, *stages: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        list(stages),
        instance=instance,
        partition_key=upload,
        resources={"surroundings": Surroundings()},
        raise_on_error=False,
    )


def what_dagster_keeps(instance: dg.DagsterInstance, run_id: str) -> str:
    return "".join(dg.serialize_value(entry) for entry in instance.all_logs(run_id))


def test_the_heartbeat_survives_a_lost_connection(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    def body(at_work: StageAtWork) -> None:
        time.sleep(0.7)
        database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
            "and pid <> pg_backend_pid() and query like '%heartbeat_at = now(), stage%'"
        )
        time.sleep(1.5)
        before = ingestions.find(database, upload).heartbeat_at
        time.sleep(1.2)
        after = ingestions.find(database, upload).heartbeat_at
        assert before is not None
        assert after is not None
        assert after > before

    assert run(instance, upload, stage_running(body)).success


def test_a_run_that_lost_its_upload_ends_and_leaves_the_state_to_the_one_who_took_it(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    noticed: list[float] = []

    def body(at_work: StageAtWork) -> None:
        database.execute(
            "update lead_intel.lead_ingestions set run_id = 'another', state = 'enriching' where upload = %s", (upload,)
        )
        taken = time.monotonic()
        assert at_work.stop.wait(5)
        noticed.append(time.monotonic() - taken)
        at_work.stop_if_asked()

    ended = run(instance, upload, stage_running(body, retries=2))

    assert not ended.success
    assert noticed[0] < 1.5
    assert len(noticed) == 1
    row = ingestions.find(database, upload)
    assert (row.state, row.run_id) == ("enriching", "another")


def test_a_run_that_the_reaper_ended_does_not_begin_another_stage(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    begun: list[str] = []

    def first(at_work: StageAtWork) -> None:
        begun.append("first")

    def second(at_work: StageAtWork) -> None:
        begun.append("second")

    def slept() -> None:
        reaped: list[str] = []
        while not reaped:  # a heartbeat may come between the two
            database.execute(
                "update lead_intel.lead_ingestions set heartbeat_at = now() - interval '61 seconds', "
                "state = 'screening' where upload = %s",
                (upload,),
            )
            reaped = reap(database, instance)

    asleep = dg.asset(name="asleep", partitions_def=UPLOADS, deps=["raw_upload"])(slept)
    ended = run(instance, upload, stage_running(first, "raw_upload"), asleep, stage_running(second, after=["asleep"]))

    assert not ended.success
    assert begun == ["first"]
    row = ingestions.find(database, upload)
    assert (row.state, row.state_reason) == ("failed", "interrupted")


def test_a_waiting_run_is_not_dead(database: psycopg.Connection, instance: dg.DagsterInstance, upload: str) -> None:
    waiting = instance.create_run_for_job(_job(), status=dg.DagsterRunStatus.STARTING)
    database.execute(
        "update lead_intel.lead_ingestions set state = 'screening', run_id = %s, "
        "heartbeat_at = now() - interval '10 minutes' where upload = %s",
        (waiting.run_id, upload),
    )
    assert reap(database, instance) == []


def test_taking_over_ends_the_dead_run_in_dagster(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    dead = instance.create_run_for_job(_job(), status=dg.DagsterRunStatus.STARTED)
    database.execute(
        "update lead_intel.lead_ingestions set state = 'screening', run_id = %s, "
        "heartbeat_at = now() - interval '31 seconds' where upload = %s",
        (dead.run_id, upload),
    )

    assert run(instance, upload, stage_running(lambda at_work: None)).success

    ended = instance.get_run_by_id(dead.run_id)
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.FAILURE


def test_a_living_holder_is_left_alone(database: psycopg.Connection, instance: dg.DagsterInstance, upload: str) -> None:
    alive = instance.create_run_for_job(_job(), status=dg.DagsterRunStatus.STARTED)
    database.execute(
        "update lead_intel.lead_ingestions set state = 'enriching', run_id = %s, heartbeat_at = now() "
        "where upload = %s",
        (alive.run_id, upload),
    )

    assert not run(instance, upload, stage_running(lambda at_work: None)).success

    row = ingestions.find(database, upload)
    assert (row.state, row.run_id) == ("enriching", alive.run_id)


@pytest.mark.parametrize("state", ["activated", "planned", "screened", "received", "paused"])
def test_a_stage_rerun_by_itself_leaves_the_state_as_it_was(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str, state: str
) -> None:
    reason = "budget" if state == "paused" else None
    ingestions.set_state(database, upload, State(state), reason=reason, message=reason, remedy=reason)
    seen: list[State] = []

    assert run(instance, upload, stage_running(lambda at_work: seen.append(at_work.ingestion.state))).success

    row = ingestions.find(database, upload)
    assert (row.state, row.state_reason) == (state, reason)
    assert seen == ["screening"]


def test_a_run_that_goes_on_stays_at_work_between_its_stages(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    ingestions.set_state(database, upload, State.ACTIVATED)
    seen: list[State] = []

    def between() -> None:
        seen.append(ingestions.find(database, upload).state)

    watcher = dg.asset(name="between", partitions_def=UPLOADS, deps=["phone_lookups"])(between)
    last = stage_running(lambda at_work: at_work.reached(State.SCREENED), "dnc_verdicts", after=["between"])
    assert run(instance, upload, stage_running(lambda at_work: None), watcher, last).success

    assert seen == ["screening"]
    assert ingestions.find(database, upload).state == "screened"


def test_a_transient_failure_shows_failed_only_after_the_last_attempt(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    seen: list[State] = []

    def body(at_work: StageAtWork) -> None:
        seen.append(ingestions.find(database, upload).state)
        raise TransientError("vendor_down", "Nobody answers.", "Wait.")

    assert not run(instance, upload, stage_running(body, retries=2)).success
    assert seen == ["screening"] * 3
    row = ingestions.find(database, upload)
    assert (row.state, row.state_reason) == ("failed", "vendor_down")


def test_no_text_of_a_foreign_exception_reaches_dagster(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    def body(at_work: StageAtWork) -> None:
        at_work.connection.execute("select %s::int", (_SECRET,))

    ended = run(instance, upload, stage_running(body))

    kept = what_dagster_keeps(instance, ended.run_id)
    assert "InvalidTextRepresentation" in kept
    assert _SECRET not in kept
    row = ingestions.find(database, upload)
    assert (row.state, row.state_reason) == ("failed", "unforeseen")
    assert _SECRET not in str(row)


def test_a_mistake_in_a_policy_file_is_the_uploads_reason(
    database: psycopg.Connection,
    instance: dg.DagsterInstance,
    upload: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "budgets.yml").write_text("per_day: [")
    monkeypatch.setenv("LEAD_INTEL_POLICY_DIR", str(tmp_path / "policy"))

    assert not run(instance, upload, stage_running(lambda at_work: None)).success

    row = ingestions.find(database, upload)
    assert row.state == "failed"
    assert row.state_reason
    assert row.state_message


def test_a_stop_between_two_stages_parks_at_once_and_the_next_stage_does_not_begin(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    begun: list[str] = []
    parked_after: list[float] = []

    def first(at_work: StageAtWork) -> None:
        begun.append("first")

    def second(at_work: StageAtWork) -> None:
        begun.append("second")

    def between() -> None:
        time.sleep(0.3)
        ingestions.request_stop(database, upload)
        asked_at = time.monotonic()
        while ingestions.find(database, upload).state != "stopped":
            assert time.monotonic() - asked_at < 5
            time.sleep(0.01)
        parked_after.append(time.monotonic() - asked_at)

    gap = dg.asset(name="gap", partitions_def=UPLOADS, deps=["raw_upload"])(between)
    ended = run(
        instance, upload, stage_running(first, "raw_upload"), gap, stage_running(second, "dnc_verdicts", after=["gap"])
    )

    assert not ended.success
    assert begun == ["first"]
    assert parked_after[0] < 1.0
    assert ingestions.find(database, upload).state == "stopped"


def test_an_upload_between_two_stages_is_not_taken_for_dead(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    beats: set[object] = set()

    def between() -> None:
        for _ in range(20):
            beats.add(ingestions.find(database, upload).heartbeat_at)
            time.sleep(0.1)

    gap = dg.asset(name="gap", partitions_def=UPLOADS, deps=["raw_upload"])(between)
    stages = stage_running(lambda _: None, "raw_upload"), stage_running(lambda _: None, "dnc_verdicts", after=["gap"])
    assert run(instance, upload, stages[0], gap, stages[1]).success

    assert len(beats) >= 3


def _job() -> dg.JobDefinition:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def empty() -> None:
        nothing()

    return empty


def test_an_interrupt_leaves_the_upload_resumable(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    def body(at_work: StageAtWork) -> None:
        raise KeyboardInterrupt

    assert not run(instance, upload, stage_running(body)).success

    row = ingestions.find(database, upload)
    assert (row.state, row.state_reason) == ("stopped", "interrupted")


@pytest.mark.parametrize(
    ("found", "left"),
    [("activated", "activated"), ("planned", "planned"), ("failed", "screened"), ("received", "screened")],
)
def test_a_screening_rerun_by_itself_moves_no_upload_back(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str, found: str, left: str
) -> None:
    ingestions.set_state(database, upload, State(found))

    screening = stage_running(lambda at_work: at_work.reached(State.SCREENED), "dnc_verdicts")
    assert run(instance, upload, screening).success

    assert ingestions.find(database, upload).state == left
