"""The truth table: what each source says against the verdict, alone and together."""

from datetime import UTC, date, datetime, timedelta
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lead_intel.dnc import verdicts
from lead_intel.dnc.verdicts import Findings, RegistrySays, Suppressed
from lead_intel.policy import Policy

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TODAY = NOW.date()
PHONE = 12125550101

LEAD = {
    "lead_id": "00000000-0000-0000-0000-000000000001",
    "phone": PHONE,
    "region": "US",
    "email": "ann@example.com",
    "consent_source": "web_form",
    "consent_at": "2026-10-01T10:00:00Z",
    "consent_url": "https://example.com/form",
    "consent_text": "I agree",
    "consent_ip": "192.0.2.1",
    "consent_seller": "Example Inc.",
    "consent_channel": "phone",
    "consent_purpose": "",
}
LOOKUP = {
    "phone": PHONE,
    "outcome": "ok",
    "valid": True,
    "line_type": "mobile",
    "carrier_name": "Carrier",
    "error_code": 0,
}
ANSWER = {"phone": PHONE, "result_code": "C", "reason": "", "answered_at": pd.Timestamp(NOW)}
FRESH = RegistrySays(np.array([False]), np.array([True]), TODAY)


def one(row: dict[str, object], **changes: object) -> pd.DataFrame:
    return pd.DataFrame([row | changes])


def judged(
    policy: Policy,
    *,
    lead: dict[str, object] | None = None,
    lookup: dict[str, object] | None = None,
    registry: RegistrySays | None = FRESH,
    suppressed: tuple[bool, bool] = (False, False),
    answer: dict[str, object] | None = ANSWER,
    profile: str = "strict",
    now: datetime = NOW,
) -> tuple[str, set[str]]:
    leads = one(LEAD, **(lead or {}))
    lookups = one(LOOKUP, **(lookup or {}))
    findings = verdicts.own_findings(
        leads,
        lookups,
        registry,
        Suppressed(np.array([suppressed[0]]), np.array([suppressed[1]])),
        profile=profile,  # type: ignore[arg-type]
        policy=policy,
        now=now,
    )
    answers = one(answer or ANSWER).iloc[: 1 if answer else 0]
    verdicts.vendor_findings(findings, leads["phone"], findings.may_send, answers, policy.dnc.vendor_codes)
    return findings.verdicts()[0], {reason for reason in findings.reasons()[0].split("|") if reason}


def test_a_lead_that_nobody_speaks_against_may_be_contacted(policy: Policy) -> None:
    assert judged(policy) == ("send", set())


def says(listed: bool = False, covered: bool = True, age: int = 0) -> RegistrySays:
    return RegistrySays(np.array([listed]), np.array([covered]), TODAY - timedelta(days=age))


@pytest.mark.parametrize(
    ("source", "verdict", "reason"),
    [
        ({"registry": says(listed=True)}, "block", "dnc_registry"),
        ({"registry": says(covered=False)}, "hold", "not_scrubbed"),
        ({"registry": says(age=32)}, "hold", "dnc_list_stale"),
        ({"registry": None}, "hold", "dnc_list_missing"),
        ({"suppressed": (True, False)}, "block", "suppressed_phone"),
        ({"suppressed": (False, True)}, "block", "suppressed_email"),
        ({"answer": None}, "hold", "dnc_no_answer"),
        ({"answer": ANSWER | {"result_code": "D"}}, "block", "dnc_vendor_d"),
        ({"answer": ANSWER | {"result_code": "L"}}, "hold", "dnc_vendor_l"),
        ({"answer": ANSWER | {"result_code": "?"}}, "block", "dnc_vendor_unknown_code"),
        ({"answer": ANSWER | {"result_code": ""}}, "block", "dnc_vendor_unknown_code"),
        ({"answer": ANSWER | {"reason": "Litigator"}}, "block", "litigator"),
        ({"lookup": {"valid": False}}, "block", "phone_invalid"),
        ({"lookup": {"valid": False, "outcome": "invalid"}}, "block", "phone_invalid"),
        ({"lookup": {"outcome": "timeout"}}, "hold", "lookup_no_answer"),
        ({"lookup": {"outcome": "rate_limited", "valid": False}}, "hold", "lookup_no_answer"),
        ({"lookup": {"phone": PHONE + 1}}, "hold", "lookup_no_answer"),
        ({"lookup": {"line_type": "tollFree"}}, "block", "line_type_toll_free"),
        ({"lookup": {"line_type": "pager"}}, "hold", "line_type_pager"),
        ({"lead": {"region": "CA"}}, "hold", "region_not_contactable"),
        ({"lead": {"consent_seller": "  "}}, "hold", "consent_evidence_missing"),
        ({"lead": {"consent_text": "", "consent_url": ""}}, "hold", "consent_evidence_missing"),
        ({"lead": {"consent_at": ""}}, "hold", "consent_evidence_missing"),
        ({"lead": {"consent_at": "last week"}}, "hold", "consent_time_invalid"),
        ({"lead": {"consent_at": "2026-11-24T13:00:00Z"}}, "hold", "consent_time_invalid"),
        ({"lead": {"consent_at": "2027-01-01"}}, "hold", "consent_time_invalid"),
        ({"lead": {"consent_at": "2020-01-01"}}, "hold", "consent_too_old"),
    ],
)
def test_each_source_alone(policy: Policy, source: dict[str, object], verdict: str, reason: str) -> None:
    assert judged(policy, **source) == (verdict, {reason})  # type: ignore[arg-type]


