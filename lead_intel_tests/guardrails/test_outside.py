"""Guardrails that look outside, tripped at the wire: the bucket is really gone, the key really refused."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

from lead_intel.guardrails.evaluate import evaluate
from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.result import GuardrailResult
from lead_intel.policy import Policy
from lead_intel.record import engage_templates
from lead_intel.sandbox import settings as accepted
from lead_intel.sandbox.segment_audiences import audience_id
from lead_intel.settings import Settings, load_settings


@pytest.fixture
def inputs(settings: Settings, policy: Policy) -> Inputs:
    return Inputs(settings, policy)


def _one(number: int, inputs: Inputs) -> GuardrailResult:
    (result,) = evaluate([number], inputs)
    return result


def test_they_pass_when_everything_outside_is_in_order(inputs: Inputs) -> None:
    for result in evaluate([1, 3, 7, 8], inputs):
        assert (result.number, result.state, result.remedy) == (result.number, "passed", "")


TRIPS = {
    (1, "supabase_storage"): [
        ("bucket_gone", "failed", "does not exist"),
        ("bucket_public", "failed", "public"),
        ("bucket_unlimited", "failed", "no size limit"),
        ("bucket_types", "failed", "CSV and XLSX"),
        ("unauthorized", "failed", "refuses the key"),
        ("database_timeout", "unverifiable", "answered"),
        ("server_error", "unverifiable", "answered"),
    ],
    (3, "twilio_lookup"): [
        ("unauthorized", "failed", "20003"),
        ("forbidden", "failed", "20403"),
        ("rate_limited", "unverifiable", "429"),
        ("bad_gateway", "unverifiable", "502"),
    ],
    (7, "segment_public"): [
        ("source_disabled", "failed", "disabled"),
        ("write_key_rotated", "failed", "does not list"),
        ("source_gone", "failed", "does not exist"),
        ("write_keys_hidden", "unverifiable", "may not see"),
        ("unauthorized", "unverifiable", "refuses the token"),
        ("rate_limited", "unverifiable", "429"),
        ("garbage", "unverifiable", "200"),
    ],
    (8, "segment_public"): [
        ("audience_disabled", "failed", "off (Disabled)"),
        ("audience_computing", "failed", "Not computed yet"),
        ("rate_limited", "unverifiable", "429"),
        ("server_error", "unverifiable", "500"),
    ],
}
"""Guardrail and service -> what is switched on there, the state that must come of it, and a word that says why."""


@pytest.mark.parametrize(("number", "service"), TRIPS)
def test_every_trip_is_seen_for_what_it_is_and_clears_by_itself(
    inputs: Inputs, sandbox: Any, number: int, service: str
) -> None:
    for kind, state, words in TRIPS[number, service]:
        sandbox.fault(service, kind)
        tripped = _one(number, inputs)
        assert (kind, tripped.state) == (kind, state)
        assert words in tripped.seen
        assert tripped.remedy
        sandbox.clear()
        assert _one(number, inputs).state == "passed"


@pytest.mark.parametrize("kind", ["black_hole", "trickle"])
def test_no_answer_in_time_is_unverifiable_and_never_passed(inputs: Inputs, sandbox: Any, kind: str) -> None:
    for service in ("supabase_storage", "twilio_lookup", "segment_public"):
        sandbox.fault(service, kind, seconds=30)
    began = time.monotonic()
    assert {result.state for result in evaluate([1, 3, 7, 8], inputs)} == {"unverifiable"}
    assert time.monotonic() - began < 6


def test_a_key_that_is_not_the_service_role_is_refused(
    settings: Settings, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in (accepted.SUPABASE_ANON_KEY, "sb_publishable_0123456789abcdef", "not-a-key"):
        monkeypatch.setenv("SUPABASE_SERVICE_KEY", key)
        result = _one(1, Inputs(load_settings(), policy))
        assert result.state == "failed"
        assert key not in str(result)


def test_the_free_lookup_is_not_paid_and_names_nobody(inputs: Inputs, sandbox: Any) -> None:
    _one(3, inputs)
    assert sandbox.ledger()["twilio_lookup"] == {"calls": 1, "distinct_keys": 0, "paid_calls": 0}


def test_without_token_or_source_the_write_key_is_unverifiable(
    settings: Settings, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SEGMENT_PUBLIC_TOKEN", "SEGMENT_SOURCE_ID"):
        with monkeypatch.context() as without:
            without.delenv(name)
            result = _one(7, Inputs(load_settings(), policy))
        assert result.state == "unverifiable"
        assert name in result.remedy


def test_another_write_key_is_failed_and_not_shown(
    settings: Settings, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMENT_WRITE_KEY", "0123456789abcdef0123456789abcdef")
    result = _one(7, Inputs(load_settings(), policy))
    assert result.state == "failed"
    assert "0123456789abcdef" not in str(result)


def test_events_to_another_region_would_vanish(
    settings: Settings, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMENT_TRACKING_URL", "https://events.eu1.segmentapis.com")
    monkeypatch.setenv("SEGMENT_PUBLIC_URL", "https://api.segmentapis.com")
    result = _one(7, Inputs(load_settings(), policy))
    assert result.state == "failed"
    assert "region" in result.seen


def test_templates_are_registered_once_with_the_audience_of_that_moment(
    database: psycopg.Connection, inputs: Inputs, policy: Policy
) -> None:
    _one(8, inputs)
    rows = engage_templates.registered(database)
    assert {row.template: row.audience_key for row in rows.values()} == {
        persona.template: persona.audience_key for persona in policy.personas.personas.values()
    }
    assert rows["email_nurture"].audience_id == audience_id("li_verified_email")
    assert {row.last_seen_status for row in rows.values()} == {"Live"}


@pytest.mark.parametrize(
    ("kind", "words", "status"),
    [
        ("audience_deleted", "was deleted", "deleted"),
        ("audience_key_changed", "key changed", "key changed"),
    ],
)
def test_an_audience_that_vanished_or_changed_after_registration_blocks(
    database: psycopg.Connection, inputs: Inputs, sandbox: Any, kind: str, words: str, status: str
) -> None:
    _one(8, inputs)
    sandbox.fault("segment_public", kind, match="li_verified_email")
    result = _one(8, inputs)
    assert result.state == "failed"
    assert words in result.seen
    assert "Email_nurture" in result.seen
    assert result.figures["templates_block"] == 1
    assert engage_templates.registered(database)["email_nurture"].last_seen_status == status


def test_an_audience_made_again_under_the_same_key_is_another_audience(
    database: psycopg.Connection, inputs: Inputs, settings: Settings
) -> None:
    assert settings.segment_space_id
    engage_templates.register(
        database, "email_nurture", settings.segment_space_id, "aud_that_was_deleted", "li_verified_email"
    )
    result = _one(8, inputs)
    assert result.state == "failed"
    assert "was deleted" in result.seen


def test_a_persona_whose_audience_was_never_made_blocks(inputs: Inputs, sandbox: Any) -> None:
    sandbox.fault("segment_public", "audience_deleted", match="li_business_decider")
    result = _one(8, inputs)
    assert result.state == "failed"
    assert "there is no audience with the key li_business_decider" in result.seen


def test_without_templates_there_is_nothing_to_check(settings: Settings, policy: Policy) -> None:
    bare = {name: p.model_copy(update={"template": None}) for name, p in policy.personas.personas.items()}
    personas = policy.personas.model_copy(update={"personas": bare})
    assert _one(8, Inputs(settings, policy.model_copy(update={"personas": personas}))).state == "not_applicable"


def test_all_ten_side_by_side_are_quick_when_everything_answers(inputs: Inputs) -> None:
    evaluate(range(1, 11), inputs)
    began = time.monotonic()
    evaluate(range(1, 11), inputs)
    assert time.monotonic() - began < 2


def test_whatever_hangs_the_ten_end_within_six_seconds(inputs: Inputs, sandbox: Any) -> None:
    for service in ("supabase_storage", "twilio_lookup", "segment_public"):
        sandbox.fault(service, "black_hole", seconds=30)
    began = time.monotonic()
    results = {result.number: result.state for result in evaluate(range(1, 11), inputs)}
    assert time.monotonic() - began < 6.5
    assert {results[number] for number in (1, 3, 7, 8)} == {"unverifiable"}
