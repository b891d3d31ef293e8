"""Merging: the most trusted vendor that has a field gives it, and the merged row says who did."""

from __future__ import annotations

import json

import pandas as pd

from lead_intel.contract import EnrichedLeads, checked
from lead_intel.enrichment.merge import Rule, as_json, merge, values_of

TRUST = ("people_data_labs", "zerobounce", "trestle")


def answers(rows: dict[str, tuple[str, dict[str, object]]], day: str = "2026-11-24") -> pd.DataFrame:
    return pd.DataFrame(
        [(lead, outcome, json.dumps(fields)) for lead, (outcome, fields) in rows.items()],
        columns=["lead_id", "outcome", "fields"],
        dtype="str",
    ).assign(answered_at=pd.Timestamp(day, tz="UTC").as_unit("us"))


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
    return checked(merge(leads, given, Rule(trust)), EnrichedLeads).set_index("lead_id")


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
    empty = answers({})
    frame = merge(empty["lead_id"], dict.fromkeys(TRUST, empty), Rule(TRUST))
    assert checked(frame, EnrichedLeads).empty


COUNTS = {"email_status": ("valid", "invalid", "catch-all")}


def values(given: dict[str, pd.DataFrame], rule: Rule) -> list[tuple[str, str, str, bool]]:
    """Who said what of lead a, and what was taken; in order of preference."""
    frame = as_json(values_of(pd.Series(["a"], dtype="str"), given, rule))
    return [(row.field, row.vendor, row.value, row.chosen) for row in frame.itertuples()]


def test_values_that_lost_are_kept_beside_the_one_that_was_taken() -> None:
    given = {
        "zerobounce": answers({"a": ("ok", {"email_status": "invalid"})}),
        "never_bounce": answers({"a": ("ok", {"email_status": "valid"})}),
    }
    assert values(given, Rule(("zerobounce", "never_bounce"), COUNTS)) == [
        ("email_status", "zerobounce", '"invalid"', True),
        ("email_status", "never_bounce", '"valid"', False),
    ]


def test_a_value_that_counts_as_found_goes_before_a_trusted_unknown() -> None:
    given = {
        "zerobounce": answers({"a": ("no_match", {"email_status": "unknown"})}),
        "never_bounce": answers({"a": ("ok", {"email_status": "valid"})}),
    }
    rule = Rule(("zerobounce", "never_bounce"), COUNTS)
    assert [(vendor, chosen) for _, vendor, _, chosen in values(given, rule)] == [
        ("never_bounce", True),
        ("zerobounce", False),
    ]
    assert merge(pd.Series(["a"], dtype="str"), given, rule).loc[0, "email_status"] == "valid"


def test_between_vendors_of_equal_trust_the_fresher_answer_is_taken() -> None:
    given = {
        "first": answers({"a": ("ok", {"company": "old"})}, "2026-10-01"),
        "second": answers({"a": ("ok", {"company": "new"})}, "2026-11-01"),
    }
    assert values(given, Rule(())) == [("company", "second", '"new"', True), ("company", "first", '"old"', False)]
    assert values(given, Rule(("first",)))[0] == ("company", "first", '"old"', True)


def test_each_value_has_its_time_and_the_vendors_own_score_as_a_share() -> None:
    given = {"people_data_labs": answers({"a": ("ok", {"company": 'a "b" \n', "match_likelihood": 8.0})})}
    rule = Rule(TRUST, scores={"people_data_labs": ("match_likelihood", 10.0)})
    frame = as_json(values_of(pd.Series(["a", "b"], dtype="str"), given, rule)).set_index("field")
    assert frame.loc["company", "confidence"] == 0.8
    assert frame.loc["company", "answered_at"] == pd.Timestamp("2026-11-24", tz="UTC")
    assert json.loads(frame.loc["company", "value"]) == 'a "b" \n'
    assert frame["lead_id"].tolist() == ["a", "a"]


def test_the_order_in_which_vendors_are_given_decides_nothing() -> None:
    given = {
        name: answers({"a": ("ok", {"company": name, "litigator_risk": True})}) for name in ("z", "y", "x", "trestle")
    }
    backwards = dict(reversed(given.items()))
    assert values(given, Rule(("x",))) == values(backwards, Rule(("x",)))
