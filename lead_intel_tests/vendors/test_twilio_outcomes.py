"""Twilio Lookup: every answer that is documented, in both places where its codes may stand, and what it means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lead_intel.calls.ports import Outcome, Reply
from lead_intel.contract import LINE_TYPES
from lead_intel.policy import LookupPackage
from lead_intel.settings import Settings
from lead_intel.vendors.twilio_lookup import TwilioLookup

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
VENDOR = TwilioLookup(SETTINGS)
ASK = VENDOR.ask_about(PHONE)
LINE = {"error_code": None, "mobile_country_code": "310", "mobile_network_code": "026", "carrier_name": "T-Mobile"}
VALIDATION_ERRORS = (
    "TOO_SHORT", "TOO_LONG", "INVALID_BUT_POSSIBLE", "INVALID_COUNTRY_CODE", "INVALID_LENGTH", "NOT_A_NUMBER",
)  # fmt: skip
# code -> outcome and whether the answer about the row (if there is one) is kept
CODES = {
    60600: Outcome.OK,
    60601: Outcome.OK,
    60606: Outcome.AUTH,
    60607: Outcome.OK,
    60608: Outcome.VENDOR_ERROR,
    60610: Outcome.OK,
    60611: Outcome.QUOTA,
    60614: Outcome.OK,
    60616: Outcome.RATE_LIMITED,
    60619: Outcome.OK,
}


def body(package: str = "line_type_intelligence", answer: Any = None, **changes: Any) -> dict[str, Any]:
    valid = {"valid": True, "phone_number": f"+{PHONE}", "country_code": "US", "validation_errors": None}
    return {**valid, package: answer if answer is not None else {**LINE, "type": "mobile"}, **changes}


def judged(status: int, content: Any, vendor: TwilioLookup = VENDOR) -> Any:
    return vendor.classify(ASK, Reply(status, {}, content))


def test_policy_and_contract_know_the_same_line_types() -> None:
    LookupPackage(price_usd=0, cache_days=1, line_types=LINE_TYPES)


@pytest.mark.parametrize("line_type", LINE_TYPES)
def test_each_line_type_is_an_answer(line_type: str) -> None:
    verdict = judged(200, body(answer={**LINE, "type": line_type}))
    assert (verdict.outcome, verdict.billed, verdict.fields["line_type"]) == (Outcome.OK, "yes", line_type)


@pytest.mark.parametrize("error", VALIDATION_ERRORS)
def test_each_validation_error_is_an_invalid_number_that_costs_nothing(error: str) -> None:
    verdict = judged(200, body(valid=False, validation_errors=[error], line_type_intelligence=None))
    assert (verdict.outcome, verdict.billed) == (Outcome.INVALID, "no")
    assert (verdict.fields["valid"], verdict.fields["validation_errors"]) == (False, [error])


@pytest.mark.parametrize(("code", "outcome"), CODES.items())
@pytest.mark.parametrize("package", ["line_type_intelligence", "caller_name", "line_status"])
def test_a_code_means_the_same_inside_an_answer_as_in_a_refusal(package: str, code: int, outcome: Outcome) -> None:
    vendor = TwilioLookup(SETTINGS, package)
    inside = judged(200, body(package, {"error_code": code}), vendor)
    envelope = judged(400, {"code": code, "message": "no", "more_info": "x", "status": 400}, vendor)
    problem = judged(403, {"type": f"https://www.twilio.com/docs/api/errors/{code}", "title": "No"}, vendor)
    for verdict in (inside, envelope, problem):
        assert (verdict.outcome, verdict.billed) == (outcome, "no")
    if outcome is Outcome.OK:
        assert inside.fields["error_code"] == envelope.fields["error_code"] == code


@pytest.mark.parametrize("billed", ["no", "unknown", "yes"])
def test_whether_a_package_error_is_paid_is_policy(billed: Any) -> None:
    vendor = TwilioLookup(SETTINGS, "caller_name", billed)
    assert judged(200, body("caller_name", {"error_code": 60600}), vendor).billed == billed
    # What was refused as a whole was not worked on, whatever policy says.
    assert judged(400, {"code": 60600}, vendor).billed == "no"
    assert judged(200, body("caller_name", {"error_code": 60606}), vendor).billed == "no"


@pytest.mark.parametrize(
    ("status", "content", "outcome", "code"),
    [
        (401, {"code": 20003}, Outcome.AUTH, None),
        (401, {"code": 70051}, Outcome.AUTH, None),
        (403, {"code": 70051}, Outcome.AUTH, None),
        (403, {"code": 20403}, Outcome.AUTH, None),
        (403, None, Outcome.AUTH, None),
        (404, {"code": 20404}, Outcome.VENDOR_ERROR, 20404),
        (400, {"code": 20001}, Outcome.VENDOR_ERROR, 20001),
        (429, {"code": 20429}, Outcome.RATE_LIMITED, None),
        (429, {"code": 60616}, Outcome.RATE_LIMITED, None),
        (429, None, Outcome.RATE_LIMITED, None),
        (500, {"code": 20500}, Outcome.VENDOR_ERROR, 20500),
        (502, None, Outcome.VENDOR_ERROR, None),
        (404, {"type": "https://www.twilio.com/docs/api/errors/20404"}, Outcome.VENDOR_ERROR, 20404),
        (404, {"type": "about:blank", "status": 404}, Outcome.VENDOR_ERROR, None),
    ],
)  # fmt: skip
def test_refusals(status: int, content: Any, outcome: Outcome, code: int | None) -> None:
    verdict = judged(status, content)
    assert (verdict.outcome, verdict.billed) == (outcome, "no")
    assert verdict.fields.get("error_code") == code or outcome is not Outcome.VENDOR_ERROR


def test_an_answer_about_another_number_is_refused() -> None:
    assert judged(200, body(phone_number="+12125550199")).outcome is Outcome.VENDOR_ERROR


@pytest.mark.parametrize(
    ("package", "answer", "fields"),
    [
        (
            "caller_name",
            {"caller_name": "Sergio Suarez", "caller_type": "CONSUMER", "error_code": None},
            {"caller_name": "Sergio Suarez", "caller_type": "CONSUMER"},
        ),
        (
            "caller_name",
            {"caller_name": None, "caller_type": "PERSON", "error_code": None},
            {"caller_name": "", "caller_type": ""},
        ),
        ("line_status", {"status": "active", "error_code": None}, {"status": "active"}),
        ("line_status", {"status": "asleep", "error_code": None}, {"status": "unknown"}),
    ],
)
def test_a_further_package_has_fields_of_its_own_and_is_paid(
    package: str, answer: dict[str, Any], fields: dict[str, Any]
) -> None:
    verdict = judged(200, body(package, answer), TwilioLookup(SETTINGS, package))
    assert (verdict.outcome, verdict.billed) == (Outcome.OK, "yes")
    assert verdict.fields == {"valid": True, "country_code": "US", "error_code": 0, **fields}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(ANYTHING, st.sampled_from(["line_type_intelligence", "caller_name", "line_status"]), ANYTHING, st.booleans())
def test_no_shape_of_a_package_or_of_validation_errors_breaks_the_classifier(
    answer: Any, package: str, errors: Any, valid: bool
) -> None:
    content = body(package, valid=valid, validation_errors=errors) | {package: answer}
    assert judged(200, content, TwilioLookup(SETTINGS, package)).outcome in set(Outcome)
