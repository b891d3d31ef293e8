"""People Data Labs, ZeroBounce and Trestle: their shapes, their errors, and what they bill."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import httpx
import pytest

from lead_intel.sandbox.client import Control


@pytest.fixture
def pdl(http: httpx.Client, vendor: dict[str, str]) -> Any:
    def ask(**params: str) -> httpx.Response:
        headers = {"X-Api-Key": vendor["PEOPLE_DATA_LABS_API_KEY"]}
        return http.get(f"{vendor['PEOPLE_DATA_LABS_URL']}/v5/person/enrich", params=params, headers=headers)

    return ask


@pytest.fixture
def zerobounce(http: httpx.Client, vendor: dict[str, str]) -> Any:
    def ask(email: str, **params: str) -> httpx.Response:
        given = {"api_key": vendor["ZEROBOUNCE_API_KEY"], "email": email, "ip_address": "", **params}
        return http.get(f"{vendor['ZEROBOUNCE_URL']}/v2/validate", params=given)

    return ask


@pytest.fixture
def trestle(http: httpx.Client, vendor: dict[str, str]) -> Any:
    def ask(phone: str, **params: str) -> httpx.Response:
        headers = {"x-api-key": vendor["TRESTLE_API_KEY"]}
        return http.get(f"{vendor['TRESTLE_URL']}/3.0/phone_intel", params={"phone": phone, **params}, headers=headers)

    return ask


def test_a_person_is_found_or_not_and_only_found_ones_are_billed(pdl: Any, control: Control) -> None:
    statuses = Counter()
    for index in range(200):
        answer = pdl(phone=f"+1212555{index:04d}", email=f"lead{index}@example.com")
        statuses[answer.status_code] += 1
        assert answer.headers["x-call-credits-spent"] == ("1" if answer.status_code == 200 else "0")
        assert set(json.loads(answer.headers["x-ratelimit-limit"])) == {"minute"}
        if answer.status_code == 200:
            assert 1 <= answer.json()["likelihood"] <= 10
            assert answer.json()["data"]["first_name"]
        else:
            assert answer.json() == {"status": 404, "error": answer.json()["error"]}
            assert answer.json()["error"]["type"] == "not_found"
    assert 0.6 < statuses[200] / 200 < 0.85
    counts = control.ledger()["people_data_labs"]
    assert counts == {"calls": 200, "distinct_keys": 200, "paid_calls": statuses[200]}


def test_too_little_about_a_person_is_a_bad_request(pdl: Any) -> None:
    assert pdl(first_name="Ann").json()["error"]["type"] == "invalid_request_error"
    assert pdl(first_name="Ann", last_name="Lee", company="Contoso").status_code in {200, 404}


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("rate_limited", 429, "rate_limit_error"),
        ("quota", 402, "payment_required"),
        ("unauthorized", 401, "authentication_error"),
        ("server_error", 500, "api_error"),
    ],
)
def test_refusals_of_people_data_labs_have_no_retry_after(
    pdl: Any, control: Control, kind: str, status: int, error: str
) -> None:
    control.fault("people_data_labs", kind, {"retry_after": 5})
    answer = pdl(email="a@example.com")
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, error)
    assert "retry-after" not in answer.headers
    assert control.ledger()["people_data_labs"] == {"calls": 1, "distinct_keys": 0, "paid_calls": 0}


def test_addresses_have_statuses_of_every_kind(zerobounce: Any, control: Control) -> None:
    seen = Counter(zerobounce(f"lead{index}@example.com").json()["status"] for index in range(400))
    assert 0.6 < seen["valid"] / 400 < 0.85
    assert set(seen) >= {"valid", "invalid", "catch-all", "unknown", "do_not_mail", "abuse"}
    assert control.ledger()["zerobounce"] == {"calls": 400, "distinct_keys": 400, "paid_calls": 400}


def test_role_addresses_are_named_as_such(zerobounce: Any) -> None:
    assert zerobounce("info@example.com").json()["sub_status"] == "role_based"
    assert zerobounce("nonsense").json()["sub_status"] == "failed_syntax_check"


def test_errors_of_zerobounce_arrive_with_200(
    zerobounce: Any, control: Control, http: httpx.Client, vendor: dict[str, str]
) -> None:
    for answer in (zerobounce("a@example.com", api_key="wrong"), zerobounce(""), zerobounce("a@b.co", timeout="1")):
        assert answer.status_code == 200
        assert set(answer.json()) == {"error"}
    assert control.ledger()["zerobounce"]["paid_calls"] == 0
    left = http.get(f"{vendor['ZEROBOUNCE_URL']}/v2/getcredits", params={"api_key": "wrong"})
    assert left.json() == {"Credits": "-1"}


def test_a_slow_mailbox_ends_unknown_at_the_calls_own_timeout(zerobounce: Any, control: Control) -> None:
    control.fault("zerobounce", "slow_mailbox", {"seconds": 60})
    started = time.monotonic()
    answer = zerobounce("a@example.com", timeout="3").json()
    assert 2.5 < time.monotonic() - started < 20
    assert (answer["status"], answer["sub_status"]) == ("unknown", "timeout_exceeded")


def test_phone_intelligence_agrees_with_the_lookup(trestle: Any, http: httpx.Client, vendor: dict[str, str]) -> None:
    spelled = {
        "mobile": {"Mobile"}, "landline": {"Landline"}, "fixedVoip": {"FixedVOIP"}, "nonFixedVoip": {"NonFixedVOIP"},
        "tollFree": {"TollFree", "Tollfree"}, "premium": {"Premium"}, "voicemail": {"Voicemail"},
        "unknown": {"Unknown"},
    }  # fmt: skip
    for index in range(60):
        number = f"+1303555{index:04d}"
        lookup = http.get(
            f"{vendor['TWILIO_LOOKUP_URL']}/v2/PhoneNumbers/{number}",
            params={"Fields": "line_type_intelligence"},
            auth=(vendor["TWILIO_ACCOUNT_SID"], vendor["TWILIO_AUTH_TOKEN"]),
        ).json()["line_type_intelligence"]
        answer = trestle(number, add_ons="litigator_checks").json()
        assert answer["phone_number"] == number
        assert answer["line_type"] in spelled.get(lookup["type"], {"Other"})
        assert answer["carrier"] == lookup["carrier_name"]
        assert 0 <= answer["activity_score"] <= 100
        assert isinstance(answer["add_ons"]["litigator_checks"]["phone.is_litigator_risk"], bool)


def test_both_spellings_of_toll_free_occur(trestle: Any) -> None:
    spellings = {trestle(f"+1800555{index:04d}").json()["line_type"] for index in range(20)}
    assert spellings == {"TollFree", "Tollfree"}


def test_known_litigators_exist_at_both_vendors(trestle: Any, http: httpx.Client, vendor: dict[str, str]) -> None:
    rows = http.post(
        f"{vendor['DNCSCRUB_URL']}/app/main/rpc/scrub",
        data={"phoneList": ",".join(f"212{2000000 + index}" for index in range(2000))},
        headers={"loginId": vendor["DNCSCRUB_LOGIN_ID"]},
    ).json()
    litigators = [row["Phone"] for row in rows if row["Reason"] == "Litigator"]
    assert litigators
    risk = trestle(f"+1{litigators[0]}", add_ons="litigator_checks").json()["add_ons"]["litigator_checks"]
    assert risk == {"phone.is_litigator_risk": True}


def test_a_partial_answer_is_a_200_with_an_error(trestle: Any, control: Control) -> None:
    control.fault("trestle", "partial")
    answer = trestle("+12125550123")
    assert answer.status_code == 200
    assert answer.json()["error"]["message"]
    assert answer.json()["activity_score"] is None
    assert control.ledger()["trestle"]["paid_calls"] == 1


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("rate_limited", 429, "RATE_LIMIT_EXCEEDED"),
        ("quota", 429, "QUOTA_EXCEEDED"),
        ("unauthorized", 403, "INVALID_API_KEY"),
        ("forbidden", 403, "FORBIDDEN"),
    ],
)
def test_refusals_of_trestle_are_told_apart_by_their_code(
    trestle: Any, control: Control, kind: str, status: int, code: str
) -> None:
    control.fault("trestle", kind)
    answer = trestle("+12125550123")
    assert (answer.status_code, answer.json()["errorCode"]) == (status, code)


def test_a_missing_key_is_a_code_of_its_own(http: httpx.Client, vendor: dict[str, str]) -> None:
    answer = http.get(f"{vendor['TRESTLE_URL']}/3.0/phone_intel", params={"phone": "+12125550123"})
    assert answer.json()["errorCode"] == "MISSING_API_KEY"


def test_an_invalid_number_is_no_error_at_trestle(trestle: Any) -> None:
    answer = trestle("+1212555")
    assert (answer.status_code, answer.json()["is_valid"], answer.json()["warnings"]) == (200, False, ["Invalid Input"])
