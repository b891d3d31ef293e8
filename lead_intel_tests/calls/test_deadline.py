"""5.0 seconds of wall clock per enrichment call, whatever the vendor does; one sick vendor slows no other."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lead_intel.calls.paid import answer_all
from lead_intel.calls.ports import Ask, CallSummary, Outcome, Vendor
from lead_intel.policy import Policy
from lead_intel.settings import Settings
from lead_intel.vendors.people_data_labs import PeopleDataLabs, Person
from lead_intel.vendors.trestle import Trestle
from lead_intel.vendors.zerobounce import ZeroBounce

LEADS = 8
LATEST = 5.2


def asks(vendor: Vendor) -> list[Ask]:
    match vendor:
        case PeopleDataLabs():
            return [vendor.ask_about(f"lead {n}", Person(12125200000 + n)) for n in range(LEADS)]
        case ZeroBounce():
            return [vendor.ask_about(f"person{n}@example.com") for n in range(LEADS)]
        case Trestle():
            return [vendor.ask_about(12125200000 + n) for n in range(LEADS)]
    raise AssertionError


def round_of(vendor: Vendor, settings: Settings, policy: Policy) -> tuple[CallSummary, float]:
    started = time.monotonic()
    summary = answer_all(
        asks(vendor),
        vendor,
        policy.limits_of(vendor.name),
        settings=settings,
        upload="upl_20261124_aaaaaaaaaa",
        supplier="acme",
        stop=threading.Event(),
        store=lambda _connection, _batch: None,
        progress=lambda _done, _total: None,
    )
    return summary, time.monotonic() - started


@pytest.mark.parametrize(
    "sick",
    [
        {"people_data_labs": "black_hole", "zerobounce": "trickle"},
        pytest.param({"people_data_labs": "slow", "trestle": "black_hole"}, marks=pytest.mark.slow),
        pytest.param({"zerobounce": "slow", "trestle": "trickle"}, marks=pytest.mark.slow),
    ],
)
def test_no_call_outlasts_its_deadline_and_a_sick_vendor_does_not_slow_a_healthy_one(
    settings: Settings, policy: Policy, sandbox: Any, sick: dict[str, str]
) -> None:
    for service, kind in sick.items():
        sandbox.fault(service, kind, options={"seconds": 20})
    vendors: list[Vendor] = [PeopleDataLabs(settings), ZeroBounce(settings), Trestle(settings)]
    with ThreadPoolExecutor(3) as pool:
        futures = {vendor.name: pool.submit(round_of, vendor, settings, policy) for vendor in vendors}
        results = {name: future.result() for name, future in futures.items()}
    for name, (summary, wall) in results.items():
        if name in sick:
            assert summary.outcomes == {Outcome.TIMEOUT: LEADS}
            assert max(summary.seconds) <= LATEST
            assert wall < 8
        else:
            assert Outcome.TIMEOUT not in summary.outcomes
            assert wall < 3


def test_a_flood_is_cut_off_at_once(settings: Settings, policy: Policy, sandbox: Any) -> None:
    sandbox.fault("trestle", "huge", options={"bytes": 20_000_000})
    summary, wall = round_of(Trestle(settings), settings, policy)
    assert summary.outcomes == {Outcome.VENDOR_ERROR: LEADS}
    assert max(summary.seconds) <= LATEST
    assert wall < 8
