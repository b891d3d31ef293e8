"""What every paid vendor must keep, whoever it is: one table of examples a vendor, the same tests for all.

A new vendor is entered in EXAMPLES; what it lacks is named by the test that fails.
"""

from __future__ import annotations

import asyncio
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as limited
from hypothesis import strategies as st
from pydantic import SecretStr

from lead_intel.calls.ports import Ask, Outcome, Reply, Vendor
from lead_intel.calls.transport import Unanswered, transport
from lead_intel.contract import ENRICHMENT_FIELDS
from lead_intel.enrichment.questions import PEOPLE_COLUMNS, questionnaire
from lead_intel.errors import SetupError
from lead_intel.policy import Policy
from lead_intel.settings import REPOSITORY, Settings
from lead_intel.vendors.dncscrub import DncScrub
from lead_intel.vendors.enriching import ENRICHMENT_VENDORS
from lead_intel.vendors.never_bounce import NeverBounce
from lead_intel.vendors.people_data_labs import PeopleDataLabs, Person
from lead_intel.vendors.trestle import Trestle
from lead_intel.vendors.twilio_lookup import TwilioLookup
from lead_intel.vendors.zerobounce import ZeroBounce

PHONE = 12125550123
EMAIL = "Canary.Person@Example.com"
SETTINGS = Settings(
    lead_intel_identity_key="k",
    database_url="postgresql://nobody@localhost/none",
    supabase_url="http://supabase.test",
    supabase_service_key="k",
    twilio_account_sid="AC0",
    twilio_auth_token="canary-secret",
    twilio_lookup_url="https://twilio-lookup.test:8443/x",
    dncscrub_login_id="canary-secret",
    dncscrub_url="https://dncscrub.test:8443/x",
    people_data_labs_api_key="canary-secret",
    people_data_labs_url="https://people-data-labs.test:8443/x",
    zerobounce_api_key="canary-secret",
    zerobounce_url="https://zerobounce.test:8443/x",
    never_bounce_api_key="canary-secret",
    never_bounce_url="https://never-bounce.test:8443/x",
    trestle_api_key="canary-secret",
    trestle_url="https://trestle.test:8443/x",
    segment_write_key="w",
)  # type: ignore[arg-type]
PERSONAL = (str(PHONE), str(PHONE)[1:], "canary.person", "canary-secret")

OUTCOMES = ("ok", "no_match", "partial", "invalid", "auth", "quota", "rate_limited", "error_at_200", "another_subject")
"""What each vendor gives an example of, or says with None that it documents no such answer."""


@dataclass(frozen=True)
class Examples:
    """A vendor, a question to it, and its documented answers: label -> (status, body, outcome, billed)."""

    vendor: Vendor
    ask: Ask
    answers: Mapping[str, tuple[int, Any, Outcome, str] | None]


def _twilio(valid: Any = True, package: Any = None, **changes: Any) -> dict[str, Any]:
    line = {"error_code": None, "type": "mobile", "carrier_name": "T-Mobile"} | (package or {})
    lookup = {"valid": valid, "phone_number": f"+{PHONE}", "country_code": "US", "validation_errors": None}
    return lookup | {"line_type_intelligence": line} | changes


def _pdl(**changes: Any) -> dict[str, Any]:
    data = {"job_title": "cook", "job_title_levels": ["senior"], "job_company_name": "contoso"}
    return {"likelihood": 8, "data": data | {"personal_emails": [EMAIL.lower()], "phone_numbers": []} | changes}


def _never(result: str, address: str = EMAIL) -> dict[str, Any]:
    return {"status": "success", "result": result, "flags": ["has_dns"], "address_info": {"original_email": address}}


def _trestle(**changes: Any) -> dict[str, Any]:
    checks = {"litigator_checks": {"phone.is_litigator_risk": False}}
    answer = {"phone_number": f"+{PHONE}", "is_valid": True, "activity_score": 82, "line_type": "Mobile"}
    return answer | {"add_ons": checks, "error": None} | changes


