"""Twilio Lookup: the official client and the vendor's own specification, against the sandbox."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import phonenumbers
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from lead_intel.sandbox.answers import LINE_TYPES
from lead_intel.sandbox.client import Control
from lead_intel.sandbox.numbering import assessed

SPEC = json.loads((Path(__file__).parents[1] / "data/specs/twilio_lookups_v2.json").read_text())
PATH = SPEC["paths"]["/v2/PhoneNumbers/{PhoneNumber}"]["get"]
WITH_CARRIER = {"mobile", "landline", "fixedVoip", "nonFixedVoip"}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with every property required, nullable, and none beside them."""
    if "$ref" in schema:
        return strict(SPEC["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    kept = {key: schema[key] for key in ("type", "enum") if key in schema}
    if "items" in schema:
        kept["items"] = strict(schema["items"])
    if "properties" in schema:
        kept["properties"] = {
            name: {"anyOf": [{"type": "null"}, strict(part)]} for name, part in schema["properties"].items()
        }
        kept |= {"required": sorted(schema["properties"]), "additionalProperties": False}
    return kept


ANSWER = jsonschema.Draft202012Validator(strict(PATH["responses"]["200"]["content"]["application/json"]["schema"]))


def numbers(count: int) -> list[str]:
    chance = random.Random(7)
    codes = ("212", "713", "303", "415", "305", "416", "800", "900", "787", "206")
    return [f"+1{chance.choice(codes)}{chance.randint(2, 9)}{chance.randint(0, 999999):06d}" for _ in range(count)]


@pytest.fixture
def twilio(vendor: dict[str, str]) -> Client:
    client = Client(vendor["TWILIO_ACCOUNT_SID"], vendor["TWILIO_AUTH_TOKEN"])
    client.lookups.base_url = vendor["TWILIO_LOOKUP_URL"]
    return client


@pytest.fixture
def lookup(http: httpx.Client, vendor: dict[str, str]) -> Any:
    def ask(number: str, version: str = "v2", **params: str) -> httpx.Response:
        return http.get(
            f"{vendor['TWILIO_LOOKUP_URL']}/{version}/PhoneNumbers/{number.replace('+', '%2B')}",
            params=params,
            auth=(vendor["TWILIO_ACCOUNT_SID"], vendor["TWILIO_AUTH_TOKEN"]),
        )

    return ask


def test_the_strict_schema_accepts_the_vendors_own_lookup_examples() -> None:
    examples = PATH["responses"]["200"]["content"]["application/json"]["examples"]
    for name in ("fetch", "fetchInvalid", "fetchCallerName", "fetchLineTypeIntelligence", "fetchSimSwap"):
        ANSWER.validate(examples[name]["value"])


def test_every_answer_fits_the_vendors_specification(lookup: Any) -> None:
    fields = ("line_type_intelligence", "caller_name,line_type_intelligence", "validation", "sim_swap,line_status")
    packages = SPEC["components"]["schemas"]["LookupResponse"]["properties"]
    everything = ",".join(sorted(set(packages) & {part for part in packages if "$ref" in packages[part]}))
    for index, number in enumerate(numbers(300)):
        ANSWER.validate(lookup(number, Fields=fields[index % 4]).json())
    everyone = lookup("+12125550123", Fields=everything, LastVerifiedDate="20250101").json()
    ANSWER.validate(everyone)
    assert everyone["reassigned_number"]["error_code"] == "60606"
    for broken in ("+1212555012", "+121255501234", "+12105", "+99912345678", "hello", "+1212055501a"):
        ANSWER.validate(lookup(broken, Fields="line_type_intelligence").json())


def test_the_official_client_reads_line_type_and_carrier(twilio: Client, control: Control) -> None:
    answer = twilio.lookups.v2.phone_numbers("+12125550123").fetch(fields="line_type_intelligence")
    assert answer.valid
    assert answer.national_format == "(212) 555-0123"
    assert answer.line_type_intelligence["type"] in dict.fromkeys(kind for _, kind in LINE_TYPES)
    assert control.ledger()["twilio_lookup"] == {"calls": 1, "distinct_keys": 1, "paid_calls": 1}


def test_a_question_without_fields_is_free_and_no_key(twilio: Client, control: Control) -> None:
    answer = twilio.lookups.v2.phone_numbers("+12125550123").fetch()
    assert answer.valid
    assert answer.line_type_intelligence is None
    assert control.ledger()["twilio_lookup"] == {"calls": 1, "distinct_keys": 0, "paid_calls": 0}


def test_an_invalid_number_is_a_200_that_says_so_and_costs_nothing(lookup: Any, control: Control) -> None:
    answer = lookup("+121255501234", Fields="line_type_intelligence")
    assert answer.status_code == 200
    assert answer.json()["valid"] is False
    assert answer.json()["validation_errors"] == ["TOO_LONG"]
    assert answer.json()["line_type_intelligence"] is None
    assert control.ledger()["twilio_lookup"]["paid_calls"] == 0


def test_line_types_have_their_shares_and_only_some_have_a_carrier(lookup: Any) -> None:
    seen = Counter()
    for number in (f"+1212{2000000 + index * 37}" for index in range(900)):
        package = lookup(number, Fields="line_type_intelligence").json()["line_type_intelligence"]
        seen[package["type"]] += 1
        assert (package["carrier_name"] is not None) == (package["type"] in WITH_CARRIER)
        assert (package["mobile_network_code"] is not None) == (package["type"] == "mobile")
    assert 0.5 < seen["mobile"] / 900 < 0.7
    assert 0.14 < seen["landline"] / 900 < 0.28
    assert len(seen) >= 9


def test_the_same_number_gets_the_same_answer(lookup: Any) -> None:
    first, second = (lookup("+13035550199", Fields="line_type_intelligence").json() for _ in range(2))
    assert first == second


def test_canadian_numbers_answer_60601_and_toll_free_ones_their_type(lookup: Any) -> None:
    canadian = lookup("+14165550123", Fields="line_type_intelligence").json()
    assert canadian["country_code"] == "CA"
    assert canadian["line_type_intelligence"]["error_code"] == 60601
    toll_free = lookup("+18005550123", Fields="line_type_intelligence").json()
    assert toll_free["line_type_intelligence"]["type"] == "tollFree"


def test_numbers_in_national_format_need_their_country(lookup: Any) -> None:
    assert lookup("02079460018", CountryCode="GB").json()["phone_number"] == "+442079460018"
    assert lookup("2125550123").json()["phone_number"] == "+12125550123"


def test_the_sandbox_and_libphonenumber_agree_on_validity() -> None:
    chance = random.Random(11)
    for _ in range(4000):
        text = f"+1{chance.randint(200, 999)}{chance.randint(0, 9_999_999):07d}"
        judged, number = assessed(text), phonenumbers.parse(text)
        assert (not judged.errors) == phonenumbers.is_valid_number(number), text
        assert judged.errors or judged.region == phonenumbers.region_code_for_number(number), text


def test_a_wrong_token_is_401_20003_and_not_paid(vendor: dict[str, str], control: Control) -> None:
    client = Client(vendor["TWILIO_ACCOUNT_SID"], "0" * 32)
    client.lookups.base_url = vendor["TWILIO_LOOKUP_URL"]
    with pytest.raises(TwilioRestException) as refused:
        client.lookups.v2.phone_numbers("+12125550123").fetch(fields="line_type_intelligence")
    assert (refused.value.status, refused.value.code) == (401, 20003)
    assert control.ledger()["twilio_lookup"] == {"calls": 1, "distinct_keys": 0, "paid_calls": 0}


@pytest.mark.parametrize(
    ("kind", "options", "status", "code"),
    [
        ("rate_limited", {}, 429, 20429),
        ("rate_limited", {"code": 60616}, 429, 60616),
        ("forbidden", {}, 403, 20403),
        ("quota", {}, 403, 60611),
        ("server_error", {}, 500, 20500),
    ],
)
def test_refusals_carry_the_vendors_codes(
    twilio: Client, control: Control, kind: str, options: dict[str, Any], status: int, code: int
) -> None:
    control.fault("twilio_lookup", kind, options)
    with pytest.raises(TwilioRestException) as refused:
        twilio.lookups.v2.phone_numbers("+12125550123").fetch(fields="line_type_intelligence")
    assert (refused.value.status, refused.value.code) == (status, code)


@pytest.mark.parametrize("code", [60600, 60606, 60608, 60611])
def test_a_package_fails_inside_a_200(lookup: Any, control: Control, code: int) -> None:
    control.fault("twilio_lookup", "package_error", {"code": code, "match": "12125550123"})
    failed = lookup("+12125550123", Fields="line_type_intelligence")
    assert failed.status_code == 200
    assert failed.json()["line_type_intelligence"] == {
        "error_code": code,
        "mobile_country_code": None,
        "mobile_network_code": None,
        "carrier_name": None,
        "type": None,
    }
    assert lookup("+12125550124", Fields="line_type_intelligence").json()["line_type_intelligence"]["type"]
    assert control.ledger()["twilio_lookup"]["paid_calls"] == 1


def test_a_wrong_path_is_404_and_a_bad_parameter_400(lookup: Any, http: httpx.Client, vendor: dict[str, str]) -> None:
    assert lookup("+12125550123/extra").json()["code"] == 20404
    assert http.get(f"{vendor['TWILIO_LOOKUP_URL']}/v2/Numbers/1").status_code == 404
    assert lookup("+12125550123", Fields="horoscope").json()["code"] == 20001
    assert lookup("+12125550123", Fields="reassigned_number").status_code == 400


def test_an_unencoded_plus_can_be_refused(twilio: Client, control: Control, lookup: Any) -> None:
    control.fault("twilio_lookup", "strict_encoding")
    with pytest.raises(TwilioRestException) as refused:
        twilio.lookups.v2.phone_numbers("+12125550123").fetch()
    assert refused.value.status == 404
    assert lookup("+12125550123").status_code == 200


def test_calls_beyond_the_concurrency_ceiling_are_refused(lookup: Any, control: Control) -> None:
    control.fault("twilio_lookup", "concurrency", {"limit": 0})
    answer = lookup("+12125550123", Fields="line_type_intelligence")
    assert answer.json()["code"] == 20429
    assert answer.headers["twilio-concurrent-requests"] == "1"


def test_version_1_names_the_carrier_and_answers_invalid_numbers_with_404(lookup: Any) -> None:
    known = {}
    for index in range(40):
        number = f"+1212555{index:04d}"
        known[number] = lookup(number, Fields="line_type_intelligence").json()["line_type_intelligence"]
        carrier = lookup(number, "v1", Type="carrier").json()["carrier"]
        assert carrier["name"] == known[number]["carrier_name"]
        assert carrier["type"] in {"mobile", "landline", "voip", None}
    missing = lookup("+1212555012", "v1", Type="carrier")
    assert (missing.status_code, missing.json()["code"]) == (404, 20404)


def test_carrier_names_can_go_missing(lookup: Any, control: Control) -> None:
    control.trip(6)
    for index in range(20):
        package = lookup(f"+1212555{index:04d}", Fields="line_type_intelligence").json()["line_type_intelligence"]
        assert package["carrier_name"] is None
        assert package["type"]
