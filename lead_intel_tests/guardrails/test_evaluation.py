"""Fail closed, bounded in time, remembered since when: what holds for all ten."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import psycopg
import pytest

from lead_intel.errors import GuardrailFailed, Paused, RejectedInput, Stopped, UsageError
from lead_intel.guardrails.evaluate import GUARDRAILS, evaluate
from lead_intel.guardrails.gate import holds, objection, remembered, require
from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.preflight import as_json, is_go, preflight
from lead_intel.guardrails.result import GuardrailResult, GuardrailState
from lead_intel.policy import Policy
from lead_intel.record import guardrails as history
from lead_intel.record import upload_files
from lead_intel.record.upload_files import StoredObject
from lead_intel.settings import Settings, load_settings
from lead_intel.stage import StageAtWork


@pytest.fixture
def upload(database: psycopg.Connection) -> str:
    stored = StoredObject("lead-uploads", "acme/list.csv", "v1", "list.csv", 10, "sha")
    return upload_files.accept(database, stored, "acme").upload


def _result(number: int, state: str, **figures: float | str) -> GuardrailResult:
    guardrail = GUARDRAILS[number]
    return GuardrailResult(
        number, guardrail.name, GuardrailState(state), "Seen.", figures, guardrail.blocks, "Do.", guardrail.rule_version
    )


def test_there_are_ten_with_stable_names() -> None:
    assert {number: guardrail.name for number, guardrail in GUARDRAILS.items()} == {
        1: "bucket",
        2: "schema",
        3: "lookup_credentials",
        4: "dnc_freshness",
        5: "enrichment_sla",
        6: "carrier_metadata",
        7: "write_key",
        8: "engage_audiences",
        9: "sample_chosen",
        10: "replication_lag",
    }


def test_a_guardrail_that_breaks_counts_as_failed_and_shows_no_text_of_the_error(
    settings: Settings, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret-word@127.0.0.1:1/none")
    for result in evaluate([4, 5, 6], Inputs(load_settings(), policy)):
        assert result.state == "failed"
        assert "TransientError" in result.seen
        assert "secret-word" not in str(result)


def test_one_that_hangs_counts_as_failed_and_does_not_hold_up_the_others(
    database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    with psycopg.connect(settings.database_url.get_secret_value()) as other:
        other.execute("lock table lead_intel.dnc_snapshots in access exclusive mode")
        began = time.monotonic()
        hanging, fine = evaluate([4, 9], Inputs(settings, policy), limit_seconds=1)
        assert time.monotonic() - began < 1.5
    assert hanging.state == "failed"
    assert "no answer within 1 s" in hanging.seen
    assert fine.state == "not_applicable"


def test_a_stop_does_not_wait_for_a_check_that_hangs(
    database: psycopg.Connection, upload: str, settings: Settings, policy: Policy
) -> None:
    with psycopg.connect(settings.database_url.get_secret_value()) as other:
        other.execute("lock table lead_intel.dnc_snapshots in access exclusive mode")
        at_work = StageAtWork(upload, "dnc", "run", settings, policy, database)
        asks_to_stop = threading.Timer(0.5, at_work.stop.set)
        asks_to_stop.start()
        began = time.monotonic()
        with pytest.raises(Stopped):
            require([4], at_work)
        assert time.monotonic() - began < 1.5
    assert history.latest(database, upload) == []


def test_a_statement_that_hangs_ends_by_itself(
    database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    with psycopg.connect(settings.database_url.get_secret_value()) as other:
        other.execute("lock table lead_intel.dnc_snapshots in access exclusive mode")
        (result,) = evaluate([4], Inputs(settings, policy))
    assert result.state == "failed"
    assert "QueryCanceled" in result.seen


def test_since_is_when_the_present_state_began(database: psycopg.Connection, upload: str) -> None:
    (first,) = remembered(database, upload, [_result(9, "failed")])
    (second,) = remembered(database, upload, [_result(9, "failed")])
    (third,) = remembered(database, upload, [_result(9, "passed")])
    (fourth,) = remembered(database, upload, [_result(9, "failed")])
    assert first.since is not None
    assert second.since == first.since
    assert third.since is not None
    assert fourth.since is not None
    assert first.since < third.since < fourth.since
    assert [row.state for row in history.history(database, 9, upload)] == ["failed", "passed", "failed", "failed"]


def test_what_is_everybodys_has_one_history_and_what_is_one_uploads_its_own(
    database: psycopg.Connection, upload: str
) -> None:
    (of_upload,) = remembered(database, upload, [_result(1, "failed")])
    (of_nobody,) = remembered(database, None, [_result(1, "failed")])
    assert of_upload.since == of_nobody.since
    remembered(database, upload, [_result(9, "failed")])
    remembered(database, None, [_result(9, "not_applicable")])
    assert [row.state for row in history.latest(database, upload) if row.number == 9] == ["not_applicable"]
    assert [row.state for row in history.history(database, 9, upload)] == ["failed"]


def test_passed_and_not_applicable_hold(settings: Settings, policy: Policy) -> None:
    for state in ("passed", "not_applicable"):
        assert all(holds(_result(number, state), policy, settings) for number in GUARDRAILS)


def test_unverifiable_holds_only_where_policy_accepts_it(
    settings: Settings, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = policy.guardrails.accept_unverifiable["embedded"]
    for number in GUARDRAILS:
        assert holds(_result(number, "unverifiable"), policy, settings) is (number in accepted)
    monkeypatch.setenv("LEAD_INTEL_ENVIRONMENT", "production")
    production = load_settings()
    assert not any(holds(_result(number, "unverifiable"), policy, production) for number in GUARDRAILS)


CONSEQUENCES = (
    (_result(1, "failed"), GuardrailFailed, "guardrail:1"),
    (_result(2, "failed", code="column_missing"), RejectedInput, "column_missing"),
    (_result(2, "failed"), GuardrailFailed, "guardrail:2"),
    (_result(3, "failed"), Paused, "credentials"),
    (_result(3, "unverifiable"), GuardrailFailed, "guardrail:3"),
    (_result(4, "failed"), GuardrailFailed, "guardrail:4"),
    (_result(4, "failed", resumes_by_itself=1), Paused, "dnc"),
    (_result(7, "unverifiable"), GuardrailFailed, "guardrail:7"),
    (_result(8, "failed"), GuardrailFailed, "guardrail:8"),
    (_result(10, "failed"), GuardrailFailed, "guardrail:10"),
)


def test_each_failure_has_its_own_consequence(settings: Settings, policy: Policy) -> None:
    for result, kind, code in CONSEQUENCES:
        error = objection(result, policy, settings)
        assert error is not None
        assert (type(error), error.code) == (kind, code)
        assert (error.message, error.remedy) == ("Seen.", "Do.")


def test_a_slow_vendor_stops_no_upload(settings: Settings, policy: Policy) -> None:
    assert objection(_result(5, "failed"), policy, settings) is None


def test_the_gate_lets_pass_stores_and_stops(
    database: psycopg.Connection, settings: Settings, policy: Policy, sandbox: object, upload: str
) -> None:
    at_work = StageAtWork(upload, "lookup", "run", settings, policy, database)
    require([1, 3], at_work)
    sandbox.fault("twilio_lookup", "unauthorized")  # type: ignore[attr-defined]
    with pytest.raises(Paused) as paused:
        require([1, 3], at_work)
    assert paused.value.code == "credentials"
    assert [row.state for row in history.history(database, 3)] == ["failed", "passed"]
    ledger = sandbox.ledger()  # type: ignore[attr-defined]
    assert ledger["twilio_lookup"]["paid_calls"] == 0


def test_the_json_is_the_interface(database: psycopg.Connection, settings: Settings, policy: Policy) -> None:
    results = preflight(settings, policy, database)
    shown = as_json(results)["guardrails"]
    assert [row["number"] for row in shown] == list(range(1, 11))
    assert {frozenset(row) for row in shown} == {
        frozenset({"number", "name", "state", "seen", "blocks", "remedy", "since"})
    }
    for row in shown:
        assert row["state"] in ("passed", "failed", "unverifiable", "not_applicable")
        assert isinstance(row["since"], str)
        assert datetime.fromisoformat(row["since"]) <= datetime.now(UTC)


def test_preflight_is_a_go_once_a_list_is_there(
    database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    from lead_intel.dnc.snapshots import import_shipped_list

    assert not is_go(preflight(settings, policy, database), policy, settings)
    import_shipped_list(database, settings)
    assert is_go(preflight(settings, policy, database), policy, settings)


def test_preflight_of_an_unknown_upload_is_a_usage_error(
    database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    with pytest.raises(UsageError):
        preflight(settings, policy, database, "upl_20261124_0123456789")


def test_no_result_holds_a_secret(database: psycopg.Connection, settings: Settings, policy: Policy) -> None:
    text = str(preflight(settings, policy, database))
    for name, value in settings:
        if hasattr(value, "get_secret_value"):
            assert value.get_secret_value() not in text, name
