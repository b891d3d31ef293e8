"""Packages by policy, and every refusal through the wire: what is asked, what is paid, what a failure costs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import psycopg
import pytest

from lead_intel.contract import LINE_TYPES, PhoneLookups, checked
from lead_intel.errors import Paused
from lead_intel.lookup.alerts import alerts
from lead_intel.lookup.lookup import LookedUp, look_up
from lead_intel.policy import LookupPackage, Policy
from lead_intel.settings import Settings

UPLOAD = "upl_20261124_aaaaaaaaaa"
PHONES = [12125200000 + n for n in range(50)]
CALLER_NAME = LookupPackage(price_usd=Decimal("0.010"), cache_days=90, line_types=("mobile", "landline"))
LINE_STATUS = LookupPackage(price_usd=Decimal("0.005"), cache_days=1, line_types=("mobile",))
BOTH: Any = {"caller_name": CALLER_NAME, "line_status": LINE_STATUS}


@pytest.fixture
def run(database: psycopg.Connection, settings: Settings, policy: Policy) -> Callable[..., LookedUp]:
    database.execute(
        "insert into lead_intel.lead_ingestions (upload, supplier, sha256) values (%s, 'acme', 'x')", (UPLOAD,)
    )

    def look(phones: list[int], further: Any = None, errors_billed: str = "no", **limits: Any) -> LookedUp:
        changed = policy.limits_of("twilio_lookup").model_copy(update=limits)
        vendors = policy.vendors.model_copy(update={"vendors": {**policy.vendors.vendors, "twilio_lookup": changed}})
        asked = {"further_packages": further or {}, "package_errors_billed": errors_billed}
        looked_up = look_up(
            pd.Series(phones, dtype="int64"),
            database,
            settings=settings,
            policy=policy.model_copy(update={"vendors": vendors, "lookup": policy.lookup.model_copy(update=asked)}),
            upload=UPLOAD,
            supplier="acme",
            stop=threading.Event(),
            progress=lambda done, total: None,
            before_paying=lambda: None,
        )
        checked(looked_up.frame, PhoneLookups)
        return looked_up

    return look


def settled(database: psycopg.Connection) -> Decimal:
    row: Any = database.execute("select settled from lead_intel.spend_budgets where scope = 'upload'").fetchone()
    return Decimal(row[0])


def asked_fields(sandbox: Any) -> Counter[str]:
    return Counter(call["note"]["fields"][0] for call in sandbox.calls("twilio_lookup") if "fields" in call["note"])


def test_only_the_line_type_is_asked_by_default(run: Any, sandbox: Any, policy: Policy) -> None:
    assert policy.lookup.further_packages == {}
    assert run(PHONES).further == {}
    assert asked_fields(sandbox) == {"line_type_intelligence": 50}


def test_further_packages_are_asked_about_their_line_types_and_each_costs_its_price(
    run: Any, sandbox: Any, database: psycopg.Connection
) -> None:
    looked_up = run(PHONES, BOTH)
    types = Counter(looked_up.frame["line_type"])
    named, mobile = types["mobile"] + types["landline"], types["mobile"]
    assert asked_fields(sandbox) == {"line_type_intelligence": 50, "caller_name": named, "line_status": mobile}
    assert sandbox.ledger()["twilio_lookup"]["paid_calls"] == 50 + named + mobile
    assert settled(database) == 50 * Decimal("0.008") + named * Decimal("0.010") + mobile * Decimal("0.005")
    (row,) = database.execute(
        "select count(*) filter (where fields->>'caller_type' in ('CONSUMER', 'BUSINESS')), "
        "count(*) filter (where fields->>'caller_type' = '') from lead_intel.phone_lookups "
        "where package = 'caller_name'"
    ).fetchall()
    assert row[0] > 0 < row[1], "no name found is an answer too, and kept"
    assert sum(row) == named


def test_each_package_has_an_age_of_its_own(run: Any, sandbox: Any, database: psycopg.Connection) -> None:
    run(PHONES, BOTH)
    for table in ("phone_lookups", "vendor_calls"):
        database.execute(f"update lead_intel.{table} set answered_at = now() - interval '2 days'")
    before = asked_fields(sandbox)
    again = run(PHONES, BOTH)
    mobile = Counter(again.frame["line_type"])["mobile"]
    assert asked_fields(sandbox) - before == {"line_status": mobile}
    assert (again.calls, again.further["caller_name"].calls) == (None, None)


def test_a_package_that_fails_costs_neither_money_nor_the_other_answers(
    run: Any, sandbox: Any, database: psycopg.Connection
) -> None:
    sandbox.fault("twilio_lookup", "package_error", options={"package": "caller_name", "code": 60600})
    looked_up = run(PHONES, BOTH)
    assert set(looked_up.frame["error_code"]) == {0}
    assert set(looked_up.further["caller_name"].frame["error_code"]) == {60600}
    assert set(looked_up.further["line_status"].frame["error_code"]) == {0}
    mobile = Counter(looked_up.frame["line_type"])["mobile"]
    assert settled(database) == 50 * Decimal("0.008") + mobile * Decimal("0.005")
    sandbox.clear()
    assert run(PHONES, BOTH).further["caller_name"].calls is None, "a negative answer is kept as well"


def test_where_policy_says_that_errors_are_billed_they_count_as_spent(
    run: Any, sandbox: Any, database: psycopg.Connection
) -> None:
    sandbox.fault("twilio_lookup", "package_error", options={"code": 60610})
    run(PHONES[:10], errors_billed="unknown")
    assert settled(database) == 10 * Decimal("0.008")


def test_a_package_that_is_not_enabled_pauses_after_the_line_types_and_nothing_is_paid_twice(
    run: Any, sandbox: Any
) -> None:
    sandbox.fault("twilio_lookup", "package_error", options={"package": "line_status", "code": 60606})
    with pytest.raises(Paused) as paused:
        run(PHONES, BOTH)
    assert paused.value.code == "credentials"
    sandbox.clear()
    looked_up = run(PHONES, BOTH)
    assert (looked_up.calls, looked_up.further["caller_name"].calls) == (None, None)
    keys = sum(asked_fields(sandbox).values())
    types = Counter(looked_up.frame["line_type"])
    assert sandbox.ledger()["twilio_lookup"]["paid_calls"] == 50 + 2 * types["mobile"] + types["landline"] <= keys


VALIDATION_ERRORS = (
    "TOO_SHORT", "TOO_LONG", "INVALID_BUT_POSSIBLE", "INVALID_COUNTRY_CODE", "INVALID_LENGTH", "NOT_A_NUMBER",
)  # fmt: skip
WITH_CARRIER = {"mobile", "landline", "fixedVoip", "nonFixedVoip"}


def test_each_line_type_comes_through(run: Any, sandbox: Any) -> None:
    for phone, line_type in zip(PHONES, LINE_TYPES, strict=False):
        sandbox.fault("twilio_lookup", "line_type", options={"type": line_type, "match": str(phone)})
    frame = run(PHONES[:12]).frame
    assert tuple(frame["line_type"]) == LINE_TYPES
    assert set(frame.loc[frame["carrier_name"] != "unknown", "line_type"]) == WITH_CARRIER


def test_each_validation_error_is_kept_and_free(run: Any, sandbox: Any, database: psycopg.Connection) -> None:
    for phone, error in zip(PHONES, VALIDATION_ERRORS, strict=False):
        sandbox.fault("twilio_lookup", "invalid", options={"error": error, "match": str(phone)})
    assert set(run(PHONES[:6]).frame["outcome"]) == {"invalid"}
    kept = database.execute(
        "select valid, fields->'validation_errors' from lead_intel.phone_lookups order by phone"
    ).fetchall()
    assert kept == [(False, [error]) for error in VALIDATION_ERRORS]
    assert sandbox.ledger()["twilio_lookup"]["paid_calls"] == 0


ROW_UNKNOWN = (60600, 60601, 60607, 60610, 60614, 60619)
PLACES: list[tuple[str, dict[str, Any]]] = [
    ("package_error", {}),
    ("refused", {"status": 400}),
    ("refused", {"status": 403, "form": "problem"}),
]


def test_codes_that_concern_one_number_make_it_unknown_wherever_they_stand(run: Any, sandbox: Any) -> None:
    cases = [(code, kind, how) for code in ROW_UNKNOWN for kind, how in PLACES]
    for phone, (code, kind, how) in zip(PHONES, cases, strict=False):
        sandbox.fault("twilio_lookup", kind, options={"code": code, "match": str(phone), **how})
    rows = run(PHONES).frame.drop(columns="phone").to_numpy().tolist()
    assert rows[: len(cases)] == [["ok", True, "unknown", "unknown", code] for code, _, _ in cases]
    assert {row[4] for row in rows[len(cases) :]} == {0}
    assert sandbox.ledger()["twilio_lookup"]["paid_calls"] == len(PHONES) - len(cases)


STOPS = [
    ("unauthorized", {}, "credentials"),
    ("unauthorized", {"code": 70051}, "credentials"),
    ("forbidden", {}, "credentials"),
    ("forbidden", {"code": 70051}, "credentials"),
    ("package_error", {"code": 60606}, "credentials"),
    ("refused", {"status": 400, "code": 60606}, "credentials"),
    ("refused", {"status": 403, "code": 20403, "form": "problem"}, "credentials"),
    ("quota", {}, "quota"),
    ("package_error", {"code": 60611}, "quota"),
    ("refused", {"status": 429, "code": 60611}, "quota"),
]


@pytest.mark.parametrize(("kind", "options", "reason"), STOPS)
def test_what_concerns_the_account_pauses_and_a_later_run_pays_only_for_the_rest(
    run: Any, sandbox: Any, database: psycopg.Connection, kind: str, options: dict[str, Any], reason: str
) -> None:
    sandbox.fault("twilio_lookup", kind, options={**options, "match": str(PHONES[30])})
    with pytest.raises(Paused) as paused:
        run(PHONES)
    assert paused.value.code == reason
    sandbox.clear()
    assert set(run(PHONES).frame["outcome"]) == {"ok"}
    ledger = sandbox.ledger()["twilio_lookup"]
    assert ledger["paid_calls"] == ledger["distinct_keys"] == 50
    assert settled(database) == 50 * Decimal("0.008")


def test_a_failure_of_one_number_labels_it_and_the_next_run_asks_again(run: Any, sandbox: Any) -> None:
    cases: list[tuple[str, dict[str, Any], int]] = [
        ("refused", {"status": 404, "code": 20404}, 20404),
        ("refused", {"status": 404, "code": 20404, "form": "problem"}, 20404),
        ("bad_gateway", {}, 0),
        ("package_error", {"code": 60608}, 60608),
        ("other_subject", {}, 0),
    ]
    for phone, (kind, options, _) in zip(PHONES, cases, strict=False):
        sandbox.fault("twilio_lookup", kind, options={**options, "match": str(phone)})
    frame = run(PHONES, attempts=2).frame
    assert frame["outcome"].tolist() == ["vendor_error"] * 5 + ["ok"] * 45
    assert frame["error_code"].tolist()[:5] == [code for _, _, code in cases]
    sandbox.clear()
    assert run(PHONES).calls.asked == 5


@pytest.mark.parametrize(
    "options", [{}, {"retry_after": 1}, {"retry_after": 1, "retry_after_form": "date"}, {"code": 60616}]
)
def test_a_call_that_was_too_fast_is_asked_again_and_paid_once(run: Any, sandbox: Any, options: dict[str, Any]) -> None:
    sandbox.fault("twilio_lookup", "rate_limited", options={**options, "count": 2})
    assert set(run(PHONES[:10]).frame["outcome"]) == {"ok"}
    ledger = sandbox.ledger()["twilio_lookup"]
    assert (ledger["calls"] >= 12, ledger["paid_calls"]) == (True, 10)


def test_an_allowed_pace_is_enforced_and_everything_is_answered_in_the_end(run: Any, sandbox: Any) -> None:
    sandbox.fault("twilio_lookup", "pace", options={"per_second": 20})
    assert set(run(PHONES).frame["outcome"]) == {"ok"}
    ledger = sandbox.ledger()["twilio_lookup"]
    assert (ledger["calls"] > 50, ledger["paid_calls"]) == (True, 50)


def test_what_somebody_has_to_arrange_is_said_once() -> None:
    said = alerts({60600: 4, 60601: 1200, 20404: 2})
    assert len(said) == 2
    assert said[0].startswith("1,200 Canadian numbers")
    assert alerts({60600: 4, 60610: 1}) == []
