"""Every kind of fault, as a caller meets it, and what the ledger then says was processed and paid."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from lead_intel.errors import UsageError
from lead_intel.sandbox.client import Control
from lead_intel.sandbox.faults import DELIVERIES, REFUSALS

SERVICE = "trestle"


@pytest.fixture
def ask(vendor: dict[str, str]) -> Callable[..., httpx.Response]:
    def call(phone: str = "+12125550123", timeout: float = 5) -> httpx.Response:
        return httpx.get(
            f"{vendor['TRESTLE_URL']}/3.0/phone_intel",
            params={"phone": phone},
            headers={"x-api-key": vendor["TRESTLE_API_KEY"]},
            timeout=timeout,
        )

    return call


def counts(control: Control) -> dict[str, int]:
    return control.ledger()[SERVICE]


def test_every_answer_says_that_it_is_the_sandboxs(sandbox: Any, ask: Any) -> None:
    for answer in (ask(), httpx.get(f"{sandbox.url}/nowhere"), httpx.get(f"{sandbox.url}/control/health")):
        assert answer.headers["x-lead-intel-sandbox"] == "1"


@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [
        ("rate_limited", 429, "application/json"),
        ("unauthorized", 403, "application/json"),
        ("forbidden", 403, "application/json"),
        ("quota", 429, "application/json"),
        ("server_error", 500, "application/json"),
        ("bad_gateway", 502, "text/html"),
        ("garbage", 200, "text/html"),
        ("empty", 200, "application/json"),
        ("redirect", 302, None),
    ],
)
def test_a_refusal_is_a_call_that_is_neither_processed_nor_paid(
    ask: Any, control: Control, kind: str, status: int, content_type: str | None
) -> None:
    control.fault(SERVICE, kind)
    answer = ask()
    assert (answer.status_code, answer.headers.get("content-type")) == (status, content_type)
    if kind in {"bad_gateway", "garbage"}:
        assert answer.text.startswith("<!DOCTYPE html>")
    assert counts(control) == {"calls": 1, "distinct_keys": 0, "paid_calls": 0}
    (call,) = control.calls(SERVICE)
    assert (call["fault"], call["processed"], call["key"]) == (kind, False, "12125550123")
    control.clear_fault(SERVICE)
    assert ask().json()["is_valid"] is True
    assert counts(control) == {"calls": 2, "distinct_keys": 1, "paid_calls": 1}


@pytest.mark.parametrize(
    ("kind", "options", "failure"),
    [
        ("slow", {"seconds": 3}, httpx.ReadTimeout),
        ("truncated", {}, httpx.RemoteProtocolError),
        ("drop_after", {}, (httpx.RemoteProtocolError, httpx.ReadError)),
    ],
)
def test_an_answer_lost_on_its_way_was_processed_and_paid(
    ask: Any, control: Control, kind: str, options: dict[str, Any], failure: Any
) -> None:
    control.fault(SERVICE, kind, options)
    with pytest.raises(failure):
        ask(timeout=0.5)
    assert counts(control) == {"calls": 1, "distinct_keys": 1, "paid_calls": 1}


def test_a_black_hole_answers_nothing_and_bills_nothing(ask: Any, control: Control) -> None:
    control.fault(SERVICE, "black_hole")
    with pytest.raises(httpx.ReadTimeout):
        ask(timeout=0.3)
    control.fault(SERVICE, "black_hole", {"seconds": 0.2})
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        ask()
    assert counts(control) == {"calls": 2, "distinct_keys": 0, "paid_calls": 0}


def test_a_slow_answer_arrives_at_last(ask: Any, control: Control) -> None:
    control.fault(SERVICE, "slow", {"seconds": 0.4})
    started = time.monotonic()
    assert ask().status_code == 200
    assert time.monotonic() - started >= 0.4


def test_a_trickle_defeats_a_timeout_per_read(ask: Any, control: Control) -> None:
    control.fault(SERVICE, "trickle", {"seconds": 2.5})
    started = time.monotonic()
    assert ask(timeout=1.5).json()["is_valid"] is True
    assert time.monotonic() - started >= 2.4


def test_a_truncated_answer_promises_more_than_it_holds(ask: Any, vendor: dict[str, str], control: Control) -> None:
    control.fault(SERVICE, "truncated")
    place = urlsplit(vendor["TRESTLE_URL"])
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=5)
    path = f"{place.path}/3.0/phone_intel?phone=%2B12125550123"
    connection.request("GET", path, headers={"x-api-key": vendor["TRESTLE_API_KEY"]})
    reply = connection.getresponse()
    promised = int(reply.headers["content-length"])
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)) as cut:
        reply.read()
    if isinstance(cut.value, http.client.IncompleteRead):
        assert 0 < len(cut.value.partial) < promised
    connection.close()


def test_a_dropped_connection_has_no_answer_at_all(vendor: dict[str, str], control: Control) -> None:
    control.fault(SERVICE, "drop_after")
    place = urlsplit(vendor["TRESTLE_URL"])
    with socket.create_connection((place.hostname, place.port), timeout=5) as raw:
        request = f"GET {place.path}/3.0/phone_intel?phone=2125550123 HTTP/1.1\r\nHost: x\r\nx-api-key: {{}}\r\n\r\n"
        raw.sendall(request.format(vendor["TRESTLE_API_KEY"]).encode())
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(1000) == b""
    assert counts(control)["paid_calls"] == 1


def test_a_huge_answer_is_still_json(ask: Any, control: Control) -> None:
    control.fault(SERVICE, "huge", {"bytes": 5_000_000})
    answer = ask()
    assert len(answer.content) >= 5_000_000
    assert answer.json()["is_valid"] is True


def test_retry_after_is_seconds_a_date_or_absent(ask: Any, control: Control) -> None:
    control.fault(SERVICE, "rate_limited")
    assert "retry-after" not in ask().headers
    control.fault(SERVICE, "rate_limited", {"retry_after": 7})
    assert ask().headers["retry-after"] == "7"
    control.fault(SERVICE, "rate_limited", {"retry_after": 60, "retry_after_form": "date"})
    wait = parsedate_to_datetime(ask().headers["retry-after"]).timestamp() - time.time()
    assert 50 < wait < 61


def test_count_every_match_and_for_seconds_say_when_a_fault_acts(ask: Any, control: Control) -> None:
    control.fault(SERVICE, "server_error", {"count": 2})
    assert [ask().status_code for _ in range(4)] == [500, 500, 200, 200]
    control.clear_fault(SERVICE)
    control.fault(SERVICE, "server_error", {"every": 3})
    assert [ask().status_code for _ in range(6)] == [200, 200, 500, 200, 200, 500]
    control.clear_fault(SERVICE)
    control.fault(SERVICE, "server_error", {"match": "12125550124"})
    assert [ask(phone).status_code for phone in ("+12125550123", "+12125550124")] == [200, 500]
    control.clear_fault(SERVICE)
    control.fault(SERVICE, "server_error", {"for_seconds": 1})
    assert ask().status_code == 500
    time.sleep(1.05)
    assert ask().status_code == 200


def test_faults_of_one_service_leave_the_others_alone(ask: Any, control: Control, vendor: dict[str, str]) -> None:
    control.fault("zerobounce", "server_error")
    assert ask().status_code == 200
    control.fault(SERVICE, "slow", {"seconds": 0.1})
    control.clear_fault("zerobounce")
    started = time.monotonic()
    ask()
    assert time.monotonic() - started >= 0.1


def test_every_service_knows_every_general_fault(sandbox: Any) -> None:
    known = httpx.get(f"{sandbox.url}/control/faults").json()["kinds"]
    assert len(known) == 11
    for kinds in known.values():
        assert set(REFUSALS) | set(DELIVERIES) <= set(kinds)
        assert all(kinds.values())


def test_an_order_for_an_unknown_service_kind_or_guardrail_is_refused(control: Control) -> None:
    for order in (
        lambda: control.fault("nobody", "slow"),
        lambda: control.fault(SERVICE, "explodes"),
        lambda: control.trip(9),
        lambda: control.trip(11),
    ):
        with pytest.raises(UsageError):
            order()


@pytest.mark.parametrize("number", [1, 3, 4, 5, 6, 7, 8])
def test_a_trip_is_taken_back_alone(control: Control, sandbox: Any, number: int) -> None:
    control.fault("twilio_lookup", "slow", {"seconds": 1})
    control.trip(number)
    on = httpx.get(f"{sandbox.url}/control/faults").json()["on"]
    assert [fault["trip"] for fault in on] == [None, number]
    control.clear_trip(number)
    on = httpx.get(f"{sandbox.url}/control/faults").json()["on"]
    assert [fault["kind"] for fault in on] == ["slow"]


def test_options_may_stand_beside_the_kind(sandbox: Any, ask: Any) -> None:
    sandbox.fault(SERVICE, "rate_limited", retry_after=3)
    assert ask().headers["retry-after"] == "3"


def test_a_repeated_question_is_paid_again_and_its_key_counted_once(ask: Any, control: Control) -> None:
    for phone in ("+12125550123", "+12125550123", "+12125550124"):
        ask(phone)
    assert counts(control) == {"calls": 3, "distinct_keys": 2, "paid_calls": 3}
    assert control.keys(SERVICE, more_than=1) == [{"key": "12125550123", "times": 2, "paid_times": 2}]


def test_the_ledger_is_read_page_by_page(ask: Any, sandbox: Any, control: Control) -> None:
    for index in range(5):
        ask(f"+1212555{index:04d}")
    page = httpx.get(f"{sandbox.url}/control/ledger/{SERVICE}", params={"limit": 2}).json()
    assert len(page["calls"]) == 2
    rest = httpx.get(f"{sandbox.url}/control/ledger/{SERVICE}", params={"after": page["next"]}).json()
    assert (len(rest["calls"]), rest["next"]) == (3, None)
    assert [call["key"] for call in control.calls(SERVICE)] == [f"1212555{index:04d}" for index in range(5)]


def test_a_reset_forgets_everything(ask: Any, control: Control) -> None:
    control.fault(SERVICE, "server_error")
    ask()
    control.reset()
    assert counts(control) == {"calls": 0, "distinct_keys": 0, "paid_calls": 0}
    assert ask().status_code == 200