def _scrubbed(phone: str) -> dict[str, Any]:
    return {"Phone": phone, "ResultCode": "C", "Reason": "", "RegionAbbrev": "NY", "LineType": "Wireless"}


OK, NO_MATCH, PARTIAL, INVALID = Outcome.OK, Outcome.NO_MATCH, Outcome.PARTIAL, Outcome.INVALID
AUTH, QUOTA, FAST, FAILED = Outcome.AUTH, Outcome.QUOTA, Outcome.RATE_LIMITED, Outcome.VENDOR_ERROR
TWILIO, DNC, PDL = TwilioLookup(SETTINGS), DncScrub(SETTINGS), PeopleDataLabs(SETTINGS)
ZERO, NEVER, TRESTLE = ZeroBounce(SETTINGS), NeverBounce(SETTINGS), Trestle(SETTINGS)

EXAMPLES: dict[str, Examples] = {
    "twilio_lookup": Examples(
        TWILIO,
        TWILIO.ask_about(PHONE),
        {
            "ok": (200, _twilio(), OK, "yes"),
            "no_match": None,
            "partial": None,
            "invalid": (200, _twilio(valid=False, line_type_intelligence=None), INVALID, "no"),
            "auth": (401, {"code": 20003}, AUTH, "no"),
            "quota": (403, {"code": 60611}, QUOTA, "no"),
            "rate_limited": (429, {"code": 20429}, FAST, "no"),
            "error_at_200": (200, _twilio(package={"error_code": 60608, "type": None}), FAILED, "no"),
            "another_subject": (200, _twilio(phone_number="+12125550199"), FAILED, "unknown"),
        },
    ),
    "dncscrub": Examples(
        DNC,
        DNC.ask_about([PHONE, PHONE + 1], date(2026, 11, 24)),
        {
            "ok": (200, [_scrubbed("2125550123"), _scrubbed("2125550124")], OK, "yes"),
            "no_match": None,
            "partial": (200, [_scrubbed("2125550123")], PARTIAL, "yes"),
            "invalid": None,
            "auth": (401, {"Message": "Invalid loginId"}, AUTH, "no"),
            "quota": (402, {}, QUOTA, "no"),
            "rate_limited": (429, {}, FAST, "no"),
            "error_at_200": (200, {"Message": "x"}, FAILED, "unknown"),
            "another_subject": (200, [_scrubbed("2125550199")], FAILED, "unknown"),
        },
    ),
    "people_data_labs": Examples(
        PDL,
        PDL.ask_about("lead", Person(PHONE, EMAIL)),
        {
            "ok": (200, _pdl(), OK, "yes"),
            "no_match": (404, {"error": {"type": "not_found"}}, NO_MATCH, "no"),
            "partial": None,
            "invalid": None,
            "auth": (401, {"error": {"type": "authentication_error"}}, AUTH, "no"),
            "quota": (402, {"error": {"type": "payment_required"}}, QUOTA, "no"),
            "rate_limited": (429, {"error": {"type": "rate_limit_error"}}, FAST, "no"),
            "error_at_200": None,
            "another_subject": (200, _pdl(personal_emails=["bob@example.com"]), FAILED, "unknown"),
        },
    ),
    "zerobounce": Examples(
        ZERO,
        ZERO.ask_about(EMAIL),
        {
            "ok": (200, {"address": EMAIL, "status": "valid"}, OK, "yes"),
            "no_match": (200, {"address": EMAIL, "status": "unknown"}, NO_MATCH, "yes"),
            "partial": None,
            "invalid": None,
            "auth": (200, {"error": "Invalid API key or your account ran out of credits"}, AUTH, "no"),
            "quota": (200, {"error": "No credits"}, QUOTA, "no"),
            "rate_limited": (429, {"error": "Too many requests"}, FAST, "no"),
            "error_at_200": (200, {"error": f"Something about {EMAIL}"}, FAILED, "unknown"),
            "another_subject": (200, {"address": "bob@example.com", "status": "valid"}, FAILED, "unknown"),
        },
    ),
    "never_bounce": Examples(
        NEVER,
        NEVER.ask_about(EMAIL),
        {
            "ok": (200, _never("valid"), OK, "yes"),
            "no_match": (200, _never("unknown"), NO_MATCH, "yes"),
            "partial": None,
            "invalid": None,
            "auth": (200, {"status": "auth_failure", "message": "Invalid API key"}, AUTH, "no"),
            "quota": (200, {"status": "general_failure", "message": "Insufficient credit balance"}, QUOTA, "no"),
            "rate_limited": (200, {"status": "throttle_triggered", "message": ""}, FAST, "no"),
            "error_at_200": (200, {"status": "general_failure", "message": EMAIL}, FAILED, "unknown"),
            "another_subject": (200, _never("valid", "bob@example.com"), FAILED, "unknown"),
        },
    ),
    "trestle": Examples(
        TRESTLE,
        TRESTLE.ask_about(PHONE),
        {
            "ok": (200, _trestle(), OK, "yes"),
            "no_match": (200, _trestle(is_valid=None, activity_score=50), NO_MATCH, "yes"),
            "partial": (200, _trestle(activity_score=None, error={"name": "PartialError"}), PARTIAL, "yes"),
            "invalid": (200, _trestle(is_valid=False, activity_score=None), INVALID, "yes"),
            "auth": (403, {"errorCode": "INVALID_API_KEY"}, AUTH, "no"),
            "quota": (429, {"errorCode": "QUOTA_EXCEEDED"}, QUOTA, "no"),
            "rate_limited": (429, {"errorCode": "RATE_LIMIT_EXCEEDED"}, FAST, "no"),
            "error_at_200": (200, {"phone_number": f"+{PHONE}", "error": {"name": "x"}}, FAILED, "yes"),
            "another_subject": (200, _trestle(phone_number="+12125550199"), FAILED, "unknown"),
        },
    ),
}
every_vendor = pytest.mark.parametrize("name", sorted(EXAMPLES))
every_enrichment_vendor = pytest.mark.parametrize("name", sorted(ENRICHMENT_VENDORS))


