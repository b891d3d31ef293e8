"""Persona policy over leads: who belongs, what is sent, and every expression that must be refused."""

import json
from datetime import date
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from lead_intel.activation import personas
from lead_intel.activation.expressions import ALLOWED_FUNCTIONS
from lead_intel.activation.fields import FIELDS, joined
from lead_intel.contract import PersonaMembers, checked
from lead_intel.errors import SetupError
from lead_intel.policy import Persona, Personas, Policy
from lead_intel.settings import REPOSITORY

KEY = SecretStr("a key of the order, thirty-two letters")

LEAD = {
    "phone": 12125550101,
    "region": "US",
    "email": "Ann@Example.com",
    "first_name": "Ann",
    "last_name": "",
    "city": "",
    "state": "NY",
    "postal_code": "00501",
    "consent_source": "web_form",
    "consent_at": "2026-10-01",
    "consent_channel": "phone",
    "consent_purpose": "",
    "consent_seller": "Example Inc.",
    "shared_phone": False,
    "email_flags": "",
}
ENRICHED = {
    "email_status": "valid",
    "activity_score": 90.0,
    "litigator_risk": False,
    "job_title": "",
    "company": "Example",
    "seniority": "vp",
    "match_likelihood": 8.0,
}


def frame_of(*changes: dict[str, Any]) -> pd.DataFrame:
    ids = [f"00000000-0000-0000-0000-{number:012d}" for number in range(len(changes))]
    rows = [
        LEAD | {"phone": 12125550100 + n} | {k: v for k, v in c.items() if k in LEAD} for n, c in enumerate(changes)
    ]
    more = [ENRICHED | {k: v for k, v in c.items() if k in ENRICHED} for c in changes]
    leads = pd.DataFrame(rows).assign(lead_id=ids)
    lookups = pd.DataFrame(
        {
            "phone": leads["phone"].drop_duplicates(),
            "line_type": [c.get("line_type", "mobile") for c in changes][: leads["phone"].nunique()],
            "carrier_name": "Carrier",
        }
    )
    enriched = pd.DataFrame(more).assign(lead_id=ids)
    return joined(leads, lookups, enriched)


def policy_of(**changes: Any) -> Personas:
    values: dict[str, Any] = {
        "description": "A test.",
        "audience_key": "li_test",
        "where": "line_type = 'mobile'",
        "score": {"activity": "activity_score"},
        "traits": ("phone", "email"),
    }
    return Personas(effective=date(2026, 11, 1), personas={"test": Persona(**(values | changes))})


def members(frame: pd.DataFrame, policy: Personas) -> pd.DataFrame:
    return checked(personas.members(frame, policy, KEY), PersonaMembers)


def test_members_have_score_parts_and_only_the_traits_of_policy() -> None:
    found = members(frame_of({}, {"line_type": "landline"}), policy_of())
    assert found["lead_id"].tolist() == ["00000000-0000-0000-0000-000000000000"]
    assert found["score"].tolist() == [90.0]
    assert json.loads(found["score_parts"][0]) == {"activity": 90.0}
    assert json.loads(found["traits"][0]) == {"phone": "+12125550100", "email": "ann@example.com"}


def test_the_shipped_personas_are_valid_and_find_members(policy: Policy) -> None:
    found = members(frame_of({}), policy.personas)
    assert set(found["persona"]) == {"reachable_mobile", "verified_email", "business_decider"}


def test_what_is_not_known_is_not_sent() -> None:
    policy = policy_of(traits=("first_name", "last_name", "activity_score", "job_title", "litigator_risk"), score={})
    found = members(frame_of({"activity_score": float("nan")}), policy)
    assert json.loads(found["traits"][0]) == {"first_name": "Ann", "litigator_risk": False}


@pytest.mark.parametrize(
    "change",
    [{"email_flags": "role"}, {"email_flags": "disposable"}, {"email_status": "invalid"}, {"email": ""}],
)
def test_an_email_that_must_not_become_an_identifier_is_not_sent(change: dict[str, Any]) -> None:
    found = members(frame_of(change), policy_of())
    assert json.loads(found["traits"][0]) == {"phone": "+12125550100"}


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("part", ["activity_score", "activity_score * 0", "sqrt(activity_score)", "1 / 0", "ln(1) / 0"])
def test_a_score_is_always_a_number(score: float, part: str) -> None:
    found = members(frame_of({"activity_score": score}), policy_of(score={"odd": part, "ten": "10"}))
    assert found["score"].tolist() == [10.0]
    assert json.loads(found["score_parts"][0]) == {"odd": 0.0, "ten": 10.0}
    assert "NaN" not in found["traits"][0]


def test_minimum_score_and_maximum_size_take_the_best() -> None:
    frame = frame_of(*({"activity_score": float(score)} for score in (10, 50, 70, 60, 20)))
    found = members(frame, policy_of(minimum_score=20, maximum_size=3))
    assert found["score"].tolist() == [70.0, 60.0, 50.0]


