"""Work that is cut off: kill -9, a signal, a stop, a rival. It goes on, pays and pushes nothing twice, and says so."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lead_intel.settings import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SAMPLE = str(REPOSITORY / "data" / "samples" / "leads.csv")

IN_FLIGHT = {"twilio_lookup": 40, "dncscrub": 2, "people_data_labs": 10, "zerobounce": 20, "trestle": 20}
"""Concurrency of data/policy/vendors.yml: the most calls that one kill can lose."""


STOPPED_WITHIN = 2.0
"""A second is promised; the stage and this test each look twice a second, on cores that others share."""


@pytest.fixture
def new_list(tmp_path: Path) -> Callable[[str, int], Path]:
    """A list of its own numbers, so that no answer is there before."""

    def make(name: str, rows: int) -> Path:
        chance = random.Random(name)
        path = tmp_path / f"{name}.csv"
        with path.open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["phone", "email", "consent_source", "consent_at", "consent_evidence"])
            for row in range(rows):
                phone = f"+1212{chance.randint(200, 999)}{chance.randint(0, 9999):04d}"
                writer.writerow([phone, f"{name}{row}@example.com", "web_form", "2026-11-01T10:00:00Z", "form 7"])
        return path

    return make


def begin(house: Any, *arguments: str) -> subprocess.Popen[str]:
    """`lead-intel` in the background, as a process group of its own."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("lead-intel")), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=house.environment,
        cwd=REPOSITORY,
        start_new_session=True,
    )


@contextmanager
def record(house: Any) -> Iterator[psycopg.Connection]:
    with psycopg.connect(house.answer("env")["DATABASE_URL"], autocommit=True) as connection:
        yield connection