def judged(name: str, status: int, body: Any) -> Any:
    examples = EXAMPLES[name]
    return examples.vendor.classify(examples.ask, Reply(status, {}, body))


def test_every_paid_vendor_has_examples_and_an_entry_in_policy_with_its_terms(policy: Policy) -> None:
    paid = set(policy.vendors.vendors)
    assert set(ENRICHMENT_VENDORS) <= paid, "a vendor of the registry has no entry in vendors.yml"
    assert paid == set(EXAMPLES), "EXAMPLES of this test and the vendors of vendors.yml are not the same"
    assert set(policy.vendors.terms) == paid, "vendors.yml does not say under `terms` what a vendor allows"
    grouped = [vendor for group in policy.vendors.groups.values() for vendor in group.vendors]
    assert sorted(grouped) == sorted(ENRICHMENT_VENDORS), "an enrichment vendor stands in no group of vendors.yml"


@every_vendor
def test_policy_gives_lookup_and_enrichment_no_more_than_five_seconds(name: str, policy: Policy) -> None:
    limits = policy.limits_of(name)
    assert limits.deadline_seconds <= (20.0 if name == "dncscrub" else 5.0)
    assert limits.price_usd > 0
    assert limits.cache_days > 0


@every_vendor
def test_each_kind_of_answer_has_an_example_or_is_said_not_to_exist(name: str) -> None:
    missing = [kind for kind in OUTCOMES if kind not in EXAMPLES[name].answers]
    assert missing == [], f"EXAMPLES of {name} lack these; None says that the vendor documents no such answer"
    assert EXAMPLES[name].vendor.name == name


CASES = [
    (name, kind, answer)
    for name, examples in EXAMPLES.items()
    for kind, answer in examples.answers.items()
    if answer is not None
]


