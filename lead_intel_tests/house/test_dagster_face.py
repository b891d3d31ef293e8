"""What a data engineer does in Dagster: rerun one stage of one upload, run the re-sync, see every asset explained."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lead_intel.settings import REPOSITORY

SAMPLE = REPOSITORY / "data" / "samples" / "leads.csv"


def dagster(house: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | house.answer("env")
    return subprocess.run(
        [str(Path(sys.executable).with_name("dagster")), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment,
        cwd=REPOSITORY,
        check=False,
    )


def materialize(house: Any, asset: str, upload: str) -> None:
    done = dagster(
        house, "asset", "materialize", "-m", "lead_intel.definitions", "--select", asset, "--partition", upload
    )
    assert done.returncode == 0, done.stderr[-3000:]


def resync(house: Any, upload: str) -> None:
    tags = json.dumps({"dagster/partition": upload})
    done = dagster(house, "job", "execute", "-m", "lead_intel.definitions", "-j", "resync", "--tags", tags)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def activated(house: Any) -> dict[str, Any]:
    return house.answer("run", str(SAMPLE), "--sample", "50", "--activate")


@pytest.mark.slow
@pytest.mark.parametrize("asset", ["raw_upload", "phone_lookups", "dnc_verdicts", "lead_sample", "activation_receipts"])
def test_a_stage_rerun_changes_nothing_outside(house: Any, activated: dict[str, Any], asset: str) -> None:
    before = house.ledger()

    materialize(house, asset, activated["upload"])

    after = house.ledger()
    account = house.answer("status", activated["upload"])
    assert (account["state"], account["state_reason"]) == ("activated", None)
    assert account["messages"] == activated["messages"]
    assert after["segment_tracking"]["distinct_message_ids"] == before["segment_tracking"]["distinct_message_ids"]
    for service in ("twilio_lookup", "dncscrub", "people_data_labs", "zerobounce", "trestle"):
        assert after[service]["paid_calls"] == before[service]["paid_calls"], service


@pytest.mark.slow
def test_a_resync_takes_whoever_opted_out_out_of_the_audiences(house: Any, activated: dict[str, Any]) -> None:
    members = _pushed_phones(house)
    before = house.ledger()
    with SAMPLE.open() as handle:
        phone = next(row["phone"] for row in csv.DictReader(handle) if _digits(row["phone"]) in members)
    house.answer("suppress", phone, "--reason", "stop", "--channel", "sms")

    resync(house, activated["upload"])

    account = house.answer("status", activated["upload"])
    after = house.ledger()
    assert account["state"] == "activated"
    # The sample is still 50 %: where the stratum's half is rounded up, the next lead in order takes the free place.
    assert account["activation"]["planned"] <= activated["activation"]["planned"]
    assert after["segment_tracking"]["distinct_message_ids"] > before["segment_tracking"]["distinct_message_ids"]
    assert after["trestle"]["paid_calls"] <= before["trestle"]["paid_calls"] + 1
    assert _digits(phone) not in _pushed_phones(house)


@pytest.mark.slow
def test_a_resync_without_a_difference_pushes_nothing(house: Any, activated: dict[str, Any]) -> None:
    resync(house, activated["upload"])
    before = house.ledger()

    resync(house, activated["upload"])

    assert house.ledger()["segment_tracking"] == before["segment_tracking"]


def _digits(phone: str) -> str:
    digits = "".join(char for char in phone if char.isdigit())
    return digits if len(digits) == 11 else f"1{digits}"


def _pushed_phones(house: Any) -> set[str]:
    """Phones of leads that our record says are in an audience."""
    import psycopg

    with psycopg.connect(house.answer("env")["DATABASE_URL"]) as connection:
        rows = connection.execute(
            "select distinct l.phone from lead_intel.audience_members m join lead_intel.leads l using (lead_id)"
        ).fetchall()
    return {str(phone) for (phone,) in rows}
