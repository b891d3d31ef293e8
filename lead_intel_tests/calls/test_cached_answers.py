"""An answer is bought once per vendor and age, "nobody there" and "no such number" as well."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from lead_intel.calls.paid import answer_all
from lead_intel.calls.ports import CallSummary, Outcome
from lead_intel.policy import Policy
from lead_intel.settings import Settings
from lead_intel.vendors.people_data_labs import PeopleDataLabs, Person

UPLOADS = iter(f"upl_20261124_{n:010d}" for n in range(1000))


def numbers(count: int) -> list[int]:
    return [12125200000 + step for step in range(count)]


def days_pass(database: psycopg.Connection, days: int) -> None:
    database.execute(
        "update lead_intel.vendor_calls set answered_at = answered_at - make_interval(days => %s)", (days,)
    )


def test_a_number_that_does_not_exist_is_asked_about_once(rounds: Any, sandbox: Any) -> None:
    sandbox.fault("twilio_lookup", "invalid")
    assert rounds.run(numbers(5)).outcomes == {Outcome.INVALID: 5}
    again = rounds.run(numbers(5), upload=next(UPLOADS))
    assert (again.asked, again.outcomes) == (0, {Outcome.INVALID: 5})
    assert sandbox.ledger()["twilio_lookup"]["calls"] == 5


def test_a_person_whom_the_vendor_does_not_know_is_asked_about_once(
    settings: Settings, policy: Policy, sandbox: Any
) -> None:
    vendor = PeopleDataLabs(settings)

    def run() -> CallSummary:
        return answer_all(
            [vendor.ask_about(f"lead {n}", Person(12125200000 + n)) for n in range(40)],
            vendor,
            policy.limits_of(vendor.name).model_copy(update={"per_second": 200.0}),
            settings=settings,
            upload=next(UPLOADS),
            supplier="acme",
            stop=threading.Event(),
            store=lambda _connection, _batch: None,
            progress=lambda _done, _total: None,
        )

    first, again = run(), run()
    assert first.outcomes[Outcome.NO_MATCH] > 0
    assert (again.asked, again.outcomes) == (0, first.outcomes)
    ledger = sandbox.ledger()["people_data_labs"]
    assert ledger["calls"] == 40
    assert ledger["paid_calls"] == first.outcomes[Outcome.OK]


@pytest.mark.parametrize("fault", ["", "invalid"])
def test_an_answer_is_bought_again_when_it_is_older_than_the_vendors_days(
    rounds: Any, database: psycopg.Connection, sandbox: Any, fault: str
) -> None:
    if fault:
        sandbox.fault("twilio_lookup", fault)
    rounds.run(numbers(4), cache_days=30)
    days_pass(database, 29)
    assert rounds.run(numbers(4), upload=next(UPLOADS), cache_days=30).asked == 0
    days_pass(database, 2)
    assert rounds.run(numbers(4), upload=next(UPLOADS), cache_days=90).asked == 0
    assert rounds.run(numbers(4), upload=next(UPLOADS), cache_days=30).asked == 4
    assert rounds.run(numbers(4), upload=next(UPLOADS), cache_days=30).asked == 0


def test_every_paid_vendor_has_days_of_its_own(policy: Policy) -> None:
    days = {name: limits.cache_days for name, limits in policy.vendors.vendors.items()}
    assert min(days.values()) > 0
    assert len(set(days.values())) > 1