@pytest.mark.parametrize(("name", "kind", "answer"), CASES, ids=[f"{name}-{kind}" for name, kind, _ in CASES])
def test_each_documented_answer_gives_its_outcome_and_says_whether_it_is_billed(
    name: str, kind: str, answer: tuple[int, Any, Outcome, str]
) -> None:
    status, body, outcome, billed = answer
    verdict = judged(name, status, body)
    assert (verdict.outcome, verdict.billed) == (outcome, billed), kind
    assert not [text for text in PERSONAL if text in verdict.detail.lower()]


@every_vendor
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_breakdown_is_no_answer_and_not_billed(name: str, status: int) -> None:
    for body in (None, {"error": "x"}):
        verdict = judged(name, status, body)
        assert (verdict.outcome, verdict.billed) == (Outcome.VENDOR_ERROR, "no")


@every_vendor
@pytest.mark.parametrize("body", [None, [], {}, "text", 7, True, [None], [[]], {"data": [1]}, {"status": {}}])
def test_a_success_that_cannot_be_read_is_no_answer_and_may_be_billed(name: str, body: Any) -> None:
    verdict = judged(name, 200, body)
    assert (verdict.outcome, verdict.billed, dict(verdict.fields)) == (Outcome.VENDOR_ERROR, "unknown", {})


def words_of(body: Any) -> set[str]:
    if isinstance(body, dict):
        return set(body).union(*(words_of(value) for value in body.values()))
    return set().union(*(words_of(value) for value in body)) if isinstance(body, list) else set()