def wait_until(condition: Callable[[], bool], child: subprocess.Popen[str], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert child.poll() is None, child.communicate()[1][-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sandbox_calls(house: Any, service: str) -> int:
    return int(house.ledger().get(service, {}).get("calls", 0))


def slow(house: Any, service: str, seconds: float) -> None:
    options = json.dumps({"seconds": seconds})
    assert house.command("sandbox", "fault", service, "slow", "--options", options).returncode == 0


def quick(house: Any) -> None:
    assert house.command("sandbox", "fault", "twilio_lookup", "off").returncode == 0


def upload_of(house: Any, supplier: str) -> str:
    with record(house) as connection:
        row = connection.execute(
            "select upload from lead_intel.lead_ingestions where supplier = %s", (supplier,)
        ).fetchone()
    assert row is not None
    return str(row[0])


def state_of(connection: psycopg.Connection, supplier: str) -> tuple[str, str | None, bool] | None:
    return connection.execute(
        "select state, stage, heartbeat_at is not null from lead_intel.lead_ingestions where supplier = %s", (supplier,)
    ).fetchone()


def test_killed_twice_it_still_ends_activated_and_pays_at_most_what_was_in_flight(
    house: Any,
) -> None:
    before = house.ledger()
    command = ("run", SAMPLE, "--supplier", "killed", "--sample", "100", "--activate")
    slow(house, "twilio_lookup", 1.0)
    with record(house) as connection:
        for asked in (40, 120):
            child = begin(house, *command)
            wait_until(lambda: _asked(connection, "killed") >= asked, child)  # noqa: B023  # called before the next turn
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate(timeout=30)
    quick(house)

    account = house.answer(*command)

    assert account["state"] == "activated"
    after = house.ledger()
    for service, in_flight in IN_FLIGHT.items():
        new = {name: after[service][name] - before.get(service, {}).get(name, 0) for name in after[service]}
        assert new["paid_calls"] <= new["distinct_keys"] + 2 * in_flight, service
    messages = after["segment_tracking"]["distinct_message_ids"] - before.get("segment_tracking", {}).get(
        "distinct_message_ids", 0
    )
    assert messages == account["messages"]["planned"] == account["messages"]["sent"] > 0
    assert unfinished_runs(house, account["upload"]) == []


def _asked(connection: psycopg.Connection, supplier: str) -> int:
    row = connection.execute(
        "select count(*) from lead_intel.vendor_calls where supplier = %s and outcome = 'ok'", (supplier,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def unfinished_runs(house: Any, upload: str) -> list[Any]:
    with record(house) as connection:
        return connection.execute(
            "select r.run_id from dagster.runs r join dagster.run_tags t using (run_id) where t.key = 'upload' "
            "and t.value = %s and r.status not in ('SUCCESS', 'FAILURE', 'CANCELED')",
            (upload,),
        ).fetchall()


def test_a_stop_parks_within_a_second_and_resume_goes_on_without_paying_again(
    house: Any, new_list: Callable[[str, int], Path]
) -> None:
    path = new_list("stopped", 200)
    before = house.ledger()
    slow(house, "twilio_lookup", 0.5)
    child = begin(house, "run", str(path), "--supplier", "stopped", "--json")
    with record(house) as connection:
        wait_until(lambda: _asked(connection, "stopped") >= 20, child)
        upload = upload_of(house, "stopped")
        asked_at = time.monotonic()
        connection.execute("update lead_intel.lead_ingestions set stop_requested = true where upload = %s", (upload,))
        wait_until(lambda: (state_of(connection, "stopped") or ("",))[0] == "stopped", child)
        assert time.monotonic() - asked_at < STOPPED_WITHIN
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 5
    assert json.loads(output)["error"]["code"] == "stopped"
    quick(house)

    account = house.answer("resume", upload)

    assert account["state"] == "screened"
    after = house.ledger()["twilio_lookup"]
    assert after["paid_calls"] - before.get("twilio_lookup", {}).get("paid_calls", 0) <= 200 + 40


def test_the_stop_command_parks_enrichment_within_a_second_and_resume_pays_for_the_rest_only(
    house: Any, new_list: Callable[[str, int], Path]
) -> None:
    path = new_list("halted", 150)
    upload = house.answer("run", str(path), "--supplier", "halted", "--profile", "lenient")["upload"]
    before = house.ledger().get("people_data_labs", {})
    slow(house, "people_data_labs", 2.0)
    house.answer("sample", upload, "100")
    child = begin(house, "plan", upload, "--json")
    with record(house) as connection:
        wait_until(lambda: _enriched(connection, upload) >= 10, child)
        stop = begin(house, "stop", upload, "--json")
        # From the request on: before it, Python starts.
        wait_until(lambda: _stop_asked(connection, upload), child)
        asked_at = time.monotonic()
        wait_until(lambda: (state_of(connection, "halted") or ("",))[0] == "stopped", child)
        assert time.monotonic() - asked_at < STOPPED_WITHIN
        parked = connection.execute("select clock_timestamp()").fetchone()
        output, _ = child.communicate(timeout=60)
        assert json.loads(stop.communicate(timeout=60)[0])["state"] == "stopped"
        begun_later = connection.execute(
            "select count(*) from lead_intel.vendor_calls where upload = %s and intended_at > %s", (upload, *parked)
        ).fetchone()
        done = _enriched(connection, upload)
    assert child.returncode == 5
    assert json.loads(output)["error"]["code"] == "stopped"
    assert begun_later == (0,)
    assert house.command("sandbox", "fault", "people_data_labs", "off").returncode == 0

    account = house.answer("resume", upload)

    assert account["state"] == "planned"
    assert done < account["sample"]["leads"]
    new = {name: count - before.get(name, 0) for name, count in house.ledger()["people_data_labs"].items()}
    assert new["distinct_keys"] == account["sample"]["leads"]
    assert new["paid_calls"] <= new["distinct_keys"] + IN_FLIGHT["people_data_labs"]


def _enriched(connection: psycopg.Connection, upload: str) -> int:
    row = connection.execute(
        "select count(*) from lead_intel.vendor_calls where upload = %s and vendor = 'people_data_labs' "
        "and outcome is not null",
        (upload,),
    ).fetchone()
    return 0 if row is None else int(row[0])


def _stop_asked(connection: psycopg.Connection, upload: str) -> bool:
    row = connection.execute(
        "select stop_requested or state = 'stopped' from lead_intel.lead_ingestions where upload = %s", (upload,)
    ).fetchone()
    return row is not None and bool(row[0])


def test_two_runs_of_one_list_at_once_both_end_well_and_do_the_work_once(
    house: Any, new_list: Callable[[str, int], Path]
) -> None:
    path, before = new_list("rivals", 150), house.ledger()
    answers: list[dict[str, Any]] = []

    def run() -> None:
        answers.append(house.answer("run", str(path), "--supplier", "rivals", "--sample", "100", "--activate"))

    rivals = [threading.Thread(target=run) for _ in range(2)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()

    assert [answer["state"] for answer in answers] == ["activated", "activated"]
    assert answers[0]["upload"] == answers[1]["upload"]
    after = house.ledger()
    for service in ("twilio_lookup", "people_data_labs", "zerobounce", "trestle"):
        new = {name: after[service][name] - before.get(service, {}).get(name, 0) for name in after[service]}
        assert new["paid_calls"] <= new["distinct_keys"], service


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_promptly_and_the_upload_can_be_resumed(
    house: Any, new_list: Callable[[str, int], Path], kind: signal.Signals
) -> None:
    supplier = f"signal-{kind.name.lower()}"
    path = new_list(supplier.replace("-", ""), 100)
    slow(house, "twilio_lookup", 2.0)
    child = begin(house, "run", str(path), "--supplier", supplier)
    with record(house) as connection:
        wait_until(lambda: (state_of(connection, supplier) or ("",) * 2)[1] == "lookup", child)
        child.send_signal(kind)
        sent_at = time.monotonic()
        _, said = child.communicate(timeout=30)
        assert time.monotonic() - sent_at < 8.0
        assert "Traceback" not in said
        assert child.returncode not in (0, None)
        assert (state_of(connection, supplier) or ("",))[0] in ("stopped", "failed")
    quick(house)

    assert house.answer("resume", upload_of(house, supplier))["state"] == "screened"


def test_a_database_that_drops_every_connection_once_does_not_end_the_run(
    house: Any, new_list: Callable[[str, int], Path]
) -> None:
    path = new_list("dropped", 120)
    slow(house, "twilio_lookup", 1.0)
    child = begin(house, "run", str(path), "--supplier", "dropped", "--json")
    with record(house) as connection:
        wait_until(lambda: _asked(connection, "dropped") >= 20, child)
        quick(house)
        # The heartbeat's connection is the one whose last statement was a beat.
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'lead-intel' "
            "and query like '%heartbeat_at = now(), stage%'"
        )
    output, said = child.communicate(timeout=120)
    assert child.returncode == 0, said[-2000:]
    assert json.loads(output)["state"] == "screened"
