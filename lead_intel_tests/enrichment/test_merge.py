"""Merging: the most trusted vendor that has a field gives it, and the merged row says who did."""

from __future__ import annotations

import json

import pandas as pd

from lead_intel.contract import EnrichedLeads, checked
from lead_intel.enrichment.merge import merge

TRUST = ("people_data_labs", "zerobounce", "trestle")


def answers(rows: dict[str, tuple[str, dict[str, object]]]) -> pd.DataFrame:
    return pd.DataFrame(
        [(lead, outcome, json.dumps(fields)) for lead, (outcome, fields) in rows.items()],
        columns=["lead_id", "outcome", "fields"],
    ).astype("str")


def merged(trust: tuple[str, ...] = TRUST) -> pd.DataFrame:
    given = {
        "trestle": answers(
            {
                "a": ("ok", {"activity_score": 82.0, "litigator_risk": True, "company": "from trestle"}),
                "b": ("timeout", {}),
            }
        ),
        "people_data_labs": answers(
            {
                "a": ("ok", {"job_title": "chef", "company": "contoso", "seniority": "", "match_likelihood": 8.0}),
                "b": ("no_match", {}),
            }
        ),
        "zerobounce": answers({"a": ("not_asked", {}), "b": ("ok", {"email_status": "catch-all"})}),
    }
    leads = pd.Series(["b", "a", "c"], dtype="str")
    return checked(merge(leads, given, trust), EnrichedLeads).set_index("lead_id")


def test_fields_come_from_the_most_trusted_vendor_with_their_source() -> None:
    row = merged().loc["a"]
    assert (row.company, row.job_title, row.seniority, row.activity_score) == ("contoso", "chef", "", 82.0)
    assert row.litigator_risk
    assert json.loads(row.provenance) == {
        "job_title": "people_data_labs",
        "company": "people_data_labs",
        "activity_score": "trestle",
        "match_likelihood": "people_data_labs",
        "litigator_risk": "trestle",
    }


def test_another_order_of_trust_gives_another_source() -> None:
    row = merged(("trestle", "people_data_labs")).loc["a"]
    assert row.company == "from trestle"
    assert json.loads(row.provenance)["company"] == "trestle"


def test_every_vendors_outcome_is_kept() -> None:
    frame = merged()
    assert json.loads(frame.loc["b"].outcomes) == {
        "people_data_labs": "no_match",
        "zerobounce": "ok",
        "trestle": "timeout",
    }
    assert frame.loc["b"].email_status == "catch-all"
    assert pd.isna(frame.loc["b"].litigator_risk)
    assert pd.isna(frame.loc["b"].activity_score)


def test_a_lead_that_no_vendor_answered_for_is_there_and_empty() -> None:
    row = merged().loc["c"]
    assert (row.email_status, row.provenance, row.outcomes) == ("", "{}", "{}")


def test_the_empty_sample_merges_to_the_empty_frame() -> None:
    empty = pd.DataFrame({name: pd.Series(dtype="str") for name in ("lead_id", "outcome", "fields")})
    frame = merge(empty["lead_id"], dict.fromkeys(TRUST, empty), TRUST)
    assert checked(frame, EnrichedLeads).empty
