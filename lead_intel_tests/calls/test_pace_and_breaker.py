"""Pace, Retry-After, breaker and retry decisions, on a clock of the test's own."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest

from lead_intel.calls.breaker import Breaker
from lead_intel.calls.pace import RETRY_AFTER_CAP_SECONDS, Pace, retry_after_seconds
from lead_intel.calls.ports import Billed, Outcome, Reply, Verdict
from lead_intel.calls.retry import is_worth_another, wait_seconds
from lead_intel.policy import VendorLimits


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limits(per_second: float, concurrency: int) -> VendorLimits:
    return VendorLimits(
        price_usd=Decimal("0.01"),
        deadline_seconds=5,
        per_second=per_second,
        concurrency=concurrency,
        attempts=3,
        cache_days=30,
    )


def started_in(pace: Pace, clock: Clock, seconds: float, running: int = 0) -> int:
    """Calls that `pace` lets start within `seconds`, looked at every millisecond."""
    started = 0
    for _ in range(int(seconds * 1000)):
        calls = pace.available(running)
        pace.take(calls)
        started += calls
        clock.now += 0.001
    return started


def test_the_allowed_pace_is_kept_and_not_passed() -> None:
    clock = Clock()
    assert started_in(Pace(limits(200, 1000), clock), clock, 5) == pytest.approx(1000, rel=0.03)


def test_an_idle_time_does_not_save_up_a_burst() -> None:
    clock = Clock()
    pace = Pace(limits(200, 1000), clock)
    clock.now += 3600
    assert pace.available(0) == 20


def test_slots_cap_what_runs_at_the_same_time() -> None:
    clock = Clock()
    pace = Pace(limits(1000, 8), clock)
    clock.now += 1
    assert pace.available(6) == 2
    assert pace.available(8) == 0


def test_forty_refusals_at_once_halve_the_pace_once() -> None:
    clock = Clock()
    pace = Pace(limits(200, 40), clock)
    for _ in range(40):
        pace.refused(None)
    assert (pace.rate, pace.slots) == (100, 20)


def test_a_refused_pace_recovers_with_answers() -> None:
    clock = Clock()
    pace = Pace(limits(200, 40), clock)
    for _ in range(10):
        clock.now += 2
        pace.refused(None)
    assert pace.rate == 4
    for _ in range(100):
        pace.answered()
    assert (pace.rate, pace.slots) == (200, 40)


def test_retry_after_closes_the_pace_up_to_a_cap() -> None:
    clock = Clock()
    pace = Pace(limits(200, 40), clock)
    pace.refused(5)
    assert pace.available(0) == 0
    assert pace.wait_seconds() == pytest.approx(5)
    pace.refused(86400)
    assert pace.wait_seconds() == pytest.approx(RETRY_AFTER_CAP_SECONDS)
    clock.now += RETRY_AFTER_CAP_SECONDS
    assert pace.available(0) > 0


NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5),
        ("0", 0),
        ("86400", 86400),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("5.5", None),
        ("9" * 40, None),
        (format_datetime(NOW + timedelta(seconds=7), usegmt=True), 7),
        (format_datetime(NOW - timedelta(seconds=7), usegmt=True), None),
        ("Fri, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": text}, NOW) == seconds


def test_a_retry_after_date_is_read_on_the_vendors_own_clock() -> None:
    skewed = NOW + timedelta(hours=1)
    headers = {
        "date": format_datetime(skewed, usegmt=True),
        "retry-after": format_datetime(skewed + timedelta(seconds=9), usegmt=True),
    }
    assert retry_after_seconds(headers, NOW) == 9


def test_the_breaker_opens_for_a_dead_vendor_and_closes_with_a_good_probe() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(9):
        breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.allows()
    clock.now += 1.1
    assert breaker.allows()
    breaker.probing()
    assert not breaker.allows()
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.allows()


def test_a_vendor_that_fails_every_second_call_is_not_dead() -> None:
    breaker = Breaker(Clock())
    for _ in range(500):
        breaker.failed()
        breaker.succeeded()
    assert not breaker.is_open


@pytest.mark.parametrize(
    ("outcome", "billed", "status", "again"),
    [
        (Outcome.RATE_LIMITED, "no", 429, True),
        (Outcome.VENDOR_ERROR, "no", 503, True),
        (Outcome.VENDOR_ERROR, "no", None, True),
        (Outcome.VENDOR_ERROR, "no", 200, True),
        (Outcome.VENDOR_ERROR, "no", 404, False),
        (Outcome.VENDOR_ERROR, "unknown", 200, False),
        (Outcome.TIMEOUT, "unknown", None, False),
        (Outcome.AUTH, "no", 401, False),
        (Outcome.OK, "yes", 200, False),
    ],
)
def test_only_what_is_safe_and_free_is_repeated(
    outcome: Outcome, billed: Billed, status: int | None, *, again: bool
) -> None:
    reply = None if status is None else Reply(status, {}, None)
    assert is_worth_another(Verdict(outcome, billed), reply) is again


def test_waits_grow_with_jitter_and_never_undercut_retry_after() -> None:
    chance = random.Random(1)
    waits = [wait_seconds(attempt, None, chance) for attempt in range(1, 20)]
    assert 0.05 <= waits[0] <= 0.1
    assert max(waits) <= 10
    assert wait_seconds(1, 3.0, chance) >= 3.0
