"""A backlog on two workers: one account's pace and one budget for both, and a worker that dies loses nothing.

`pytest -n 0 -m scale_out -s --backlog 100`: minutes, best alone on a machine. Prints what it measured.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from lead_intel.settings import REPOSITORY, Settings

pytestmark = [pytest.mark.scale_out, pytest.mark.timeout(2400)]

LEADS = 24
NEW = 12
"""Numbers of each list that no earlier list has; the others stand in the list before it too."""

PACE = 6.0
IN_FLIGHT = 4
"""Lookups at the same time that the policy of this test allows one account."""

_RECEIVED_TASK = r"Task execute_job\[[0-9a-f-]+\] received"
_DONE_TASK = r"Task execute_job\[[0-9a-f-]+\] succeeded"


@pytest.fixture
def backlog(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--backlog"))


@pytest.fixture
def cap(backlog: int) -> Decimal:
    """A day's budget: what every distinct number and every scrub costs, and the crash; not a cent for buying twice."""
    return backlog * (NEW * Decimal("0.008") + Decimal("0.002")) + LEADS * Decimal("0.008")


@pytest.fixture
def tight_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cap: Decimal) -> Path:
    """The repository's policy with a slow Lookup account, so that its pace binds, and a day's budget."""
    folder = tmp_path / "policy"
    shutil.copytree(REPOSITORY / "data" / "policy", folder)
    vendors = yaml.safe_load((folder / "vendors.yml").read_text())
    vendors["vendors"]["twilio_lookup"].update(per_second=PACE, concurrency=IN_FLIGHT)
    (folder / "vendors.yml").write_text(yaml.safe_dump(vendors))
    budgets = yaml.safe_load((folder / "budgets.yml").read_text())
    (folder / "budgets.yml").write_text(yaml.safe_dump({**budgets, "per_day": str(cap)}))
    monkeypatch.setenv("LEAD_INTEL_POLICY_DIR", str(folder))
    return folder


def put_lists(settings: Settings, lists: int) -> int:
    """Drop `lists` small lists into the bucket, as any client may; returns how many distinct numbers they hold."""
    sample = (REPOSITORY / "data" / "samples" / "leads.csv").read_text().splitlines()
    header, template = sample[0], sample[1].split(",", 2)[2]
    numbers = set()
    with httpx.Client(headers={"Authorization": f"Bearer {settings.supabase_service_key.get_secret_value()}"}) as http:
        for index in range(lists):
            mine = [12125200000 + index * NEW + step for step in range(LEADS)]
            numbers.update(mine)
            rows = [f"+{number},lead{number}@example.com,{template}" for number in mine]
            http.post(
                f"{settings.supabase_url}/storage/v1/object/{settings.lead_intel_bucket}/acme/list{index:03}.csv",
                content="\n".join([header, *rows, ""]),
                headers={"Content-Type": "text/csv"},
            ).raise_for_status()
    return len(numbers)


def states(database: psycopg.Connection) -> Counter[str]:
    rows = database.execute("select state from lead_intel.lead_ingestions").fetchall()
    return Counter(str(row[0]) for row in rows)


