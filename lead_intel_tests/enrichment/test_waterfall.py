"""Waterfalls: the next vendor is paid only for leads that the one before did not find; counted at the ledger."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import pandas as pd
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lead_intel.enrichment.fan_out import Errand, VendorResult, fan_out
from lead_intel.enrichment.merge import Rule, as_json, merged_of, values_of
from lead_intel.enrichment.waterfall import calls_in_turn, chains, found
from lead_intel.errors import Stopped
from lead_intel.policy import FieldGroup, Policy, Vendors
from lead_intel.record import enriched_values, enrichments
from lead_intel.settings import Settings

UPLOAD = "upl_20261124_wwwwwwwwww"
LEADS = 60
EMAIL_VENDORS = ("zerobounce", "never_bounce")
COUNTS = ("valid", "invalid", "catch-all", "spamtrap", "abuse", "do_not_mail")


def people() -> pd.DataFrame:
    rows = range(LEADS)
    frame = pd.DataFrame(
        {"lead_id": [str(uuid.UUID(int=row)) for row in rows], "phone": [12125300000 + r for r in rows]}
    )
    frame["email"] = ["" if row % 20 == 0 else f"person{row}@example.com" for row in rows]
    for name in ("first_name", "last_name", "city", "state", "postal_code"):
        frame[name] = ""
    return frame.astype({"lead_id": "str", "email": "str"})


@pytest.fixture
def ask(database: psycopg.Connection, settings: Settings, policy: Policy, sandbox: Any) -> Any:
    """Ask the e-mail vendors; `mode` as in policy."""
    database.execute(
        "insert into lead_intel.lead_ingestions (upload, supplier, sha256, sample_percent) values (%s, 'a', 'x', 100)",
        (UPLOAD,),
    )

    def run(vendors: tuple[str, ...] = EMAIL_VENDORS, mode: Any = "waterfall", **more: Any) -> dict[str, VendorResult]:
        email = FieldGroup(mode=mode, vendors=EMAIL_VENDORS, found={"email_status": COUNTS})
        trestle = policy.limits_of("trestle").model_copy(update={"package_days": more.get("package_days", {})})
        asked = policy.vendors.model_copy(
            update={
                "vendors": policy.vendors.vendors | {"trestle": trestle},
                "enrichment": (*EMAIL_VENDORS, "trestle"),
                "groups": policy.vendors.groups | {"email": email},
            }
        )
        errand = Errand(
            settings, policy.model_copy(update={"vendors": asked}), UPLOAD, "a", more.get("stop", threading.Event())
        )
        return fan_out(people(), vendors, errand, lambda _done, _all: None)

    return run


def statuses(result: VendorResult) -> pd.Series:
    return result.frame["fields"].map(lambda text: json.loads(text).get("email_status", ""))


def test_the_second_vendor_is_paid_for_exactly_the_leads_that_the_first_did_not_find(ask: Any, sandbox: Any) -> None:
    # Every third address cannot be judged by the first vendor.
    sandbox.fault("zerobounce", "status", options={"status": "unknown", "every": 3})
    results = ask()
    missed = (~statuses(results["zerobounce"]).isin(COUNTS)) & (people()["email"] != "")
    assert 0 < missed.sum() < LEADS - 3
    ledger = sandbox.ledger()
    assert ledger["zerobounce"]["paid_calls"] == LEADS - 3
    assert ledger["never_bounce"]["paid_calls"] == missed.sum()
    second = results["never_bounce"].frame["outcome"]
    assert (second[missed].isin(("ok", "no_match"))).all()
    assert second.value_counts().to_dict().get("found") == LEADS - 3 - missed.sum()
    assert (second[people()["email"] == ""] == "not_asked").all()
    sandbox.clear()
    again = ask()
    assert sandbox.ledger()["never_bounce"]["paid_calls"] == missed.sum()
    for vendor in EMAIL_VENDORS:
        pd.testing.assert_frame_equal(again[vendor].frame, results[vendor].frame)


def test_invalid_counts_as_found_and_the_waterfall_stops(ask: Any, sandbox: Any) -> None:
    sandbox.fault("zerobounce", "status", options={"status": "invalid"})
    ask()
    assert sandbox.ledger()["never_bounce"]["calls"] == 0


def test_a_parallel_group_asks_every_vendor_about_everybody(ask: Any, sandbox: Any) -> None:
    ask(mode="parallel")
    assert {vendor: sandbox.ledger()[vendor]["paid_calls"] for vendor in EMAIL_VENDORS} == dict.fromkeys(
        EMAIL_VENDORS, LEADS - 3
    )


@pytest.mark.parametrize("kind", ["unauthorized", "server_error"])
def test_a_first_vendor_that_is_refused_or_broken_leaves_everybody_to_the_second(
    ask: Any, sandbox: Any, kind: str
) -> None:
    sandbox.fault("zerobounce", kind)
    results = ask((*EMAIL_VENDORS, "trestle"))
    assert sandbox.ledger()["zerobounce"]["paid_calls"] == 0
    assert sandbox.ledger()["never_bounce"]["paid_calls"] == LEADS - 3
    assert set(results["zerobounce"].frame["outcome"]) <= {"auth", "vendor_error", "not_asked"}
    assert results["trestle"].frame["answered_at"].notna().all()


def test_the_second_vendor_alone_pays_only_for_what_the_first_has_not_found_earlier(ask: Any, sandbox: Any) -> None:
    sandbox.fault("zerobounce", "status", options={"status": "unknown", "every": 2})
    first = ask(("zerobounce",))["zerobounce"]
    missed = (~statuses(first).isin(COUNTS)) & (people()["email"] != "")
    calls = sandbox.ledger()["zerobounce"]["calls"]
    results = ask(("never_bounce",))
    assert set(results) == {"never_bounce"}
    assert sandbox.ledger()["zerobounce"]["calls"] == calls
    assert sandbox.ledger()["never_bounce"]["paid_calls"] == missed.sum()


def test_a_stop_in_the_first_vendor_asks_the_second_nothing_and_a_resume_pays_nothing_twice(
    ask: Any, sandbox: Any
) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        ask(stop=stop)
    assert sandbox.ledger()["never_bounce"]["calls"] == 0
    sandbox.fault("zerobounce", "status", options={"status": "unknown"})
    ask()
    ledger = sandbox.ledger()
    assert [ledger[vendor]["paid_calls"] for vendor in EMAIL_VENDORS] == [LEADS - 3, LEADS - 3]
    assert [ledger[vendor]["distinct_keys"] for vendor in EMAIL_VENDORS] == [LEADS - 3, LEADS - 3]


def test_every_vendors_value_is_kept_with_its_time_and_one_is_chosen(
    ask: Any, sandbox: Any, database: psycopg.Connection
) -> None:
    sandbox.fault("zerobounce", "status", options={"status": "unknown"})
    frames = {vendor: result.frame for vendor, result in ask().items()}
    lead_ids, rule = people()["lead_id"], Rule(EMAIL_VENDORS, {"email_status": COUNTS})
    values = values_of(lead_ids, frames, rule)
    enriched_values.replace(database, UPLOAD, as_json(values))
    enriched_values.replace(database, UPLOAD, as_json(values))
    kept = database.execute(
        "select count(*), count(*) filter (where chosen), count(distinct lead_id), bool_and(answered_at <= now()) "
        "from lead_intel.enriched_values where field = 'email_status'"
    ).fetchone()
    assert kept == (2 * (LEADS - 3), LEADS - 3, LEADS - 3, True)
    chosen = database.execute(
        "select lead_id::text, value #>> '{}' from lead_intel.enriched_values where field = 'email_status' and chosen"
    ).fetchall()
    merged = merged_of(lead_ids, frames, rule, values)
    assert dict(chosen) == dict(merged.loc[merged["email_status"] != "", ["lead_id", "email_status"]].to_numpy())
    rate = enrichments.found_rate(database, "never_bounce", {"email_status": COUNTS})
    assert rate == statuses_of(frames["never_bounce"]).isin(COUNTS).sum() / (LEADS - 3)
    assert enrichments.found_rate(database, "zerobounce", {"email_status": COUNTS}) == 0
    assert enrichments.found_rate(database, "trestle", {"activity_score": ()}) is None


def statuses_of(frame: pd.DataFrame) -> pd.Series:
    return statuses(VendorResult(frame, 0, None, None))


def test_the_shipped_policy_asks_the_three_vendors_side_by_side(policy: Policy) -> None:
    assert [names for _, names in chains(policy.vendors)] == [("people_data_labs",), ("zerobounce",), ("trestle",)]


def test_a_lead_is_found_when_every_field_has_a_value_that_counts() -> None:
    fields = pd.DataFrame({"email_status": ["valid", "unknown", None], "company": ["x", "x", ""]}, dtype="object")
    assert found(fields, {"email_status": ("valid",)}).tolist() == [True, False, False]
    assert found(fields, {"email_status": ("valid",), "company": ()}).tolist() == [True, False, False]
    assert found(fields, {"company": ()}).tolist() == [True, True, False]
    assert found(fields, {"seniority": ()}).tolist() == [False, False, False]


LEGS = st.lists(st.tuples(st.sets(st.integers(0, 30)), st.floats(0, 1)), max_size=4)


def questions(leads: set[int]) -> pd.Series:
    """Every two neighbours share a question."""
    index = sorted(leads)
    return pd.Series([f"s{lead // 2}" for lead in index], index=index, dtype="str")


@given(LEGS)
def test_the_most_likely_calls_never_exceed_the_most(legs: list[tuple[set[int], float]]) -> None:
    asked = [questions(leads) for leads, _ in legs]
    told = calls_in_turn(pd.RangeIndex(31), asked, [rate for _, rate in legs])
    assert [one.most for one in told] == [len(set(of)) for of in asked]
    assert all(0 <= one.most_likely <= one.most + 1e-9 for one in told)
    if told:
        assert told[0].most_likely == told[0].most


def test_a_second_vendor_most_likely_gets_the_share_that_the_first_does_not_find() -> None:
    everybody = pd.Series([str(lead) for lead in range(1000)])
    first, second = calls_in_turn(everybody.index, [everybody, everybody.head(800)], [0.9, 0.0])
    assert (first.most_likely, round(second.most_likely, 6)) == (1000, 80)
    # Whom the first has answered about already, without finding, comes to the second for certain.
    _, second = calls_in_turn(everybody.index, [everybody.head(500), everybody], [0.9, 0.0])
    assert round(second.most_likely, 6) == 550


def test_a_lead_that_the_second_vendor_found_buys_nothing_of_the_first_on_a_later_run(ask: Any, sandbox: Any) -> None:
    sandbox.fault("zerobounce", "server_error")
    found_by_second = statuses(ask()["never_bounce"]).isin(COUNTS)
    assert found_by_second.any()
    sandbox.clear()
    before = {vendor: sandbox.ledger()[vendor]["paid_calls"] for vendor in EMAIL_VENDORS}
    again = ask()
    paid = {vendor: sandbox.ledger()[vendor]["paid_calls"] - before[vendor] for vendor in EMAIL_VENDORS}
    # Only whom the second could not judge is left to the first.
    assert paid == {"zerobounce": LEADS - 3 - found_by_second.sum(), "never_bounce": 0}
    assert (again["zerobounce"].frame["outcome"][found_by_second] == "found").all()


def test_a_package_with_days_of_its_own_is_bought_again_after_those(ask: Any, sandbox: Any) -> None:
    for days, paid in (({}, LEADS), ({"another": 0}, LEADS), ({"phone_intel": 0}, 2 * LEADS)):
        ask(("trestle",), package_days=days)
        assert sandbox.ledger()["trestle"]["paid_calls"] == paid


def test_a_package_is_not_kept_for_longer_than_the_terms_allow(policy: Policy) -> None:
    terms = {"trestle": {"keep_days": 30, "note": "a", "source": "b"}}
    told = policy.vendors.model_dump() | {"terms": terms}
    Vendors.model_validate(told)
    told["vendors"]["trestle"]["package_days"] = {"phone_intel": 31}
    with pytest.raises(ValidationError, match="keep_days"):
        Vendors.model_validate(told)