def test_equal_scores_are_cut_in_the_same_order_whatever_order_the_leads_come_in() -> None:
    frame = frame_of(*({} for _ in range(40)))
    policy = policy_of(maximum_size=7)
    chosen = set(members(frame, policy)["lead_id"])
    assert len(chosen) == 7
    assert set(members(frame.sample(frac=1, random_state=3), policy)["lead_id"]) == chosen
    assert set(personas.members(frame, policy, SecretStr("another key"))["lead_id"]) != chosen


def test_the_version_changes_with_what_is_sent_and_with_nothing_else() -> None:
    def version(change: dict[str, Any], **policy: Any) -> str:
        return str(members(frame_of(change), policy_of(**policy))["version"][0])

    base = version({})
    assert base == version({"activity_score": 95.0})
    assert base == version({}, description="Another.")
    assert base != version({"email": "ben@example.com"})
    assert base != version({}, audience_key="li_other")
    assert base != version({}, traits=("phone",))


HOSTILE = [
    ("where", "1 = 1; drop table lead"),
    ("where", "true) from lead; select (true"),
    ("where", "true) from lead where (false"),
    ("where", "true), (false"),
    ("where", "true) from lead union all select (true"),
    ("where", "(select count(*) from lead) > 0"),
    ("where", "exists (select 1 from lead)"),
    ("where", "lead_id <> ''"),
    ("where", "nothing = 1"),
    ("where", "lead.phone = ''"),
    ("where", "columns('phone') = ''"),
    ("where", "* = ''"),
    ("where", "getenv('HOME') = ''"),
    ("where", "current_setting('threads') = ''"),
    ("where", "random() > 0.5"),
    ("where", "now() > '2020-01-01'"),
    ("where", "read_text('/etc/passwd') is not null"),
    ("where", "phone in (select content from read_text('/etc/passwd'))"),
    ("where", "count(*) > 1"),
    ("where", "sum(activity_score) over () > 1"),
    ("where", "phone = ?"),
    ("where", "phone = $persona"),
    ("where", "activity_score >"),
    ("where", ""),
    ("where", "phone"),
    ("where", "cast(phone as blob) is null"),
    ("where", "repeat(phone, 1000000) = ''"),
    ("score", "phone"),
    ("score", "activity_score; select 1"),
    ("score", "max(activity_score)"),
]


@pytest.mark.parametrize(("place", "expression"), HOSTILE)
def test_an_expression_that_is_more_than_one_over_the_lead_is_refused(place: str, expression: str) -> None:
    change = {place: expression} if place == "where" else {"score": {"part": expression}}
    with pytest.raises(SetupError) as refused:
        members(frame_of({}), policy_of(**change))
    assert refused.value.code == "policy_invalid"
    assert f"test.{place}" in refused.value.message


@pytest.mark.parametrize(
    "expression",
    [
        "line_type in ('mobile', 'landline') and not litigator_risk",
        "activity_score between 1 and 100 -- the usual",
        "email like '%@example.com' or company ilike 'ex%'",
        "case when state = 'NY' then activity_score > 10 else false end",
        "coalesce(match_likelihood, 0) >= 6 and trim(job_title) is not null",
        "LINE_TYPE = 'mobile' and starts_with(phone, '+1')",
        "cast(match_likelihood as integer) >= 1",
    ],
)
def test_a_readable_condition_is_taken(expression: str) -> None:
    assert len(members(frame_of({}), policy_of(where=expression))) == 1


def test_a_condition_that_fails_on_some_lead_names_no_lead() -> None:
    with pytest.raises(SetupError) as refused:
        members(frame_of({"company": "Hush Hush Ltd"}), policy_of(where="cast(company as integer) > 1"))
    assert "Hush" not in str(refused.value)
    assert "test" in refused.value.message


@pytest.mark.parametrize("change", [{"traits": ("ssn",)}, {"audience_key": "phone"}])
def test_unknown_traits_and_taken_keys_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SetupError):
        members(frame_of({}), policy_of(**change))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([*"()';-*/ \n,.$?=<>|", "select ", "phone", "true", "lead", " from "])).map("".join))
def test_no_text_at_all_escapes(expression: str) -> None:
    try:
        found = personas.members(frame_of({}), policy_of(where=expression), KEY)
    except SetupError:
        return
    assert set(found.columns) == {"lead_id", "persona", "score", "score_parts", "traits", "version"}
    assert len(found) <= 1


def test_the_fields_are_documented() -> None:
    text = (REPOSITORY / "docs" / "personas.md").read_text()
    assert [name for name in (*FIELDS, *ALLOWED_FUNCTIONS) if f"`{name}`" not in text] == []