@pytest.mark.parametrize("evidence", [{"consent_text": ""}, {"consent_url": ""}])
def test_one_of_two_alternatives_is_enough(policy: Policy, evidence: dict[str, object]) -> None:
    assert judged(policy, lead=evidence) == ("send", set())


def test_three_columns_are_held_under_strict_and_sent_under_lenient(policy: Policy) -> None:
    bare = {column: "" for column in LEAD if column.startswith("consent_") and column != "consent_source"}
    assert judged(policy, lead=bare, answer=None) == ("hold", {"consent_evidence_missing"})
    assert judged(policy, lead=bare, profile="lenient") == ("send", set())


@pytest.mark.parametrize(
    ("listed", "covered", "stale", "suppressed", "invalid", "evidence"),
    list(product([False, True], repeat=6)),
)
def test_together_the_worst_decides_and_all_reasons_are_kept(
    policy: Policy, listed: bool, covered: bool, stale: bool, suppressed: bool, invalid: bool, evidence: bool
) -> None:
    expected = {
        "dnc_registry": listed,
        "not_scrubbed": not covered,
        "dnc_list_stale": stale,
        "suppressed_phone": suppressed,
        "phone_invalid": invalid,
        "consent_evidence_missing": not evidence,
    }
    verdict, reasons = judged(
        policy,
        registry=says(listed, covered, 32 if stale else 0),
        suppressed=(suppressed, False),
        lookup={"valid": not invalid},
        lead={} if evidence else {"consent_seller": ""},
    )
    assert reasons == {reason for reason, holds in expected.items() if holds}
    blocked = listed or suppressed or invalid
    assert verdict == ("block" if blocked else "hold" if reasons else "send")


@pytest.mark.parametrize(("age", "verdict"), [(0, "send"), (30, "send"), (31, "send"), (32, "hold")])
def test_a_list_holds_on_its_thirty_first_day_and_not_on_the_next(policy: Policy, age: int, verdict: str) -> None:
    for clock in (NOW.replace(hour=0, minute=0), NOW.replace(hour=23, minute=59)):
        assert judged(policy, registry=says(age=age), now=clock)[0] == verdict


def test_freshness_is_that_of_the_source_that_ages_first() -> None:
    phones = pd.Series([PHONE, PHONE + 1])
    answers = one(ANSWER, answered_at=pd.Timestamp(NOW - timedelta(days=2)))
    registry = RegistrySays(np.array([False, False]), np.array([True, True]), date(2026, 11, 1))
    until = verdicts.fresh_until(phones, registry, answers, fresh_days=31, answer_days=7, now=NOW)
    assert until[0] == pd.Timestamp(NOW + timedelta(days=5))
    assert until[1] == pd.Timestamp("2026-12-03T00:00:00Z")


def test_without_a_list_nothing_is_fresh() -> None:
    none = one(ANSWER).iloc[:0]
    until = verdicts.fresh_until(pd.Series([PHONE]), None, none, fresh_days=31, answer_days=7, now=NOW)
    assert until[0] == pd.Timestamp(NOW)


@given(
    st.lists(
        st.tuples(st.sampled_from(["send", "hold", "block"]), st.lists(st.booleans(), min_size=4, max_size=4)),
        max_size=40,
    )
)
def test_findings_keep_every_reason_and_the_worst_level(noted: list[tuple[str, list[bool]]]) -> None:
    findings = Findings(4)
    for number, (level, flags) in enumerate(noted):
        findings.add(f"r{number}", level, flags)  # type: ignore[arg-type]
    order = ["send", "hold", "block"]
    for lead in range(4):
        mine = [(f"r{number}", level) for number, (level, flags) in enumerate(noted) if flags[lead]]
        assert findings.reasons()[lead] == "|".join(reason for reason, _ in mine)
        assert findings.verdicts()[lead] == max([level for _, level in mine], key=order.index, default="send")


@pytest.mark.parametrize(
    "text",
    [
        "2026-10-01", "2026-10-01T10:00:00Z", "2026-10-01 10:00:00", "2026-10-01T10:00:00.123456+02:00",
        "10/01/2026", "10/01/2026 10:15", "10/1/2026 10:15:30", "10/01/2026 10:15 PM", "1790848800", "1790848800000",
        " 2026-10-01 ",
    ],
)  # fmt: skip
def test_consent_times_that_lists_carry_are_understood(policy: Policy, text: str) -> None:
    assert judged(policy, lead={"consent_at": text}) == ("send", set())


@pytest.mark.parametrize(
    "text",
    ["yes", "2026", "2026-10", "2026-13-01", "31/12/2025", "01.10.2026", "0", "46296", "2026-10-01T25:00", "NaT"],
)
def test_consent_times_that_could_be_misread_are_held(policy: Policy, text: str) -> None:
    assert judged(policy, lead={"consent_at": text}) == ("hold", {"consent_time_invalid"})
