"""The main job: one command takes a list to activated audiences, and may be repeated at will."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lead_intel.settings import REPOSITORY

SAMPLE = str(REPOSITORY / "data" / "samples" / "leads.csv")
THREE_COLUMNS = str(REPOSITORY / "data" / "samples" / "three_columns.csv")
LISTS = sorted((REPOSITORY / "lead_intel_tests" / "data" / "lists").glob("*_leads.*"))


def assert_balanced(account: dict[str, Any]) -> None:
    rows, verdicts = account["rows"], account["verdicts"]
    assert rows["file"] == rows["accepted"] + rows["quarantined"] + rows["duplicate"]
    assert rows["quarantined"] == sum(account["quarantine"].values())
    assert rows["accepted"] == sum(verdicts.values())
    if "sample" in account:
        assert account["sample"]["leads"] <= verdicts["send"]
    if "activation" in account:
        activation = account["activation"]
        assert activation["planned"] <= account["sample"]["leads"]
        assert activation["planned"] == activation["pushed"] + activation["failed"] + activation["pending"]


class TestOneListAgainAndAgain:
    """In this order: each test goes on where the one before ended."""

    @pytest.fixture(scope="class")
    def first(self, house: Any) -> dict[str, Any]:
        return house.answer("run", SAMPLE, "--sample", "25", "--activate")

    def test_the_first_run_activates_and_its_account_balances(self, first: dict[str, Any]) -> None:
        assert first["state"] == "activated"
        assert_balanced(first)
        assert first["activation"]["pushed"] > 0
        assert first["activation"]["failed"] == first["activation"]["pending"] == 0
        assert set(first["seconds"]) == {"validation", "lookup", "dnc", "enrichment", "activation"}

    def test_segment_received_what_the_account_says(self, house: Any, first: dict[str, Any]) -> None:
        segment = house.ledger()["segment_tracking"]
        assert segment["distinct_message_ids"] == first["messages"]["sent"] == first["messages"]["planned"]
        assert segment["distinct_user_ids"] == first["activation"]["pushed"]

    def test_every_paid_call_was_counted_and_settled(self, house: Any, first: dict[str, Any]) -> None:
        assert Decimal(first["spend"]["reserved"]) == 0
        assert Decimal(first["spend"]["settled"]) == sum(map(Decimal, first["spend"]["by_vendor"].values()))
        assert Decimal(first["spend"]["settled"]) > 0
        lookups = house.ledger()["twilio_lookup"]
        assert lookups["paid_calls"] <= lookups["distinct_keys"]
        assert Decimal(first["spend"]["by_vendor"]["twilio_lookup"]) == lookups["paid_calls"] * Decimal("0.008")

    def test_the_same_bytes_again_pay_and_push_nothing(self, house: Any, first: dict[str, Any]) -> None:
        before = house.ledger()

        again = house.answer("run", SAMPLE, "--sample", "25", "--activate")

        assert again["upload"] == first["upload"]
        assert again["state"] == "activated"
        assert house.ledger()["segment_tracking"] == before["segment_tracking"]
        assert house.paid() == {service: counts["paid_calls"] for service, counts in before.items()}

    def test_a_lower_percent_changes_nothing(self, house: Any, first: dict[str, Any]) -> None:
        before = house.paid()

        again = house.answer("run", SAMPLE, "--sample", "10", "--activate")

        assert again["sample"] == first["sample"]
        assert house.paid() == before

    def test_a_higher_percent_pays_the_difference(self, house: Any, first: dict[str, Any]) -> None:
        before = house.ledger()

        more = house.answer("run", SAMPLE, "--sample", "50", "--activate")

        after = house.ledger()
        assert_balanced(more)
        assert more["sample"]["leads"] > first["sample"]["leads"]
        assert after["twilio_lookup"]["paid_calls"] == before["twilio_lookup"]["paid_calls"]
        assert after["dncscrub"]["paid_calls"] == before["dncscrub"]["paid_calls"]
        assert after["trestle"]["paid_calls"] > before["trestle"]["paid_calls"]
        for vendor in ("people_data_labs", "zerobounce", "trestle"):
            assert after[vendor]["paid_calls"] <= after[vendor]["distinct_keys"]
        assert after["segment_tracking"]["distinct_message_ids"] == more["messages"]["sent"]

    def test_status_gives_the_same_account(self, house: Any, first: dict[str, Any]) -> None:
        account = house.answer("status", first["upload"])
        assert account["state"] == "activated"
        assert_balanced(account)


def test_without_activate_it_is_a_dry_run(house: Any, tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text(Path(SAMPLE).read_text())
    before = house.ledger()["segment_tracking"]

    account = house.answer("run", str(file), "--supplier", "dry", "--sample", "10")

    assert account["state"] == "planned"
    assert account["messages"]["sent"] == 0
    assert_balanced(account)
    assert house.ledger()["segment_tracking"] == before


def test_three_columns_hold_for_evidence_under_the_strict_profile(house: Any) -> None:
    account = house.answer("run", THREE_COLUMNS, "--sample", "100", "--activate", "--supplier", "bare")

    assert account["verdicts"]["send"] == 0
    assert account["reasons"]["consent_evidence_missing"] > 0
    assert account["activation"]["planned"] == 0


def test_three_columns_activate_under_the_lenient_profile(house: Any) -> None:
    account = house.answer(
        "run", THREE_COLUMNS, "--sample", "100", "--activate", "--supplier", "bare2", "--profile", "lenient"
    )

    assert account["state"] == "activated"
    assert account["activation"]["pushed"] > 0


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_lists_written_by_nobody_here_end_with_a_balanced_account(house: Any, path: Path) -> None:
    account = house.answer(
        "run", str(path), "--supplier", "strangers", "--sample", "5", "--activate", "--profile", "lenient"
    )

    assert account["state"] == "activated"
    assert_balanced(account)


def test_a_list_without_a_consent_column_is_rejected_before_anything_is_paid(house: Any, tmp_path: Path) -> None:
    file = tmp_path / "no_consent.csv"
    file.write_text("phone,email\n2125550123,a@example.com\n")
    before = house.paid()

    answer = house.answer("run", str(file), "--sample", "10", exit_code=3)

    assert answer["state"] == "rejected"
    assert "consent_source" in answer["error"]["message"]
    assert answer["error"]["remedy"]
    assert house.paid() == before


def test_activation_without_a_sample_is_stopped_by_guardrail_9(house: Any, tmp_path: Path) -> None:
    file = tmp_path / "leads.csv"
    file.write_text(Path(SAMPLE).read_text())
    before = house.ledger()["segment_tracking"]

    answer = house.answer("run", str(file), "--supplier", "eager", "--activate", exit_code=4)

    assert answer["error"]["code"] == "guardrail:9"
    assert house.ledger()["segment_tracking"] == before


def test_a_file_that_is_not_there_is_a_usage_error(house: Any) -> None:
    done = house.command("run", "nowhere.csv")

    assert done.returncode == 2
    assert "nowhere.csv" in done.stderr
    assert "Traceback" not in done.stderr
