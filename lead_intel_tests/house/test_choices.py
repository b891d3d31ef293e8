"""What a person chose after a plan was made: sample, profile. Nothing older is pushed, nothing chosen is forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from lead_intel.settings import REPOSITORY

SAMPLE = Path(REPOSITORY / "data" / "samples" / "leads.csv")
THREE_COLUMNS = str(REPOSITORY / "data" / "samples" / "three_columns.csv")


@pytest.fixture(scope="module")
def execute(house: Any) -> Any:
    """Changes the record as time, or a killed process, would."""
    url = house.answer("env")["DATABASE_URL"]

    def run(statement: str, upload: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement, {"upload": upload})

    return run


@pytest.fixture
def file(tmp_path: Path) -> str:
    copy = tmp_path / "leads.csv"
    copy.write_text(SAMPLE.read_text())
    return str(copy)


# First in its house: nobody else has brought these people yet.
def test_a_grown_sample_screens_again_what_ran_out_and_keeps_everybody(house: Any, file: str, execute: Any) -> None:
    first = house.answer("run", file, "--supplier", "stale", "--sample", "25", "--activate")
    upload = first["upload"]
    for statement in (
        "update lead_intel.dnc_verdicts set fresh_until = now() - interval '1 hour' where upload = %(upload)s",
        "update lead_intel.dnc_answers set answered_at = answered_at - interval '8 days'",
        "update lead_intel.vendor_calls set answered_at = answered_at - interval '8 days', "
        "subject = subject || 'x' where vendor = 'dncscrub'",
    ):
        execute(statement, upload)
    asked = house.ledger()["dncscrub"]["calls"]

    more = house.answer("run", file, "--supplier", "stale", "--sample", "40", "--activate")

    assert house.ledger()["dncscrub"]["calls"] > asked
    assert more["verdicts"]["send"] == first["verdicts"]["send"]
    assert more["activation"]["pushed"] > first["activation"]["pushed"]
    # Additions only: nobody was taken out and brought back.
    added = more["messages"]["sent"] - first["messages"]["sent"]
    assert added > 0
    assert sum(more["personas"].values()) == sum(first["personas"].values()) + added


def test_a_plan_without_a_chosen_sample_is_refused(house: Any, file: str) -> None:
    screened = house.answer("run", file, "--supplier", "unchosen")

    refused = house.answer("plan", screened["upload"], exit_code=2)

    assert refused["error"]["code"] == "sample_not_chosen"
    assert refused["state"] == "screened"


def test_a_sample_chosen_by_itself_is_enriched_and_pushed_by_the_next_run(house: Any, file: str) -> None:
    first = house.answer("run", file, "--supplier", "grows", "--sample", "10", "--activate")
    house.answer("sample", first["upload"], "50")

    more = house.answer("run", file, "--supplier", "grows", "--sample", "50", "--activate")

    assert more["state"] == "activated"
    assert more["sample"]["leads"] > 3 * first["sample"]["leads"]
    assert more["activation"]["pushed"] > first["activation"]["pushed"]
    assert more["plan"] != first["plan"]


def test_an_activation_names_the_newest_plan_or_is_refused(house: Any, file: str) -> None:
    first = house.answer("run", file, "--supplier", "replaced", "--sample", "10")
    second = house.answer("run", file, "--supplier", "replaced", "--sample", "20")
    before = house.ledger()["segment_tracking"]

    refused = house.answer("activate", first["plan"], exit_code=2)

    assert refused["error"]["code"] == "plan_superseded"
    assert second["plan"] in refused["error"]["message"]
    assert house.ledger()["segment_tracking"] == before


def test_a_plan_for_another_sample_is_not_pushed_and_resume_makes_a_new_one(
    house: Any, file: str, execute: Any
) -> None:
    first = house.answer("run", file, "--supplier", "resumed", "--sample", "10", "--activate")
    upload = first["upload"]
    house.answer("sample", upload, "30")
    # As a kill in the middle of planning leaves it.
    execute(
        "update lead_intel.lead_ingestions set state = 'failed', stage = 'activation' where upload = %(upload)s", upload
    )
    before = house.ledger()["segment_tracking"]

    resumed = house.answer("resume", upload)

    assert resumed["state"] == "planned"
    assert resumed["plan"] != first["plan"]
    assert resumed["sample"]["leads"] > first["sample"]["leads"]
    assert house.ledger()["segment_tracking"] == before


def test_a_plan_made_under_another_profile_pushes_nobody(house: Any, execute: Any) -> None:
    planned = house.answer("run", THREE_COLUMNS, "--supplier", "judged", "--sample", "100", "--profile", "lenient")
    assert planned["activation"]["planned"] > 0
    # As a run under the strict profile leaves it that is killed before it has screened.
    execute("update lead_intel.lead_ingestions set profile = 'strict' where upload = %(upload)s", planned["upload"])
    before = house.ledger()["segment_tracking"]

    refused = house.answer("activate", planned["plan"], exit_code=5)

    assert refused["error"]["code"] == "plan_outdated"
    assert house.ledger()["segment_tracking"] == before
    again = house.answer("plan", planned["upload"])
    assert again["verdicts"]["send"] == 0
    assert again["activation"]["planned"] == 0
