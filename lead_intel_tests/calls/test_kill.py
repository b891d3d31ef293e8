"""kill -9 in the middle of a round, then resume: paid calls <= distinct numbers + calls in flight at each crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from lead_intel.settings import Settings

UPLOAD = "upl_20261124_kkkkkkkkkk"
CHILD = Path(__file__).parent / "one_round.py"
IN_FLIGHT = 6


def start(count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(count), str(IN_FLIGHT), UPLOAD],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


def kill_at(sandbox: Any, calls: int, count: int) -> None:
    """Start a round and kill it when the vendor has received `calls` more calls."""
    before = sandbox.ledger()["twilio_lookup"]["calls"]
    child = start(count)
    while sandbox.ledger()["twilio_lookup"]["calls"] < before + calls and child.poll() is None:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=10)


def finish(count: int) -> None:
    child = start(count)
    output, _ = child.communicate(timeout=60)
    assert output == f"{count}\n"


def table(database: psycopg.Connection) -> list[tuple[Any, ...]]:
    return database.execute(
        "select phone, outcome, valid, line_type, carrier_name from lead_intel.phone_lookups order by phone"
    ).fetchall()


def assert_books_balance(database: psycopg.Connection) -> None:
    row = database.execute(
        "select (select count(*) from lead_intel.vendor_calls where outcome is null), "
        "(select sum(reserved) from lead_intel.spend_budgets), "
        "(select sum(price) from lead_intel.vendor_calls where billed <> 'no') - "
        "(select settled from lead_intel.spend_budgets where scope = 'upload')"
    ).fetchone()
    assert row == (0, 0, 0)


def run_killed(sandbox: Any, database: psycopg.Connection, count: int, kills: list[int]) -> None:
    sandbox.fault("twilio_lookup", "slow", options={"seconds": 0.03})
    for calls in kills:
        kill_at(sandbox, calls, count)
    finish(count)
    ledger = sandbox.ledger()["twilio_lookup"]
    assert ledger["distinct_keys"] == count
    assert ledger["paid_calls"] <= count + len(kills) * IN_FLIGHT
    assert len(table(database)) == count
    assert_books_balance(database)


def test_killed_in_the_middle_it_resumes_and_pays_at_most_what_was_in_flight(
    settings: Settings, sandbox: Any, database: psycopg.Connection
) -> None:
    run_killed(sandbox, database, 40, [15])
    killed = table(database)
    database.execute("truncate lead_intel.phone_lookups, lead_intel.vendor_calls cascade")
    finish(40)
    assert table(database) == killed
