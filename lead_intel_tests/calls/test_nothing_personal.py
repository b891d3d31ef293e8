"""No number, address or key in any log (DEBUG, every library's), output or traceback, whatever goes wrong."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from typing import Any

import psycopg
import pytest

from lead_intel.calls.paid import answer_all
from lead_intel.calls.ports import Ask, Vendor
from lead_intel.errors import LeadIntelError
from lead_intel.policy import Policy
from lead_intel.settings import Settings
from lead_intel.vendors.never_bounce import NeverBounce
from lead_intel.vendors.people_data_labs import PeopleDataLabs, Person
from lead_intel.vendors.trestle import Trestle
from lead_intel.vendors.twilio_lookup import TwilioLookup
from lead_intel.vendors.zerobounce import ZeroBounce

LEADS = 4
FAULTS = (
    "garbage", "empty", "bad_gateway", "redirect", "server_error", "rate_limited", "truncated", "drop_after", "huge",
    "slow", "black_hole", "unauthorized", "quota",
)  # fmt: skip
PERSONAL = ("2125204", "canary", "Canarella")


def asks(vendor: Vendor, first: int) -> list[Ask]:
    numbers = range(first, first + LEADS)
    match vendor:
        case PeopleDataLabs():
            people = (Person(12125204000 + n, first_name="Canarella", email=f"canary{n}@example.com") for n in numbers)
            return [vendor.ask_about(f"lead {n}", person) for n, person in zip(numbers, people, strict=True)]
        case ZeroBounce() | NeverBounce():
            return [vendor.ask_about(f"canary{n}@example.com") for n in numbers]
        case Trestle() | TwilioLookup():
            return [vendor.ask_about(12125204000 + n) for n in numbers]
    raise AssertionError


@pytest.mark.parametrize(
    "kind",
    [
        TwilioLookup,
        ZeroBounce,
        NeverBounce,
        pytest.param(PeopleDataLabs, marks=pytest.mark.slow),
        pytest.param(Trestle, marks=pytest.mark.slow),
    ],
)
def test_no_fault_brings_a_number_an_address_or_a_key_to_light(
    settings: Settings, policy: Policy, sandbox: Any, database: psycopg.Connection, kind: Any,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    for name in ("aiohttp", "aiohttp.client", "aiohttp.internal", "asyncio", "psycopg"):
        caplog.set_level(logging.DEBUG, logger=name)
    vendor, said = kind(settings), ""
    limits = policy.limits_of(vendor.name).model_copy(
        update={"deadline_seconds": 0.3, "late_seconds": 0.5, "patience_seconds": 0.0, "attempts": 2}
    )
    for number, fault in enumerate(FAULTS):
        sandbox.fault(vendor.name, fault, options={"seconds": 0.5, "bytes": 5_000_000})
        try:
            answer_all(
                asks(vendor, number * LEADS),
                vendor,
                limits,
                settings=settings,
                upload="upl_20261124_aaaaaaaaaa",
                supplier="acme",
                stop=threading.Event(),
                store=lambda _connection, _batch: None,
                progress=lambda _done, _total: None,
            )
        except LeadIntelError as error:
            said += "".join(traceback.format_exception(error)) + str(error.as_reason())
        sandbox.clear()
    while database.execute("select 1 from lead_intel.vendor_calls where late_until > now()").fetchone():
        time.sleep(0.05)

    output = capfd.readouterr()
    everything = said + caplog.text + output.out + output.err
    keys = (
        settings.twilio_auth_token, settings.people_data_labs_api_key, settings.zerobounce_api_key,
        settings.trestle_api_key, settings.never_bounce_api_key,
    )  # fmt: skip
    secrets = [*PERSONAL, *(key.get_secret_value() for key in keys if key is not None)]
    assert [secret for secret in secrets if secret in everything] == []
    assert "credentials" in said
    assert caplog.records
