"""From posts to an upload: one is open per supplier, it closes by rows or time, and is then a list like every other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from lead_intel.automation import sensors
from lead_intel.automation.desk import Desk
from lead_intel.automation.frame_io import FrameIO
from lead_intel.automation.journey import resume, screen, stop
from lead_intel.automation.posted import close_posted
from lead_intel.automation.sweep import accept_new_objects
from lead_intel.errors import TransientError, UsageError
from lead_intel.intake import assets
from lead_intel.partition import UPLOADS
from lead_intel.policy import Policy
from lead_intel.record import api_storing, api_uploads, bucket, ingestions, upload_files
from lead_intel.record.account import account_of
from lead_intel.settings import Settings
from lead_intel.surroundings import Surroundings

Lead = Callable[..., dict[str, Any]]


def due(database: psycopg.Connection) -> None:
    """Let the time of every open upload be over."""
    database.execute("update lead_intel.api_uploads set closes_at = now() where closed_at is null")


def stored_text(settings: Settings, database: psycopg.Connection, upload: str, folder: Path) -> str:
    (pinned,) = upload_files.files_of(database, upload)
    assert pinned.kind == "api"
    bucket.fetch_object(settings, pinned, folder / "fetched")
    return (folder / "fetched").read_bytes().decode()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def desk(database: psycopg.Connection, settings: Settings, policy: Policy, instance: dg.DagsterInstance) -> Desk:
    return Desk(settings, policy, database, instance, dg.Definitions, lambda sentence: None)


def test_a_closed_upload_is_one_list_in_order_of_arrival(
    acme: Any, make_lead: Lead, database: psycopg.Connection, settings: Settings, policy: Policy, tmp_path: Path
) -> None:
    upload = acme.post([{"Phone": 2125550001.0, "note": 'a\n"b", c'}]).json()["upload"]
    acme.post('[{"mobile_phone": "212", "email": "b@example.com", "score": 1.50}, {"note": "only"}]')
    assert close_posted(database, settings, policy.ingestion) == []
    due(database)

    assert close_posted(database, settings, policy.ingestion) == [upload]
    assert close_posted(database, settings, policy.ingestion) == []

    assert stored_text(settings, database, upload, tmp_path) == (
        "phone,email,consent_source,note,score\r\n"
        '2125550001.0,,,"a\n""b"", c",\r\n'
        "212,b@example.com,,,1.50\r\n"
        ",,,only,\r\n"
    )
    row = ingestions.find(database, upload)
    assert (row.state, row.source, row.collecting) == ("received", "api", False)
    assert database.execute("select count(*) from lead_intel.api_batches where cells is not null").fetchone() == (0,)


def test_a_closed_upload_is_never_opened_again(
    acme: Any, make_lead: Lead, database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    first = acme.post([make_lead(1)], idempotency_key="one").json()
    due(database)
    second = acme.post([make_lead(2)]).json()
    assert second["upload"] != first["upload"]
    assert second["first_row"] == 1
    assert close_posted(database, settings, policy.ingestion) == [first["upload"]]
    # A retry of what lies in the closed upload is still known.
    assert acme.post([make_lead(1)], idempotency_key="one").json()["batch"] == first["batch"]


def test_posts_at_once_open_one_upload_and_respect_its_limit(
    with_limits: Callable[..., None],
    server: Callable[[], AbstractContextManager[str]],
    new_key: Callable[..., str],
    make_lead: Lead,
    database: psycopg.Connection,
    settings: Settings,
    policy: Policy,
) -> None:
    import httpx

    with_limits(close_rows=50, rows_per_request=50)
    key, answers = new_key(), []

    def post(url: str, first: int) -> None:
        with httpx.Client(headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
            for number in range(first, first + 10):
                answers.append(client.post(f"{url}/v1/leads", json=[make_lead(number), make_lead(number)]).json())

    with server() as url:
        threads = [threading.Thread(target=post, args=(url, 10 * n)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    close_posted(database, settings, policy.ingestion)

    collected = database.execute("select upload, rows, close_reason from lead_intel.api_uploads").fetchall()
    assert sorted(rows for _, rows, _ in collected) == [10, 50, 50, 50]
    places = [(a["upload"], n) for a in answers for n in range(a["first_row"], a["last_row"] + 1)]
    assert len(places) == len(set(places)) == 160
    for upload, rows, reason in collected:
        assert sorted(n for u, n in places if u == upload) == list(range(1, rows + 1))
        assert reason == ("rows" if rows == 50 else None)


def test_an_upload_too_large_in_bytes_or_with_too_many_fields_takes_no_more(
    with_limits: Callable[..., None],
    server: Callable[[], AbstractContextManager[str]],
    new_key: Callable[..., str],
    make_lead: Lead,
) -> None:
    import httpx

    with_limits(close_bytes=1000, body_bytes=1000, columns_per_upload=5, fields_per_row=5)
    with server() as url, httpx.Client(headers={"authorization": f"Bearer {new_key()}"}) as client:
        first, second = (client.post(f"{url}/v1/leads", json=[make_lead(n, note="x" * 600)]) for n in range(2))
        assert first.json()["upload"] != second.json()["upload"]
        assert client.post(f"{url}/v1/leads", json=[{"a": "1"}]).status_code == 202
        refused = client.post(f"{url}/v1/leads", json=[{"b": "1"}])
    assert (refused.status_code, refused.json()["code"]) == (422, "too_many_columns")


def test_while_it_collects_nothing_screens_it(
    acme: Any, make_lead: Lead, database: psycopg.Connection, desk: Desk, instance: dg.DagsterInstance
) -> None:
    upload = acme.post([make_lead()]).json()["upload"]
    database.execute("update lead_intel.lead_ingestions set created_at = now() - interval '1 hour'")
    context = dg.build_sensor_context(instance=instance, resources={"surroundings": Surroundings()})
    result = sensors.lists_in_bucket(context)
    assert isinstance(result, dg.SensorResult)
    assert not result.run_requests
    with pytest.raises(UsageError, match="still collects"):
        screen(desk, upload)
    instance.add_dynamic_partitions(str(UPLOADS.name), [upload])
    assert not materialize(instance, upload).success
    assert ingestions.find(database, upload).state == "received"


def test_a_stopped_upload_goes_on_collecting_and_waits_for_resume(
    acme: Any, make_lead: Lead, database: psycopg.Connection, desk: Desk
) -> None:
    upload = acme.post([make_lead(1)]).json()["upload"]
    stop(database, upload)
    assert acme.post([make_lead(2)]).json()["upload"] == upload
    resume(desk, upload, "tester")
    row = ingestions.find(database, upload)
    assert (row.state, row.stop_requested) == ("received", False)
    assert account_of(database, upload)["posted"]["rows"] == 2
    assert "posted so far" in acme.client.get(acme.url).text


def test_the_sensor_closes_and_stores_and_the_next_one_launches(
    acme: Any, make_lead: Lead, database: psycopg.Connection, instance: dg.DagsterInstance
) -> None:
    upload = acme.post([make_lead()]).json()["upload"]
    due(database)
    database.execute("update lead_intel.lead_ingestions set created_at = now() - interval '15 minutes'")
    answer: Any = sensors.posted_leads(surroundings=Surroundings())
    assert upload in answer.skip_message
    context = dg.build_sensor_context(instance=instance, resources={"surroundings": Surroundings()})
    result = sensors.lists_in_bucket(context)
    assert isinstance(result, dg.SensorResult)
    assert [request.partition_key for request in result.run_requests or []] == [upload]


def test_posted_rows_end_in_the_same_leads_and_quarantine_as_a_lists(
    acme: Any,
    make_lead: Lead,
    database: psycopg.Connection,
    settings: Settings,
    policy: Policy,
    instance: dg.DagsterInstance,
) -> None:
    upload = acme.post(
        [
            make_lead(1, consent_at="2026-10-01T00:00:00Z", extra={"score": 1.5, "tags": ["a"]}),
            make_lead(2, phone="12"),
            make_lead(3, consent_source=None),
            make_lead(1),
            {"phone": 2125550004, "consent_source": "web_form"},
        ]
    ).json()["upload"]
    due(database)
    close_posted(database, settings, policy.ingestion)
    instance.add_dynamic_partitions(str(UPLOADS.name), [upload])

    assert materialize(instance, upload).success

    row = ingestions.find(database, upload)
    assert (row.rows_file, row.rows_accepted, row.rows_quarantined, row.rows_duplicate) == (5, 2, 2, 1)
    lines = database.execute(
        "select file_no, line from lead_intel.quarantined_rows where upload = %s order by line", (upload,)
    ).fetchall()
    assert lines == [(1, 3), (1, 4)]
    (attributes,) = database.execute(
        "select attributes from lead_intel.upload_leads where upload = %s and line = 2", (upload,)
    ).fetchall()
    assert attributes[0]["extra"] == '{"score":1.5,"tags":["a"]}'
    counts = acme.get(f"/v1/uploads/{upload}").json()
    assert counts["rows"] == {"file": 5, "accepted": 2, "quarantined": 2, "duplicate": 1}
    assert sum(counts["quarantine"].values()) == 2


def materialize(instance: dg.DagsterInstance, upload: str) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [assets.raw_upload, assets.validated],
        instance=instance,
        partition_key=upload,
        resources={"surroundings": Surroundings(), "io_manager": FrameIO()},
        raise_on_error=False,
    )


def test_storage_that_is_down_keeps_the_rows_until_it_is_back(
    acme: Any,
    make_lead: Lead,
    database: psycopg.Connection,
    settings: Settings,
    policy: Policy,
    sandbox: Any,
    tmp_path: Path,
) -> None:
    upload = acme.post([make_lead()]).json()["upload"]
    due(database)
    sandbox.fault("supabase_storage", "server_error")
    with pytest.raises(TransientError):
        close_posted(database, settings, policy.ingestion)
    waiting = ingestions.find(database, upload)
    assert (waiting.collecting, waiting.state, waiting.state_reason) == (True, "received", "storage_down")
    sandbox.clear()
    assert close_posted(database, settings, policy.ingestion) == [upload]
    assert stored_text(settings, database, upload, tmp_path).count("\r\n") == 2
    assert ingestions.find(database, upload).state_reason is None


def test_an_object_that_is_not_pinned_yet_is_no_list_that_somebody_dropped(
    acme: Any, make_lead: Lead, database: psycopg.Connection, settings: Settings, policy: Policy, tmp_path: Path
) -> None:
    upload = acme.post([make_lead()]).json()["upload"]
    due(database)
    api_uploads.close_due(database)
    with database.transaction(force_rollback=True):
        # As a crash would: the object is put, and nothing of the transaction remains.
        assert api_storing.store(database, settings, upload)
    assert [listed.path for listed in bucket.list_objects(settings)] == [f"acme/api-{upload}.csv"]

    assert accept_new_objects(database, settings, 20) == []
    assert close_posted(database, settings, policy.ingestion) == [upload]
    assert accept_new_objects(database, settings, 20) == []

    assert database.execute("select count(*) from lead_intel.lead_ingestions").fetchone() == (1,)
    assert stored_text(settings, database, upload, tmp_path).count("\r\n") == 2
    (where,) = upload_files.files_of(database, upload)
    assert database.execute(
        "select upload from lead_intel.bucket_objects where object_path = %s", (where.object_path,)
    ).fetchall() == [(upload,)]


def test_the_minutes_and_old_retries_are_forgotten_and_the_rows_are_not(
    acme: Any, make_lead: Lead, database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    upload = acme.post([make_lead()], idempotency_key="one").json()["upload"]
    database.execute("update lead_intel.api_batches set accepted_at = now() - interval '30 days'")
    close_posted(database, settings, policy.ingestion)
    assert database.execute("select count(*) from lead_intel.api_batches").fetchone() == (1,)
    due(database)
    close_posted(database, settings, policy.ingestion)
    close_posted(database, settings, policy.ingestion)
    assert database.execute("select count(*) from lead_intel.api_batches").fetchone() == (0,)
    assert len(upload_files.files_of(database, upload)) == 1
