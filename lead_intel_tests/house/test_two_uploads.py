"""Two lists that share half of their people, run by two processes at the same time: everything is paid once."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lead_intel.settings import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SERVICES = ("twilio_lookup", "people_data_labs", "zerobounce", "trestle")
ROWS, SHARED = 100, 50
EVIDENCE = {
    "consent_source": "web_form",
    "consent_at": "2026-11-01T10:00:00Z",
    "consent_url": "https://www.example.com/quote",
    "consent_seller": "Example Home Services",
    "consent_channel": "call|text|email",
}
"""What the strict profile asks for before anybody is contacted, and so before anything is enriched."""


def write_list(path: Path, first: int) -> Path:
    """People `first` to `first` + ROWS."""
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["phone", "email", "first_name", *EVIDENCE])
        for person in range(first, first + ROWS):
            writer.writerow([f"+1212{5200000 + person}", f"two{person}@example.com", "Ann", *EVIDENCE.values()])
    return path


def test_two_uploads_that_share_half_of_their_people_at_the_same_time_pay_once_for_each(
    house: Any, tmp_path: Path
) -> None:
    lists = {"left": write_list(tmp_path / "left.csv", 0), "right": write_list(tmp_path / "right.csv", ROWS - SHARED)}
    before = house.ledger()
    # Slow enough that both are at the vendor at the same time.
    for service in SERVICES:
        options = json.dumps({"seconds": 0.2})
        assert house.command("sandbox", "fault", service, "slow", "--options", options).returncode == 0
    runs = {
        supplier: subprocess.Popen(
            [
                str(Path(sys.executable).with_name("lead-intel")),
                *("run", str(path), "--supplier", supplier, "--sample", "100", "--json"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=house.environment,
            cwd=REPOSITORY,
        )
        for supplier, path in lists.items()
    }
    accounts = {}
    for supplier, run in runs.items():
        output, said = run.communicate(timeout=240)
        assert run.returncode in (0, 5), said[-2000:]
        accounts[supplier] = json.loads(output)

    figures = {}
    after = house.ledger()
    for service in SERVICES:
        new = {name: after[service][name] - before.get(service, {}).get(name, 0) for name in after[service]}
        figures[service] = {"paid": new["paid_calls"], "calls": new["calls"], "distinct": new["distinct_keys"]}
    spent = {supplier: account["spend"]["settled"] for supplier, account in accounts.items()}
    seconds = {supplier: account["seconds"] for supplier, account in accounts.items()}
    sys.stdout.write(json.dumps({"ledger": figures, "spent": spent, "seconds": seconds}) + "\n")

    distinct = 2 * ROWS - SHARED
    assert figures["twilio_lookup"]["paid"] == figures["twilio_lookup"]["distinct"] == distinct
    for service in SERVICES[1:]:
        # Nothing is asked twice; what finds nobody is not paid.
        assert figures[service]["calls"] == figures[service]["distinct"], service
        assert 0 < figures[service]["paid"] <= figures[service]["distinct"] <= distinct, service
    for account in accounts.values():
        assert account["rows"]["accepted"] == ROWS
        assert account["sample"]["leads"] == account["verdicts"]["send"] > 0
    with psycopg.connect(house.answer("env")["DATABASE_URL"], autocommit=True) as connection:
        at_once = connection.execute(
            "select count(*) from lead_intel.vendor_calls one join lead_intel.vendor_calls other "
            "on one.vendor = other.vendor and one.upload < other.upload "
            "and one.intended_at < other.answered_at and other.intended_at < one.answered_at"
        ).fetchone()
    assert at_once is not None
    assert at_once[0] > 0, "the two were never at a vendor at the same time"