def wait_until(condition: Callable[[], bool], seconds: float, needed: Any, told: Callable[[], Any]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert needed.process.poll() is None, needed.log.read_text(errors="replace")[-3000:]
        assert time.monotonic() < deadline, told()
        time.sleep(0.5)


def called_at(sandbox: Any, service: str) -> Iterator[tuple[float, int]]:
    after = 0
    while True:
        answer = sandbox._get(f"/control/ledger/{service}?after={after}&limit=1000")
        for call in answer["calls"]:
            yield float(call["at"]), int(call["status"])
        if answer["next"] is None:
            return
        after = answer["next"]


def busiest(moments: list[float], seconds: float) -> int:
    ordered, first, most = sorted(moments), 0, 0
    for last, moment in enumerate(ordered):
        while ordered[first] <= moment - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_a_backlog_is_screened_by_two_workers_one_of_which_dies(
    start_cluster: Callable[[], Any],
    tight_policy: Path,
    settings: Settings,
    database: psycopg.Connection,
    sandbox: Any,
    backlog: int,
    cap: Decimal,
) -> None:
    distinct = put_lists(settings, backlog)
    cluster = start_cluster()
    workers = [cluster.worker("first"), cluster.worker("second")]
    started = time.monotonic()
    daemon = cluster.daemon()

    # In the middle: a third is done, and the worker that dies is at work on two uploads.
    wait_until(
        lambda: states(database)["screened"] >= backlog // 3 and states(database)["screening"] >= 3,
        60 + 20 * backlog,
        daemon,
        lambda: states(database),
    )
    at_kill = states(database)
    doomed = workers[1].says(_RECEIVED_TASK) - workers[1].says(_DONE_TASK)
    workers[1].kill()
    killed_after = time.monotonic() - started
    wait_until(lambda: states(database)["screened"] == backlog, 300 + 20 * backlog, daemon, lambda: states(database))
    seconds = time.monotonic() - started

    lookups = list(called_at(sandbox, "twilio_lookup"))
    scrubs = list(called_at(sandbox, "dncscrub"))
    ledger = sandbox.ledger()
    figures = {
        "uploads": backlog, "seconds": round(seconds), "killed_after": round(killed_after), "at_kill": dict(at_kill),
        "runs_of_workers": [worker.says(_RECEIVED_TASK) for worker in workers], "in_flight_at_kill": doomed,
        "reaped": reaped(database), "lookup": ledger["twilio_lookup"], "distinct_numbers": distinct,
        "busiest_second": busiest([at for at, _ in lookups], 1.0),
        "busiest_ten_seconds": busiest([at for at, _ in lookups], 10.0),
        "refused": sum(status == 429 for _, status in lookups), "pace": PACE,
        "scrubs": len(scrubs), "scrubs_busiest_ten_seconds": busiest([at for at, _ in scrubs], 10.0),
        "connections_at_most": None,
    }  # fmt: skip
    print(figures)  # noqa: T201
    assert_every_row_is_accounted_for(database, backlog)
    assert_books_balance(database, cap)
    assert ledger["twilio_lookup"]["distinct_keys"] == distinct
    assert ledger["twilio_lookup"]["paid_calls"] <= distinct + IN_FLIGHT
    assert figures["busiest_second"] <= PACE + 1
    assert figures["busiest_ten_seconds"] <= 10 * PACE + 1
    assert figures["refused"] <= 3
    assert all(worker.says(_RECEIVED_TASK) for worker in workers)


def reaped(database: psycopg.Connection) -> list[str]:
    rows = database.execute(
        "select body from (select event::json ->> 'user_message' as body from dagster.event_logs "
        "where dagster_event_type = 'PIPELINE_FAILURE') failures"
    ).fetchall()
    return [str(row[0]) for row in rows]


def assert_every_row_is_accounted_for(database: psycopg.Connection, lists: int) -> None:
    rows = database.execute(
        "select rows_file, rows_accepted + rows_quarantined + rows_duplicate from lead_intel.lead_ingestions"
    ).fetchall()
    assert rows == [(LEADS, LEADS)] * lists


def assert_books_balance(database: psycopg.Connection, cap: Decimal) -> None:
    row = database.execute(
        "select (select count(*) from lead_intel.vendor_calls where outcome is null), "
        "(select sum(reserved) from lead_intel.spend_budgets), "
        "(select sum(price) from lead_intel.vendor_calls where billed <> 'no') - "
        "(select sum(settled) from lead_intel.spend_budgets where scope = 'day')"
    ).fetchone()
    assert row == (0, 0, 0)
    for scope, settled, allowed in database.execute("select scope, settled, cap from lead_intel.spend_budgets"):
        assert settled <= allowed, scope
        assert scope != "day" or settled <= cap
