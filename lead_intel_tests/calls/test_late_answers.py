"""An answer after the deadline: nobody waits for it, and nobody pays for it twice. Counted at the vendor's side."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from lead_intel.calls.ports import Outcome
from lead_intel.errors import Stopped

PRICE = Decimal("0.008")
SLOW = {"deadline_seconds": 0.5, "late_seconds": 10.0}
"""A short deadline stands for 5 s: what matters is on which side of it the answer comes."""


def numbers(count: int) -> list[int]:
    return [12125200000 + step for step in range(count)]


def paid(sandbox: Any) -> int:
    return int(sandbox.ledger()["twilio_lookup"]["paid_calls"])


def outcomes(database: psycopg.Connection) -> dict[str, int]:
    return dict(database.execute("select outcome, count(*) from lead_intel.vendor_calls group by 1").fetchall())


def wait_for_late_answers(database: psycopg.Connection, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while database.execute("select 1 from lead_intel.vendor_calls where late_until is not null").fetchone():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_books_balance(database: psycopg.Connection) -> None:
    row = database.execute(
        "select (select sum(reserved) from lead_intel.spend_budgets), "
        "(select coalesce(sum(price) filter (where billed <> 'no'), 0) from lead_intel.vendor_calls) - "
        "(select settled from lead_intel.spend_budgets where scope = 'upload'), "
        "(select settled from lead_intel.spend_budgets where scope = 'upload') - "
        "(select coalesce(sum(amount), 0) from lead_intel.spend_entries where kind = 'settle')"
    ).fetchone()
    assert row == (0, 0, 0)


def test_a_late_answer_labels_the_row_at_once_and_the_next_run_finds_it_and_pays_nothing(
    rounds: Any, database: psycopg.Connection, sandbox: Any
) -> None:
    sandbox.fault("twilio_lookup", "slow", options={"seconds": 1.5})
    started = time.monotonic()
    summary = rounds.run(numbers(8), **SLOW)
    assert time.monotonic() - started < 1.4
    assert summary.outcomes == {Outcome.TIMEOUT: 8}
    assert max(summary.seconds) < 0.7
    wait_for_late_answers(database)
    sandbox.clear()
    rounds.answered.clear()

    again = rounds.run(numbers(8), upload="upl_20261124_bbbbbbbbbb", **SLOW)

    assert again.outcomes == {Outcome.OK: 8}
    assert (again.asked, again.settled) == (0, 0)
    assert all(answered.verdict.fields["line_type"] for answered in rounds.answered)
    ledger = sandbox.ledger()["twilio_lookup"]
    assert ledger["paid_calls"] == ledger["calls"] == ledger["distinct_keys"] == 8
    rows = database.execute("select distinct outcome, billed, late from lead_intel.vendor_calls").fetchall()
    assert rows == [("ok", "yes", True)]
    assert_books_balance(database)


def test_what_is_still_listened_for_is_not_asked_again_and_nobody_waits_for_it(
    rounds: Any, database: psycopg.Connection, sandbox: Any
) -> None:
    sandbox.fault("twilio_lookup", "slow", options={"seconds": 2})
    rounds.run(numbers(6), **SLOW)
    started = time.monotonic()
    at_once = rounds.another().run(numbers(6), upload="upl_20261124_bbbbbbbbbb", **SLOW)
    assert time.monotonic() - started < 0.5
    assert at_once.outcomes == {Outcome.TIMEOUT: 6}
    assert (at_once.asked, at_once.settled) == (0, 0)
    wait_for_late_answers(database)
    assert rounds.run(numbers(6), **SLOW).outcomes == {Outcome.OK: 6}
    assert paid(sandbox) == 6
    assert_books_balance(database)


def test_answers_come_in_while_the_round_is_still_at_work(
    rounds: Any, database: psycopg.Connection, sandbox: Any
) -> None:
    sandbox.fault("twilio_lookup", "slow", options={"seconds": 0.9, "every": 4})
    summary = rounds.run(numbers(40), concurrency=12, **SLOW)
    assert summary.outcomes == {Outcome.OK: 30, Outcome.TIMEOUT: 10}
    wait_for_late_answers(database)
    sandbox.clear()
    assert rounds.run(numbers(40), **SLOW).outcomes == {Outcome.OK: 40}
    assert paid(sandbox) == 40
    assert_books_balance(database)


def test_what_the_vendor_refuses_late_is_given_back(rounds: Any, database: psycopg.Connection, sandbox: Any) -> None:
    sandbox.fault("twilio_lookup", "invalid")
    sandbox.fault("twilio_lookup", "slow", options={"seconds": 1})
    rounds.run(numbers(3), **SLOW)
    (settled,) = database.execute("select settled from lead_intel.spend_budgets where scope = 'upload'").fetchall()
    assert settled == (3 * PRICE,)
    wait_for_late_answers(database)
    assert outcomes(database) == {"invalid": 3}
    (settled,) = database.execute("select settled from lead_intel.spend_budgets where scope = 'upload'").fetchall()
    assert settled == (0,)
    assert_books_balance(database)


def test_a_vendor_that_never_answers_costs_no_slot_that_a_new_question_needs(
    rounds: Any, database: psycopg.Connection, sandbox: Any
) -> None:
    silent = numbers(40)[::5]
    for phone in silent:
        sandbox.fault("twilio_lookup", "black_hole", options={"match": str(phone), "seconds": 60})
    started = time.monotonic()
    summary = rounds.run(numbers(40), concurrency=4, deadline_seconds=0.4, late_seconds=30.0)
    took = time.monotonic() - started
    assert summary.outcomes == {Outcome.OK: 32, Outcome.TIMEOUT: 8}
    # Eight silent calls on at least two of four slots.
    assert took < 8 * 0.4 / 2 + 1.5
    open_now = database.execute("select count(*) from lead_intel.vendor_calls where late_until is not null").fetchone()
    assert open_now is not None
    assert open_now[0] <= 4
    assert_books_balance(database)


def test_a_stop_hangs_up_within_a_second_and_what_was_late_may_be_asked_again(
    rounds: Any, database: psycopg.Connection, sandbox: Any
) -> None:
    sandbox.fault("twilio_lookup", "slow", options={"seconds": 20})
    asked_at: list[float] = []

    def ask_to_stop() -> None:
        while "timeout" not in outcomes(database):
            time.sleep(0.01)
        asked_at.append(time.monotonic())
        rounds.stop.set()

    threading.Thread(target=ask_to_stop).start()
    with pytest.raises(Stopped):
        rounds.run([*numbers(30)], concurrency=3, deadline_seconds=0.5, late_seconds=30.0)
    assert time.monotonic() - asked_at[0] < 1.0
    wait_for_late_answers(database, 1)
    sandbox.clear()
    rounds.stop.clear()
    assert rounds.run(numbers(30)).outcomes == {Outcome.OK: 30}
    assert_books_balance(database)


def test_a_stop_after_the_round_hangs_up_too(rounds: Any, database: psycopg.Connection, sandbox: Any) -> None:
    sandbox.fault("twilio_lookup", "slow", options={"seconds": 20})
    rounds.run(numbers(3), deadline_seconds=0.3, late_seconds=30.0)
    rounds.stop.set()
    wait_for_late_answers(database, 1)
    assert outcomes(database) == {"timeout": 3}
    assert_books_balance(database)