WORDS = sorted({word for _, _, answer in CASES for word in words_of(answer[1])})
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
JSON = st.recursive(
    LEAVES | st.sampled_from(["success", "valid", EMAIL, f"+{PHONE}", "2125550123"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=15,
)


@every_vendor
@limited(max_examples=40)
@given(status=st.sampled_from([200, 202, 302, 400, 401, 402, 403, 404, 429, 500]), body=JSON)
def test_no_json_breaks_a_classifier_nor_leaves_the_vocabulary(name: str, status: int, body: Any) -> None:
    verdict = judged(name, status, body)
    assert verdict.outcome in Outcome
    assert verdict.billed in ("yes", "no", "unknown")
    assert verdict.outcome.is_answer or verdict.billed != "yes" or name == "trestle"
    if name in ENRICHMENT_VENDORS:
        assert_typed(name, verdict.fields)


@limited(max_examples=60)
@given(data=st.data())
def test_an_answer_of_which_one_part_is_anything_breaks_no_classifier(data: st.DataObject) -> None:
    name, _, (status, body, _, _) = data.draw(st.sampled_from(CASES))
    if not isinstance(body, dict) or not body:
        return
    part = data.draw(st.sampled_from(sorted(body)))
    verdict = judged(name, status, body | {part: data.draw(JSON)})
    if name in ENRICHMENT_VENDORS:
        assert_typed(name, verdict.fields)


def assert_typed(name: str, fields: Mapping[str, Any]) -> None:
    kinds = typing.get_type_hints(ENRICHMENT_VENDORS[name].answer)
    assert {field: type(value) for field, value in fields.items()} == {field: kinds[field] for field in fields}


@every_vendor
def test_a_request_goes_to_the_vendors_own_host_and_nowhere_else(name: str) -> None:
    examples = EXAMPLES[name]
    parts = urlsplit(examples.vendor.request(examples.ask).url)
    assert (parts.scheme, parts.netloc) == ("https", f"{name.replace('_', '-')}.test:8443")
    assert parts.path.startswith("/x/")
    assert (parts.username, parts.password, parts.query, parts.fragment) == (None, None, "", "")


@every_vendor
def test_neither_secret_nor_person_is_in_what_a_log_would_print(name: str, caplog: pytest.LogCaptureFixture) -> None:
    examples = EXAMPLES[name]
    caplog.set_level(0)
    request = examples.vendor.request(examples.ask)
    printed = [examples.vendor, request, examples.ask, Reply(200, {}, {"email": EMAIL, "phone": PHONE})]
    for thing in printed:
        text = f"{thing!r} {thing}".lower()
        assert not [word for word in PERSONAL if word in text], type(thing).__name__
    for _, _, (status, body, _, _) in (case for case in CASES if case[0] == name):
        judged(name, status, body)
    assert caplog.text == ""


@every_enrichment_vendor
def test_an_enrichment_vendor_answers_in_the_words_of_the_contract(name: str) -> None:
    kind = ENRICHMENT_VENDORS[name]
    types = {"text": str, "number": float, "flag": bool, "kept": str}
    hints = typing.get_type_hints(kind.answer)
    assert hints
    assert hints == {field: types[ENRICHMENT_FIELDS[field]] for field in hints}
    if kind.confidence is not None:
        assert hints[kind.confidence[0]] is float
        assert kind.confidence[1] > 0
    assert re.fullmatch(r"[a-z][a-z0-9_]+", name)
    assert kind.about.endswith(".")


@every_enrichment_vendor
def test_what_counts_as_found_in_its_group_is_among_its_fields(name: str, policy: Policy) -> None:
    fields = typing.get_type_hints(ENRICHMENT_VENDORS[name].answer)
    (group,) = [group for group in policy.vendors.groups.values() if name in group.vendors]
    assert set(group.found) <= set(fields)


@every_enrichment_vendor
def test_the_settings_of_a_vendor_exist_and_are_explained(name: str) -> None:
    url, *secrets = ENRICHMENT_VENDORS[name].settings
    documented = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    for setting in (url, *secrets):
        assert f"\n{setting.upper()}=\n" in documented, f"{setting.upper()} is not in .env.example"
    assert Settings.model_fields[url].default.startswith("https://")
    assert all(isinstance(getattr(SETTINGS, secret), SecretStr) for secret in secrets)


@every_enrichment_vendor
def test_a_vendor_asks_nothing_about_whom_it_knows_nothing(name: str) -> None:
    row = dict.fromkeys(PEOPLE_COLUMNS, "") | {"lead_id": "l", "phone": PHONE, "email": EMAIL}
    people = pd.DataFrame([row, row | {"lead_id": "m", "email": ""}])
    questions = questionnaire(name, SETTINGS)
    subjects = questions.subjects(people).tolist()
    asks = [questions.ask(lead) for lead in people.itertuples(index=False)]
    assert [ask.subject for ask, subject in zip(asks, subjects, strict=True) if subject] == [s for s in subjects if s]
    assert subjects[0]


def test_a_vendor_that_policy_asks_and_that_has_no_key_says_which_setting_is_missing() -> None:
    with pytest.raises(SetupError, match="NEVER_BOUNCE_API_KEY"):
        NeverBounce(SETTINGS.model_copy(update={"never_bounce_api_key": None}))


FAULTS = {
    "unauthorized": {Outcome.AUTH},
    # ZeroBounce says the same of a bad key and of no credits left.
    "quota": {Outcome.QUOTA, Outcome.AUTH},
    "rate_limited": {Outcome.RATE_LIMITED},
    "server_error": {Outcome.VENDOR_ERROR},
    "bad_gateway": {Outcome.VENDOR_ERROR},
    "garbage": {Outcome.VENDOR_ERROR},
    "empty": {Outcome.VENDOR_ERROR},
    "redirect": {Outcome.VENDOR_ERROR},
    "other_subject": {Outcome.VENDOR_ERROR, Outcome.NO_MATCH},
    "truncated": set(),
}


@every_enrichment_vendor
def test_the_stand_in_answers_as_the_classifier_reads(name: str, sandbox: Any, settings: Settings) -> None:
    vendor = ENRICHMENT_VENDORS[name](settings)
    lead = EXAMPLES[name].ask

    async def outcome() -> Outcome | None:
        async with transport(settings) as sender:
            try:
                return vendor.classify(lead, await sender.send(vendor.request(lead), 5.0)).outcome
            except Unanswered:
                return None

    assert asyncio.run(outcome()) in (Outcome.OK, Outcome.NO_MATCH)
    seen = {}
    for kind in FAULTS:
        sandbox.fault(name, kind)
        seen[kind] = asyncio.run(outcome())
        sandbox.clear()
    assert {kind: got for kind, got in seen.items() if got not in (FAULTS[kind] or {None})} == {}
