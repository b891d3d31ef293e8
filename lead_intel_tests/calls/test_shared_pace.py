"""One vendor account, several rounds at once: together they keep the account's pace, counted at the vendor's side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from lead_intel.calls.pace import Pace

LIMITS = {"per_second": 40.0, "concurrency": 10}


def numbers(count: int, start: int = 0) -> list[int]:
    return [12125200000 + start + step for step in range(count)]


def busiest(moments: Sequence[float], seconds: float) -> int:
    """The most calls within any window of so many seconds."""
    ordered = sorted(moments)
    return max(sum(1 for other in ordered if first <= other < first + seconds) for first in ordered)


def called_at(sandbox: Any) -> list[float]:
    return [float(call["at"]) for call in sandbox.calls("twilio_lookup")]


def test_two_rounds_at_once_stay_within_the_pace_of_the_account(rounds: Any, sandbox: Any) -> None:
    other = rounds.another()

    def later() -> Any:
        time.sleep(0.7)
        return other.run(numbers(80, start=1000), upload="upl_20261124_bbbbbbbbbb", **LIMITS)

    rounds.side_by_side(lambda: rounds.run(numbers(120), upload="upl_20261124_aaaaaaaaaa", **LIMITS), later)

    moments = called_at(sandbox)
    assert len(moments) == 200
    assert busiest(moments, 1.0) <= 40 * 1.25
    # Nor is the account idle: alone at first, at half the pace each, alone again at the end.
    assert max(moments) - min(moments) < 200 / 40 + 2.5


def test_a_round_that_died_gives_its_part_back(rounds: Any, database: psycopg.Connection, sandbox: Any) -> None:
    database.execute(
        "insert into lead_intel.vendor_rounds (round_id, vendor, seen_at) "
        "values (gen_random_uuid(), 'twilio_lookup', now() - interval '6 seconds')"
    )
    started = time.monotonic()
    rounds.run(numbers(40), **LIMITS)
    assert time.monotonic() - started < 1.9


def test_other_vendors_do_not_share_it(rounds: Any, database: psycopg.Connection, sandbox: Any) -> None:
    database.execute("insert into lead_intel.vendor_rounds (round_id, vendor) values (gen_random_uuid(), 'zerobounce')")
    started = time.monotonic()
    rounds.run(numbers(40), **LIMITS)
    assert time.monotonic() - started < 1.9


def test_a_round_leaves_when_it_ends(rounds: Any, database: psycopg.Connection, sandbox: Any) -> None:
    rounds.run(numbers(3))
    assert database.execute("select count(*) from lead_intel.vendor_rounds").fetchone() == (0,)


@pytest.mark.parametrize("rounds_at_once", [2, 3, 50])
def test_the_parts_never_exceed_the_whole_and_come_back(policy: Any, rounds_at_once: int) -> None:
    limits = policy.limits_of("twilio_lookup")
    pace = Pace(limits, lambda: 0.0)
    pace.divide(rounds_at_once)
    assert pace.rate * rounds_at_once == pytest.approx(limits.per_second)
    assert pace.slots == max(1.0, limits.concurrency / rounds_at_once)
    pace.divide(1)
    assert pace.rate == pytest.approx(limits.per_second)
    assert pace.slots == pytest.approx(limits.concurrency)
