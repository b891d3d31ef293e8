"""A backlog on two workers: one account's pace and one budget for both, and a worker that dies loses nothing.

`pytest -n 0 -m scale_out -s --backlog 100`: minutes, best alone on a machine. Prints what it measured.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from lead_intel.settings import REPOSITORY, Settings

pytestmark = [pytest.mark.scale_out, pytest.mark.timeout(5400)]

LEADS = 24
NEW = 12
"""Numbers of each list that no earlier list has; the others stand in the list before it too."""

PACE = 4.0
IN_FLIGHT = 4
"""Lookups at the same time that the policy of this test allows one account."""

SLOTS = 2
"""Runs at the same time of each of the two workers."""

RECEIVED = r"Task execute_job\[[0-9a-f-]+\] received"
DONE = r"Task execute_job\[[0-9a-f-]+\] succeeded"


@pytest.fixture
def backlog(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--backlog"))


@pytest.fixture
def cap(backlog: int) -> Decimal:
    """A day's budget: what every distinct number costs, looked up and scrubbed, and one list more for the crash."""
    return (backlog * NEW + LEADS) * (Decimal("0.008") + Decimal("0.001"))


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


@dataclass
class Watch:
    """Looks at the uploads until they are where a test wants them, and at what the database has to bear meanwhile."""

    database: psycopg.Connection
    daemon: Any
    connections: int = 0
    rounds: int = 0

    def until(self, condition: Callable[[Counter[str]], bool], seconds: float) -> Counter[str]:
        deadline = time.monotonic() + seconds
        while not condition(seen := states(self.database)):
            assert not {"paused", "rejected", "stopped"} & seen.keys(), seen
            assert self.daemon.process.poll() is None, self.daemon.log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < deadline, seen
            self.connections = max(self.connections, self._count("pg_stat_activity where datname = current_database()"))
            self.rounds = max(self.rounds, self._count("lead_intel.vendor_rounds"))
            time.sleep(0.5)
        return seen

    def _count(self, what: str) -> int:
        return self.database.execute(f"select count(*) from {what}").fetchone()[0]


def calls_of(sandbox: Any, service: str) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    after = 0
    while after is not None:
        answer = sandbox._get(f"/control/ledger/{service}?after={after}&limit=1000")
        calls += answer["calls"]
        after = answer["next"]
    return calls


def busiest(calls: list[dict[str, Any]], seconds: float) -> int:
    """The most calls within any window of so many seconds."""
    ordered, first, most = sorted(float(call["at"]) for call in calls), 0, 0
    for last, moment in enumerate(ordered):
        while ordered[first] <= moment - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_a_backlog_is_screened_by_two_workers_one_of_which_dies(
    start_cluster: Callable[[int], Any],
    tight_policy: Path,
    settings: Settings,
    database: psycopg.Connection,
    sandbox: Any,
    backlog: int,
    cap: Decimal,
) -> None:
    distinct = put_lists(settings, backlog)
    cluster = start_cluster(2 * SLOTS)
    workers = [cluster.worker("first", SLOTS), cluster.worker("second", SLOTS)]
    started = time.monotonic()
    watch = Watch(database, cluster.daemon())

    # In the middle: a third is done, and the worker that dies is at work on two uploads.
    at_kill = watch.until(
        lambda seen: seen["screened"] >= backlog // 3 and seen["screening"] >= 2 * SLOTS - 1, 60 + 20 * backlog
    )
    doomed = workers[1].says(RECEIVED) - workers[1].says(DONE)
    workers[1].kill()
    killed_after = time.monotonic() - started
    watch.until(lambda seen: seen["screened"] == backlog, 300 + 20 * backlog)
    seconds = time.monotonic() - started

    # The check of the credential asks without a package: it costs nothing and has no key.
    lookups = [call for call in calls_of(sandbox, "twilio_lookup") if call["keys"]]
    ledger = sandbox.ledger()["twilio_lookup"]
    figures = {
        "uploads": backlog,
        "seconds": round(seconds),
        "killed_after": round(killed_after),
        "at_kill": dict(at_kill),
        "in_flight_at_kill": doomed,
        "runs_of_workers": [worker.says(RECEIVED) for worker in workers],
        "failed_runs": reaped(database),
        "lookup": ledger,
        "distinct_numbers": distinct,
        "pace": PACE,
        "busiest_second": busiest(lookups, 1.0),
        "busiest_ten_seconds": busiest(lookups, 10.0),
        "refused": sum(call["status"] == 429 for call in lookups),
        "scrubs_busiest_ten_seconds": busiest(calls_of(sandbox, "dncscrub"), 10.0),
        "rounds_at_once": watch.rounds,
        "connections_at_once": watch.connections,
        "day": database.execute("select settled, cap from lead_intel.spend_budgets where scope = 'day'").fetchall(),
    }
    sys.stderr.write(f"\n{json.dumps(figures, default=str)}\n")
    assert_every_row_is_accounted_for(database, backlog)
    assert_books_balance(database, cap)
    assert ledger["distinct_keys"] == distinct
    assert ledger["paid_calls"] <= distinct + SLOTS * IN_FLIGHT
    # What a busy machine sends late may meet, within one second, what was to follow it.
    assert figures["busiest_second"] <= PACE + SLOTS
    assert figures["busiest_ten_seconds"] <= 10 * PACE + 1
    assert figures["refused"] <= 3
    assert 1 <= len(figures["failed_runs"]) <= 2 * SLOTS
    assert all(worker.says(RECEIVED) for worker in workers)


def reaped(database: psycopg.Connection) -> list[str]:
    rows = database.execute(
        "select event::json -> 'dagster_event' ->> 'message' from dagster.event_logs "
        "where dagster_event_type = 'PIPELINE_FAILURE' order by id"
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
