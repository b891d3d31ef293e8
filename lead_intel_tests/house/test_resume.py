"""A pause ends well: once its cause is gone, `resume` reaches what the person asked for, without paying twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from lead_intel.settings import REPOSITORY

SAMPLE = REPOSITORY / "data" / "samples" / "leads.csv"

pytestmark = pytest.mark.slow


@pytest.fixture
def short_list(tmp_path: Path) -> str:
    return part_of_the_sample(tmp_path / "short.csv", 0)


@pytest.fixture
def other_people(tmp_path: Path) -> str:
    return part_of_the_sample(tmp_path / "other.csv", 200)


@pytest.fixture
def third_people(tmp_path: Path) -> str:
    return part_of_the_sample(tmp_path / "third.csv", 100)


@pytest.fixture
def fourth_people(tmp_path: Path) -> str:
    return part_of_the_sample(tmp_path / "fourth.csv", 299)


def part_of_the_sample(file: Path, first: int) -> str:
    header, *rows = SAMPLE.read_text().splitlines(keepends=True)
    file.write_text("".join([header, *rows[first : first + 100]]))
    return str(file)


def messages(house: Any) -> int:
    return int(house.ledger().get("segment_tracking", {}).get("distinct_message_ids", 0))


def test_a_vendor_that_answers_nothing_pauses_the_upload_and_resume_asks_what_is_missing(
    house: Any, short_list: str
) -> None:
    house.command("sandbox", "fault", "dncscrub", "truncated")
    try:
        paused = house.answer("run", short_list, "--supplier", "silent", "--sample", "50", "--activate", exit_code=5)
    finally:
        house.command("sandbox", "fault", "dncscrub", "off")
    assert (paused["state"], paused["state_reason"]) == ("paused", "dnc")
    assert paused["verdicts"]["send"] == 0
    before = house.ledger()

    resumed = house.answer("resume", paused["upload"])

    assert resumed["state"] == "activated"
    assert resumed["verdicts"]["send"] > 0
    assert "dnc_no_answer" not in resumed["reasons"]
    after = house.ledger()
    assert after["twilio_lookup"]["paid_calls"] == before["twilio_lookup"]["paid_calls"]
    assert after["segment_tracking"]["distinct_message_ids"] == resumed["messages"]["planned"] > 0
    assert after["segment_tracking"]["distinct_user_ids"] == resumed["activation"]["planned"]


def test_a_number_that_lookup_did_not_answer_about_is_asked_again_by_the_next_command(
    house: Any, fourth_people: str
) -> None:
    with Path(fourth_people).open(newline="") as rows:
        phones = ["".join(filter(str.isdecimal, row["phone"])) for row in csv.DictReader(rows)]
    silent = json.dumps({"match": f"1{phones[7][-10:]}"})
    house.command("sandbox", "fault", "twilio_lookup", "garbage", "--options", silent)
    try:
        held = house.answer("run", fourth_people, "--supplier", "halfdeaf", "--sample", "50", "--activate")
    finally:
        house.command("sandbox", "fault", "twilio_lookup", "off")
    assert (held["state"], held["reasons"]["lookup_no_answer"]) == ("activated", 1)
    before = house.ledger()

    freed = house.answer("run", fourth_people, "--supplier", "halfdeaf", "--sample", "50", "--activate")

    assert freed["state"] == "activated"
    assert "lookup_no_answer" not in freed["reasons"]
    after = house.ledger()
    assert after["twilio_lookup"]["paid_calls"] - before["twilio_lookup"]["paid_calls"] == 1
    assert house.answer("run", fourth_people, "--supplier", "halfdeaf")["state"] == "activated"
    assert house.ledger()["twilio_lookup"] == after["twilio_lookup"]


def test_an_activation_that_a_guardrail_paused_is_resumed_to_its_end(house: Any, other_people: str) -> None:
    pushed = messages(house)
    house.command("sandbox", "trip", "7")
    try:
        paused = house.answer("run", other_people, "--supplier", "tripped", "--sample", "50", "--activate", exit_code=4)
    finally:
        house.command("sandbox", "clear", "7")
    assert paused["state_reason"] == "guardrail:7"
    before = house.ledger()
    assert messages(house) == pushed

    resumed = house.answer("resume", paused["upload"])

    assert resumed["state"] == "activated"
    assert messages(house) - pushed == resumed["messages"]["sent"] > 0
    for vendor in ("twilio_lookup", "dncscrub", "people_data_labs", "zerobounce", "trestle"):
        assert house.paid()[vendor] == before[vendor]["paid_calls"], vendor


def test_a_dry_run_after_an_activation_that_was_paused_takes_the_wish_back(house: Any, third_people: str) -> None:
    pushed = messages(house)
    house.command("sandbox", "fault", "dncscrub", "truncated")
    try:
        paused = house.answer("run", third_people, "--supplier", "wish", "--sample", "50", "--activate", exit_code=5)
    finally:
        house.command("sandbox", "fault", "dncscrub", "off")
    house.answer("plan", paused["upload"])

    resumed = house.answer("resume", paused["upload"])

    assert resumed["state"] == "planned"
    assert messages(house) == pushed


def test_resuming_a_dry_run_after_an_activation_approves_nothing(house: Any, short_list: str) -> None:
    first = house.answer("run", short_list, "--supplier", "dry-after", "--sample", "10", "--activate")
    house.answer("sample", first["upload"], "60")
    house.answer("plan", first["upload"])
    before = house.ledger()["segment_tracking"]

    resumed = house.answer("resume", first["upload"])

    assert resumed["state"] == "planned"
    assert house.ledger()["segment_tracking"] == before
