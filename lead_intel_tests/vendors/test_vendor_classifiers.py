"""Every wire answer of the paid vendors and what it means, table by table."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lead_intel.calls.ports import Ask, Outcome, Reply, Vendor
from lead_intel.contract import LINE_TYPES
from lead_intel.settings import Settings
from lead_intel.vendors.dncscrub import DncScrub
from lead_intel.vendors.people_data_labs import PeopleDataLabs, Person
from lead_intel.vendors.trestle import Trestle
from lead_intel.vendors.twilio_lookup import TwilioLookup
from lead_intel.vendors.zerobounce import ZeroBounce

PHONE = 12125550123
SETTINGS = Settings(
    lead_intel_identity_key="k",
    database_url="postgresql://nobody@localhost/none",
    supabase_url="http://supabase.test",
    supabase_service_key="k",
    twilio_account_sid="AC0",
    twilio_auth_token="t",
    dncscrub_login_id="login",
    people_data_labs_api_key="p",
    zerobounce_api_key="z",
    trestle_api_key="tr",
    segment_write_key="w",
)  # type: ignore[arg-type]

TWILIO, DNC, PDL = TwilioLookup(SETTINGS), DncScrub(SETTINGS), PeopleDataLabs(SETTINGS)
ZERO, TRESTLE = ZeroBounce(SETTINGS), Trestle(SETTINGS)

ASKS: dict[str, tuple[Vendor, Ask]] = {
    "twilio": (TWILIO, TWILIO.ask_about(PHONE)),
    "dncscrub": (DNC, DNC.ask_about([PHONE, 12125550124], date(2026, 11, 24))),
    "pdl": (PDL, PDL.ask_about("lead", Person(PHONE, "Ann@Example.com"))),
    "zerobounce": (ZERO, ZERO.ask_about("Ann@Example.com")),
    "trestle": (TRESTLE, TRESTLE.ask_about(PHONE)),
}


def twilio_body(package: Any = None, **changes: Any) -> dict[str, Any]:
    lti = {"error_code": None, "mobile_country_code": "310", "mobile_network_code": "026", "carrier_name": "T-Mobile"}
    return {
        "valid": True,
        "phone_number": f"+{PHONE}",
        "country_code": "US",
        "validation_errors": None,
        "line_type_intelligence": {**lti, "type": "mobile", **(package or {})},
    } | changes


def person(**changes: Any) -> dict[str, Any]:
    return {
        "status": 200,
        "likelihood": 8,
        "data": {
            "job_title": "senior sales",
            "job_title_levels": ["senior"],
            "job_company_name": "contoso",
            "phone_numbers": [f"+{PHONE}"],
            "personal_emails": ["ann@example.com"],
        }
        | changes,
    }


def intel(**changes: Any) -> dict[str, Any]:
    return {
        "phone_number": f"+{PHONE}",
        "is_valid": True,
        "activity_score": 82,
        "line_type": "Tollfree",
        "add_ons": {"litigator_checks": {"phone.is_litigator_risk": False}},
        "error": None,
    } | changes


def row(phone: str, code: Any = "C", **more: Any) -> dict[str, Any]:
    return {"Phone": phone, "ResultCode": code, "Reason": "", "RegionAbbrev": "NY", "LineType": "Wireless"} | more


CASES: list[tuple[str, int, Any, Outcome, str]] = [
    ("twilio", 200, twilio_body(), Outcome.OK, "yes"),
    ("twilio", 200, twilio_body(valid=False, line_type_intelligence=None), Outcome.INVALID, "no"),
    *[
        ("twilio", 200, twilio_body({"error_code": code, "type": None, "carrier_name": None}), outcome, billed)
        for code, outcome, billed in [
            (60600, Outcome.OK, "no"),
            (60601, Outcome.OK, "no"),
            (60607, Outcome.OK, "no"),
            (60610, Outcome.OK, "no"),
            (60608, Outcome.VENDOR_ERROR, "no"),
            (60606, Outcome.AUTH, "no"),
            (60611, Outcome.QUOTA, "no"),
            (60616, Outcome.RATE_LIMITED, "no"),
            (69999, Outcome.VENDOR_ERROR, "unknown"),
        ]
    ],
    ("twilio", 200, twilio_body(phone_number="+12125550199"), Outcome.VENDOR_ERROR, "unknown"),
    ("twilio", 200, twilio_body(line_type_intelligence=None), Outcome.VENDOR_ERROR, "unknown"),
    ("twilio", 200, twilio_body(valid="true"), Outcome.VENDOR_ERROR, "unknown"),
    ("twilio", 400, {"code": 60600}, Outcome.OK, "no"),
    ("twilio", 403, {"code": 60606}, Outcome.AUTH, "no"),
    ("twilio", 403, {"code": 60611}, Outcome.QUOTA, "no"),
    ("twilio", 401, {"code": 20003}, Outcome.AUTH, "no"),
    ("twilio", 403, {"code": 70051}, Outcome.AUTH, "no"),
    ("twilio", 403, None, Outcome.AUTH, "no"),
    ("twilio", 404, {"code": 20404}, Outcome.VENDOR_ERROR, "no"),
    ("twilio", 429, {"code": 20429}, Outcome.RATE_LIMITED, "no"),
    ("twilio", 429, None, Outcome.RATE_LIMITED, "no"),
    ("twilio", 502, None, Outcome.VENDOR_ERROR, "no"),
    ("twilio", 302, None, Outcome.VENDOR_ERROR, "no"),
    ("dncscrub", 200, [row("2125550123"), row("212-555-0124", "D")], Outcome.OK, "yes"),
    ("dncscrub", 200, [row("2125550123")], Outcome.PARTIAL, "yes"),
    ("dncscrub", 200, [row("2125550123"), row("2125550124", None)], Outcome.PARTIAL, "yes"),
    ("dncscrub", 200, [row("2125550123"), row("2125550123", "D"), row("2125550124")], Outcome.PARTIAL, "yes"),
    ("dncscrub", 200, [row("2125550199")], Outcome.VENDOR_ERROR, "unknown"),
    ("dncscrub", 200, {"Message": "x"}, Outcome.VENDOR_ERROR, "unknown"),
    ("dncscrub", 400, {"Message": "invalid"}, Outcome.VENDOR_ERROR, "no"),
    ("dncscrub", 401, {"Message": "Invalid loginId"}, Outcome.AUTH, "no"),
    ("pdl", 200, person(), Outcome.OK, "yes"),
    ("pdl", 404, {"status": 404, "error": {"type": "not_found"}}, Outcome.NO_MATCH, "no"),
    ("pdl", 404, None, Outcome.VENDOR_ERROR, "no"),
    ("pdl", 402, {"error": {"type": "payment_required"}}, Outcome.QUOTA, "no"),
    ("pdl", 401, {}, Outcome.AUTH, "no"),
    ("pdl", 429, {}, Outcome.RATE_LIMITED, "no"),
    ("pdl", 200, person(phone_numbers=["+12125550199"], personal_emails=[]), Outcome.VENDOR_ERROR, "unknown"),
    ("pdl", 200, person(phone_numbers=[], personal_emails=[], emails=True), Outcome.OK, "yes"),
    ("pdl", 200, {"status": 200, "likelihood": 99, "data": {}}, Outcome.VENDOR_ERROR, "unknown"),
    ("pdl", 200, [], Outcome.VENDOR_ERROR, "unknown"),
    ("zerobounce", 200, {"address": "ann@example.com", "status": "valid"}, Outcome.OK, "yes"),
    ("zerobounce", 200, {"address": "ann@example.com", "status": "unknown"}, Outcome.NO_MATCH, "yes"),
    ("zerobounce", 200, {"address": "ann@example.com", "status": "brand_new"}, Outcome.NO_MATCH, "yes"),
    ("zerobounce", 200, {"address": "bob@example.com", "status": "valid"}, Outcome.VENDOR_ERROR, "unknown"),
    ("zerobounce", 200, {"error": "Invalid API key or your account ran out of credits"}, Outcome.AUTH, "no"),
    ("zerobounce", 200, {"error": "No credits"}, Outcome.QUOTA, "no"),
    ("zerobounce", 200, {"error": "Too many requests"}, Outcome.RATE_LIMITED, "no"),
    ("zerobounce", 200, {"error": "Something"}, Outcome.VENDOR_ERROR, "unknown"),
    ("zerobounce", 200, {}, Outcome.VENDOR_ERROR, "unknown"),
    ("trestle", 200, intel(), Outcome.OK, "yes"),
    ("trestle", 200, intel(is_valid=None, activity_score=50), Outcome.NO_MATCH, "yes"),
    ("trestle", 200, intel(is_valid=False, activity_score=None), Outcome.INVALID, "yes"),
    ("trestle", 200, intel(activity_score=None, error={"name": "PartialError"}), Outcome.PARTIAL, "yes"),
    ("trestle", 200, intel(add_ons=None), Outcome.PARTIAL, "yes"),
    ("trestle", 200, intel(phone_number="+12125550199"), Outcome.VENDOR_ERROR, "unknown"),
    ("trestle", 403, {"errorCode": "MISSING_API_KEY"}, Outcome.AUTH, "no"),
    ("trestle", 429, {"errorCode": "RATE_LIMIT_EXCEEDED"}, Outcome.RATE_LIMITED, "no"),
    ("trestle", 429, {"errorCode": "QUOTA_EXCEEDED"}, Outcome.QUOTA, "no"),
    ("trestle", 500, {"error": "x"}, Outcome.VENDOR_ERROR, "no"),
]


@pytest.mark.parametrize(("who", "status", "body", "outcome", "billed"), CASES)
def test_an_answer_means_what_the_fact_sheet_says(
    who: str, status: int, body: Any, outcome: Outcome, billed: str
) -> None:
    vendor, ask = ASKS[who]
    verdict = vendor.classify(ask, Reply(status, {}, body))
    assert (verdict.outcome, verdict.billed) == (outcome, billed)


@pytest.mark.parametrize("who", ASKS)
@pytest.mark.parametrize("body", [None, [], {}, "text", 7, True, [None], [[]], {"error": None}, {"data": [1]}])
def test_garbage_with_status_200_is_never_an_answer(who: str, body: Any) -> None:
    vendor, ask = ASKS[who]
    assert not vendor.classify(ask, Reply(200, {}, body)).outcome.is_answer


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["valid", "phone_number", "line_type_intelligence", "error_code", "type", "data", "likelihood", "status",
         "address", "error", "Phone", "ResultCode", "is_valid", "activity_score", "add_ons", "emails", "code"]
    ), inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@given(st.sampled_from(sorted(ASKS)), st.sampled_from([200, 400, 403, 404, 429, 500]), JSON)
def test_no_answer_whatever_it_holds_breaks_a_classifier(who: str, status: int, body: Any) -> None:
    vendor, ask = ASKS[who]
    assert vendor.classify(ask, Reply(status, {}, body)).outcome in Outcome


@pytest.mark.parametrize("line_type", LINE_TYPES)
def test_all_twelve_line_types_pass_unchanged(line_type: str) -> None:
    vendor, ask = ASKS["twilio"]
    verdict = vendor.classify(ask, Reply(200, {}, twilio_body({"type": line_type})))
    assert verdict.fields["line_type"] == line_type


def test_a_line_type_that_is_no_line_type_is_unknown_and_texts_are_capped() -> None:
    vendor, ask = ASKS["twilio"]
    body = twilio_body({"type": "satellite", "carrier_name": "x\x00\n\ud800" * 500})
    fields = vendor.classify(ask, Reply(200, {}, body)).fields
    assert fields["line_type"] == "unknown"
    assert len(fields["carrier_name"]) <= 200
    assert not {"\x00", "\n", "\ud800"} & set(fields["carrier_name"])
    assert fields["mobile_network_code"] == "026"


def test_fields_are_in_our_own_words() -> None:
    assert PDL.classify(ASKS["pdl"][1], Reply(200, {}, person())).fields == {
        "job_title": "senior sales",
        "company": "contoso",
        "seniority": "senior",
        "match_likelihood": 8.0,
    }
    assert TRESTLE.classify(ASKS["trestle"][1], Reply(200, {}, intel())).fields == {
        "activity_score": 82.0,
        "litigator_risk": False,
        "line_type": "tollFree",
    }
    rows = DNC.classify(ASKS["dncscrub"][1], Reply(200, {}, [row("2125550123", "D", Reason="Litigator")])).fields[
        "rows"
    ]
    assert rows == {
        "12125550123": {
            "result_code": "D",
            "reason": "Litigator",
            "region": "NY",
            "line_type": "Wireless",
        }
    }


def test_no_personal_data_stands_in_a_url_where_the_vendor_allows_it() -> None:
    for who in ("dncscrub", "pdl", "zerobounce"):
        vendor, ask = ASKS[who]
        request = vendor.request(ask)
        assert "2125550123" not in request.url
        assert not request.params


def test_the_plus_of_a_number_is_percent_encoded_in_the_path() -> None:
    vendor, ask = ASKS["twilio"]
    assert vendor.request(ask).url.endswith("/v2/PhoneNumbers/%2B12125550123")


def test_a_batch_has_one_subject_whatever_its_order() -> None:
    day = date(2026, 11, 24)
    assert DNC.ask_about([2, 1], day) == DNC.ask_about([1, 2, 2], day)
    assert DNC.ask_about([1, 2], day).units == 2
    assert DNC.ask_about([1], day).subject != DNC.ask_about([1], date(2026, 11, 25)).subject
