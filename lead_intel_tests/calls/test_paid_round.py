"""The durable round against the sandbox: counted at the vendor's side, not only in our tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from lead_intel.calls.paid import answer_all
from lead_intel.calls.ports import CallSummary, Outcome
from lead_intel.errors import Paused, SetupError, Stopped
from lead_intel.policy import Policy
from lead_intel.record import vendor_calls
from lead_intel.record.vendor_calls import Account
from lead_intel.settings import load_settings
from lead_intel.vendors.twilio_lookup import TwilioLookup

PRICE = Decimal("0.008")


@dataclass(frozen=True)
class Money:
    reserved: Decimal
    settled: Decimal


def numbers(count: int, start: int = 0) -> list[int]:
    """Valid numbers of New York."""
    return [12125200000 + start + step for step in range(count)]


def money(database: psycopg.Connection, scope: str) -> Money:
    row = database.execute(
        "select sum(reserved), sum(settled) from lead_intel.spend_budgets where scope = %s", (scope,)
    ).fetchone()
    assert row is not None
    return Money(*row)


def outcomes(database: psycopg.Connection) -> dict[str | None, int]:
    rows = database.execute("select outcome, count(*) from lead_intel.vendor_calls group by 1").fetchall()
    return dict(rows)


def paid(sandbox: Any) -> int:
    return int(sandbox.ledger()["twilio_lookup"]["paid_calls"])


def calls(sandbox: Any) -> int:
    return int(sandbox.ledger()["twilio_lookup"]["calls"])


def test_every_number_is_paid_once_and_the_books_agree_with_the_vendor(
    rounds: Any, database: psycopg.Connection, sandbox: Any
) -> None:
    seen: list[tuple[int, int]] = []
    summary = rounds.run(numbers(120), progress=lambda done, total: seen.append((done, total)))
    assert paid(sandbox) == calls(sandbox) == summary.asked == 120
    assert summary.outcomes == {Outcome.OK: 120}
    assert summary.settled == summary.reserved == 120 * PRICE
    for scope in ("day", "upload", "vendor"):
        assert (money(database, scope).reserved, money(database, scope).settled) == (0, 120 * PRICE)
    assert seen[-1] == (120, 120)
    assert {answered.ask.payload for answered in rounds.answered} == set(numbers(120))


def test_asking_again_pays_nothing_and_gives_the_same_answers(rounds: Any, sandbox: Any) -> None:
    rounds.run(numbers(60))
    first = {answered.ask.subject: answered.verdict.fields for answered in rounds.answered}
    rounds.answered.clear()
    summary = rounds.run(numbers(60), upload="upl_20261124_bbbbbbbbbb")
    assert calls(sandbox) == 60
    assert (summary.asked, summary.settled) == (0, 0)
    assert {answered.ask.subject: answered.verdict.fields for answered in rounds.answered} == first


def test_two_uploads_that_share_numbers_at_the_same_time_pay_once(
    rounds: Any, database: psycopg.Connection, sandbox: Any
) -> None:
    other = rounds.another()
    sandbox.fault("twilio_lookup", "slow", options={"seconds": 0.1})
    rounds.side_by_side(
        lambda: rounds.run(numbers(90), upload="upl_20261124_aaaaaaaaaa"),
        lambda: other.run(list(reversed(numbers(90, start=30))), upload="upl_20261124_bbbbbbbbbb"),
    )
    assert paid(sandbox) == calls(sandbox) == 120
    assert len(rounds.answered) == len(other.answered) == 90
    assert outcomes(database) == {"ok": 120}


def test_the_cap_parks_the_round_pays_nothing_beyond_and_loses_nothing(
    rounds: Any, database: psycopg.Connection, sandbox: Any, budget: Callable[..., None]
) -> None:
    budget(per_upload="0.10")
    with pytest.raises(Paused) as parked:
        rounds.run(numbers(50))
    assert parked.value.code == "budget"
    assert paid(sandbox) == 12
    assert (money(database, "upload").reserved, money(database, "upload").settled) == (0, 12 * PRICE)
    assert len(rounds.answered) == 12
    budget(per_upload="10.00")
    rounds.run(numbers(50))
    assert paid(sandbox) == calls(sandbox) == 50


def test_an_uploads_cap_is_a_months_so_that_years_of_re_screening_end_in_no_pause(
    rounds: Any, database: psycopg.Connection, sandbox: Any, budget: Callable[..., None]
) -> None:
    budget(per_upload="0.10")
    rounds.run(numbers(12))
    with pytest.raises(Paused) as parked:
        rounds.run(numbers(12, start=12))
    assert "this month's budget of this upload" in parked.value.message
    # A month goes by.
    moved = database.execute(
        "update lead_intel.spend_budgets set key = split_part(key, ':', 1) || ':2001-01' where scope = 'upload'"
    ).rowcount
    assert moved == 1
    rounds.run(numbers(12, start=12))
    assert paid(sandbox) == 24


@pytest.mark.parametrize("caps", [{"per_day": "0.10"}, {"per_vendor": {"twilio_lookup": "0.10"}}])
def test_a_cap_holds_for_rounds_that_spend_at_the_same_time(
    rounds: Any, sandbox: Any, budget: Callable[..., None], caps: dict[str, Any]
) -> None:
    budget(**caps)

    def parked(start: int, upload: str) -> Any:
        with pytest.raises(Paused, match="budget"):
            rounds.another().run(numbers(40, start), upload=upload)

    rounds.side_by_side(lambda: parked(0, "upl_20261124_aaaaaaaaaa"), lambda: parked(100, "upl_20261124_bbbbbbbbbb"))
    assert paid(sandbox) == 12


def test_what_is_not_billed_is_given_back(rounds: Any, database: psycopg.Connection, sandbox: Any) -> None:
    sandbox.fault("twilio_lookup", "server_error", options={"match": str(numbers(1)[0])})
    summary = rounds.run(numbers(3), attempts=2)
    assert summary.outcomes == {Outcome.OK: 2, Outcome.VENDOR_ERROR: 1}
    assert (money(database, "upload").reserved, money(database, "upload").settled) == (0, 2 * PRICE)
    kinds = database.execute("select kind, count(*) from lead_intel.spend_entries group by 1 order by 1").fetchall()
    assert kinds == [("refund", 1), ("reserve", 3), ("settle", 2)]


@pytest.mark.parametrize(("kind", "code"), [("unauthorized", "credentials"), ("quota", "quota")])
def test_refused_credentials_park_the_round_and_it_resumes_without_paying_again(
    rounds: Any, database: psycopg.Connection, sandbox: Any, kind: str, code: str
) -> None:
    rounds.run(numbers(10))
    sandbox.fault("twilio_lookup", kind)
    with pytest.raises(Paused) as parked:
        rounds.run(numbers(100), concurrency=5)
    assert parked.value.code == code
    assert paid(sandbox) == 10
    assert calls(sandbox) <= 10 + 5
    assert money(database, "upload").settled == 10 * PRICE
    sandbox.clear()
    rounds.run(numbers(100))
    assert paid(sandbox) == 100


def test_stop_ends_within_a_second_and_loses_at_most_the_calls_in_flight(
    rounds: Any, database: psycopg.Connection, sandbox: Any
) -> None:
    sandbox.fault("twilio_lookup", "slow", options={"seconds": 3})
    asked_at: list[float] = []

    def ask_to_stop() -> None:
        while not calls(sandbox):
            time.sleep(0.01)
        asked_at.append(time.monotonic())
        rounds.stop.set()

    threading.Thread(target=ask_to_stop).start()
    with pytest.raises(Stopped):
        rounds.run(numbers(100), concurrency=8)
    assert time.monotonic() - asked_at[0] < 1.0
    assert paid(sandbox) <= 8
    assert None not in outcomes(database)
    assert money(database, "upload").reserved == 0
    sandbox.clear()
    rounds.stop.clear()
    rounds.run(numbers(100))
    assert paid(sandbox) <= 100 + 8
    assert outcomes(database)["ok"] == 100


@pytest.mark.parametrize("form", [{}, {"retry_after": 1, "retry_after_form": "date"}])
def test_a_vendor_that_slows_us_down_is_obeyed_and_answers_everything(
    rounds: Any, sandbox: Any, form: dict[str, Any]
) -> None:
    sandbox.fault("twilio_lookup", "rate_limited", options={"every": 10, "count": 2, **form})
    summary = rounds.run(numbers(40))
    assert summary.outcomes == {Outcome.OK: 40}
    assert paid(sandbox) == 40
    assert calls(sandbox) <= 40 + 2


def test_stop_does_not_wait_for_a_retry_and_charges_nothing_for_it(
    rounds: Any, database: psycopg.Connection, sandbox: Any
) -> None:
    sandbox.fault("twilio_lookup", "rate_limited", options={"retry_after": 20})
    threading.Timer(0.7, rounds.stop.set).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        rounds.run(numbers(20))
    assert time.monotonic() - started < 1.7
    assert outcomes(database).keys() == {"rate_limited"}
    assert money(database, "upload").settled == 0


def test_a_vendor_that_only_refuses_is_not_waited_for_beyond_patience(rounds: Any, sandbox: Any) -> None:
    sandbox.fault("twilio_lookup", "rate_limited", options={"retry_after": 1})
    started = time.monotonic()
    summary = rounds.run(numbers(300), deadline_seconds=1.0, patience_seconds=0.5, concurrency=10)
    assert time.monotonic() - started < 6
    assert summary.outcomes == {Outcome.RATE_LIMITED: 300}
    assert calls(sandbox) < 60


def test_an_open_breaker_labels_the_rest_without_asking_or_paying(
    rounds: Any, database: psycopg.Connection, sandbox: Any
) -> None:
    sandbox.fault("twilio_lookup", "server_error")
    started = time.monotonic()
    summary = rounds.run(numbers(500), attempts=1, concurrency=20)
    assert time.monotonic() - started < 5
    assert summary.outcomes == {Outcome.VENDOR_ERROR: 500}
    assert calls(sandbox) < 100
    assert len(rounds.answered) == 500
    assert money(database, "upload").settled == 0


@pytest.mark.parametrize(
    ("kind", "options", "outcome", "billed"),
    [
        ("garbage", {}, Outcome.VENDOR_ERROR, "unknown"),
        ("empty", {}, Outcome.VENDOR_ERROR, "unknown"),
        ("bad_gateway", {}, Outcome.VENDOR_ERROR, "no"),
        ("redirect", {}, Outcome.VENDOR_ERROR, "no"),
        ("truncated", {}, Outcome.VENDOR_ERROR, "unknown"),
        ("drop_after", {}, Outcome.VENDOR_ERROR, "unknown"),
        ("huge", {"bytes": 5_000_000}, Outcome.VENDOR_ERROR, "unknown"),
        ("other_subject", {}, Outcome.VENDOR_ERROR, "unknown"),
        ("invalid", {}, Outcome.INVALID, "no"),
        ("package_error", {"code": 60600}, Outcome.OK, "no"),
        ("package_error", {"code": 60608}, Outcome.VENDOR_ERROR, "no"),
        ("strict_encoding", {}, Outcome.OK, "yes"),
    ],
)
def test_a_bad_answer_is_labelled_and_its_money_is_honest(
    rounds: Any,
    database: psycopg.Connection,
    sandbox: Any,
    kind: str,
    options: dict[str, Any],
    outcome: Outcome,
    billed: str,
) -> None:
    sandbox.fault("twilio_lookup", kind, options=options)
    summary = rounds.run(numbers(2), attempts=2)
    assert summary.outcomes == {outcome: 2}
    row = database.execute("select distinct outcome, billed from lead_intel.vendor_calls").fetchall()
    assert row == [(outcome, billed)]
    assert paid(sandbox) <= 2
    # A call that may have been billed is never repeated within the round.
    assert billed == "no" or calls(sandbox) == 2


def test_a_call_repeated_after_a_late_failure_has_what_is_left_of_the_deadline(rounds: Any, sandbox: Any) -> None:
    sandbox.fault("twilio_lookup", "slow", options={"seconds": 1.5, "count": 1})
    sandbox.fault("twilio_lookup", "server_error", options={"count": 1})
    sandbox.fault("twilio_lookup", "black_hole", options={"seconds": 20, "every": 2})
    summary = rounds.run(numbers(1), deadline_seconds=3.0, patience_seconds=60, late_seconds=0)
    assert summary.outcomes == {Outcome.TIMEOUT: 1}
    assert calls(sandbox) == 2
    assert max(summary.seconds) <= 3.2


@pytest.mark.parametrize(
    ("age", "seconds", "asked"),
    [("0 days", None, 2), ("2 days", None, 3), ("0 days", 1.5, 3)],
    ids=["by deaths today", "by deaths days ago", "by a person's stops"],
)
def test_a_question_that_is_cut_off_every_time_is_not_paid_for_ever(
    rounds: Any, database: psycopg.Connection, sandbox: Any, age: str, seconds: float | None, asked: int
) -> None:
    upload, phone = "upl_20261124_aaaaaaaaaa", numbers(1)[0]
    for _ in range(4):
        database.execute(
            "insert into lead_intel.vendor_calls (vendor, package, subject, upload, supplier, price, outcome, billed, "
            "seconds, answered_at) values ('twilio_lookup', 'line_type_intelligence', %s, %s, 'acme', 0.008, "
            "'indeterminate', 'unknown', %s, now() - %s::interval)",
            (str(phone), upload, seconds, age),
        )
    summary = rounds.run(numbers(3), upload=upload)
    assert summary.outcomes.get(Outcome.OK) == paid(sandbox) == asked
    assert summary.outcomes.get(Outcome.INDETERMINATE, 0) == 3 - asked


def test_an_answer_whose_call_somebody_took_for_dead_is_kept_and_not_bought_again(
    rounds: Any, database: psycopg.Connection, sandbox: Any
) -> None:
    upload = "upl_20261124_aaaaaaaaaa"
    sandbox.fault("twilio_lookup", "slow", options={"seconds": 1.0})
    account = Account("twilio_lookup", "line_type_intelligence", upload, "acme")

    def take_for_dead() -> CallSummary:
        deadline = time.monotonic() + 5
        while calls(sandbox) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        with database.transaction():
            assert vendor_calls.end_own_open(database, account) == 2
        return CallSummary(0, {}, Decimal(0), Decimal(0), ())

    rounds.side_by_side(lambda: rounds.run(numbers(2), upload=upload), take_for_dead)

    assert outcomes(database) == {"ok": 2}
    assert (money(database, "upload").reserved, money(database, "upload").settled) == (0, 2 * PRICE)
    rounds.run(numbers(2), upload="upl_20261124_bbbbbbbbbb")
    assert paid(sandbox) == 2


def test_a_host_that_no_setting_names_gets_nothing_and_costs_nothing(
    policy: Policy, database: psycopg.Connection, sandbox: Any
) -> None:
    settings = load_settings()
    elsewhere = TwilioLookup(settings.model_copy(update={"twilio_lookup_url": "http://localhost:9"}))
    with pytest.raises(SetupError, match="host"):
        answer_all(
            [elsewhere.ask_about(phone) for phone in numbers(3)],
            elsewhere,
            policy.limits_of("twilio_lookup"),
            settings=settings,
            upload="upl_20261124_aaaaaaaaaa",
            supplier="acme",
            stop=threading.Event(),
            store=lambda _connection, _batch: None,
            progress=lambda _done, _total: None,
        )
    assert calls(sandbox) == 0
    assert set(outcomes(database)) == {"indeterminate"}
    assert (money(database, "upload").reserved, money(database, "upload").settled) == (0, 0)


def test_a_dead_uploads_claim_is_taken_over_once_its_heartbeat_is_old(
    rounds: Any, database: psycopg.Connection, sandbox: Any
) -> None:
    phone = numbers(1)[0]
    database.execute(
        "insert into lead_intel.lead_ingestions (upload, supplier, sha256, heartbeat_at) "
        "values ('upl_20261124_dddddddddd', 'acme', 'x', now() - interval '1 minute')"
    )
    database.execute(
        "insert into lead_intel.vendor_calls (vendor, package, subject, upload, supplier, price) "
        "values ('twilio_lookup', 'line_type_intelligence', %s, 'upl_20261124_dddddddddd', 'acme', 0.008)",
        (str(phone),),
    )
    summary = rounds.run([phone])
    assert summary.outcomes == {Outcome.OK: 1}
    assert outcomes(database) == {"indeterminate": 1, "ok": 1}


def test_no_number_and_no_key_reaches_a_log(rounds: Any, sandbox: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    for kind in ("truncated", "garbage", "server_error", "drop_after"):
        sandbox.fault("twilio_lookup", kind, options={"count": 2})
    rounds.run(numbers(12), attempts=1)
    assert "2125200" not in caplog.text
