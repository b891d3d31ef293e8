"""A day's work: everything up, a list dropped into the bucket by any client is screened without another command."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from supabase import create_client

from lead_intel.settings import REPOSITORY

SAMPLE = REPOSITORY / "data" / "samples" / "leads.csv"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"

IN_FLIGHT = 40
"""Concurrency of Lookup in data/policy/vendors.yml: the most calls that one kill can lose."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def address(new_folder: Callable[[], AbstractContextManager[Path]], house_at: Callable[[Path], Any]) -> Iterator[Any]:
    with new_folder() as home:
        house = house_at(home)
        started = house.command("up", "--detach")
        assert started.returncode == 0, started.stderr
        house.hub = next(
            word
            for line in (started.stdout + started.stderr).splitlines()
            for word in line.split()
            if word.endswith("/dagster")
        ).removesuffix("/dagster")
        yield house
        house.command("down")


def wait_for_state(house: Any, supplier: str, state: str, seconds: float = 90) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    seen: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        seen = [row for row in house.answer("uploads")["uploads"] if row["supplier"] == supplier]
        if seen and seen[0]["state"] == state:
            return seen[0]
        time.sleep(0.5)
    pytest.fail(f"not {state} after {seconds} s: {seen}")


def test_a_list_put_by_curl_is_screened(address: Any) -> None:
    env = address.answer("env")
    httpx.post(
        f"{env['SUPABASE_URL']}/storage/v1/object/{env['LEAD_INTEL_BUCKET']}/curl/leads.csv",
        content=SAMPLE.read_bytes(),
        headers={"Authorization": f"Bearer {env['SUPABASE_SERVICE_KEY']}", "Content-Type": "text/csv"},
    ).raise_for_status()

    upload = wait_for_state(address, "curl", "screened")

    assert upload["rows"] == address.answer("status", upload["upload"])["rows"]["file"]


def test_a_list_put_by_the_official_client_is_screened(address: Any) -> None:
    env = address.answer("env")
    client = create_client(env["SUPABASE_URL"], env["SUPABASE_SERVICE_KEY"])
    client.storage.from_(env["LEAD_INTEL_BUCKET"]).upload(
        "official/leads.csv", SAMPLE.read_bytes(), {"content-type": "text/csv"}
    )

    wait_for_state(address, "official", "screened")


def test_dagster_retries_a_run_whose_process_was_killed_and_pays_at_most_what_was_in_flight(address: Any) -> None:
    env, before = address.answer("env"), address.ledger().get("twilio_lookup", {})
    slow = ("sandbox", "fault", "twilio_lookup", "slow", "--options", json.dumps({"seconds": 2.0}))
    assert address.command(*slow).returncode == 0
    numbers = [f"+1212{exchange}{line:04d}" for exchange in (520, 521) for line in range(150)]
    rows = [f"{number},lead{number[1:]}@example.com,web_form,2026-11-01T10:00:00Z,form 7" for number in numbers]
    httpx.post(
        f"{env['SUPABASE_URL']}/storage/v1/object/{env['LEAD_INTEL_BUCKET']}/retried/leads.csv",
        content="\n".join(["phone,email,consent_source,consent_at,consent_evidence", *rows]).encode(),
        headers={"Authorization": f"Bearer {env['SUPABASE_SERVICE_KEY']}", "Content-Type": "text/csv"},
    ).raise_for_status()
    with psycopg.connect(env["DATABASE_URL"], autocommit=True) as connection:
        deadline = time.monotonic() + 90
        while not (begun := _answered(connection, "retried")) and time.monotonic() < deadline:
            time.sleep(0.05)
        (run,) = _runs(connection, begun[0])
        os.kill(_process_of(connection, run), signal.SIGKILL)
        assert address.command("sandbox", "fault", "twilio_lookup", "off").returncode == 0

        wait_for_state(address, "retried", "screened", seconds=150)

        first, second = _runs(connection, begun[0])
        parent = connection.execute(
            "select value from dagster.run_tags where run_id = %s and key = 'dagster/parent_run_id'", (second,)
        ).fetchone()
    assert (first, parent) == (run, (run,))
    new = {name: count - before.get(name, 0) for name, count in address.ledger()["twilio_lookup"].items()}
    assert new["distinct_keys"] == len(numbers)
    assert len(numbers) <= new["paid_calls"] <= len(numbers) + IN_FLIGHT


def _answered(connection: psycopg.Connection, supplier: str) -> list[str]:
    """The upload of `supplier`, once Lookup has answered about some of it."""
    rows = connection.execute(
        "select distinct upload from lead_intel.vendor_calls where supplier = %s and outcome = 'ok'", (supplier,)
    )
    return [upload for (upload,) in rows.fetchall()]


def _runs(connection: psycopg.Connection, upload: str) -> list[str]:
    rows = connection.execute(
        "select r.run_id from dagster.runs r join dagster.run_tags t using (run_id) "
        "where t.key = 'dagster/partition' and t.value = %s order by r.id",
        (upload,),
    )
    return [run for (run,) in rows.fetchall()]


def _process_of(connection: psycopg.Connection, run: str) -> int:
    """The process of a run, as its log tells it."""
    rows = connection.execute("select event from dagster.event_logs where run_id = %s order by id", (run,)).fetchall()
    return next(int(found[1]) for (event,) in rows if (found := re.search(r"pid: (\d+)", event)))


def test_commands_use_what_is_up(address: Any) -> None:
    account = address.answer("run", str(SAMPLE), "--supplier", "cli", "--sample", "5")

    assert account["state"] == "planned"


def test_the_page_shows_the_uploads_and_dagster_lies_beside_it(address: Any) -> None:
    with urllib.request.urlopen(address.hub) as page:
        assert "Lead Intel" in page.read().decode()
    with urllib.request.urlopen(f"{address.hub}/dagster/") as page:
        assert page.status == 200


@pytest.mark.browser
def test_a_browser_shows_the_whole_lineage_under_the_prefix(address: Any, tmp_path: Path) -> None:
    shown = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path}", "--window-size=1900,1000", "--virtual-time-budget=30000", "--dump-dom",
            f"{address.hub}/dagster/asset-groups",
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    for stage in ("validation", "lookup", "dnc", "enrichment", "activation"):
        assert stage in shown.stdout
