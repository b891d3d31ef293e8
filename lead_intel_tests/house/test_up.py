"""A day's work: everything up, a list dropped into the bucket by any client is screened without another command."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from supabase import create_client

from lead_intel.settings import REPOSITORY

SAMPLE = REPOSITORY / "data" / "samples" / "leads.csv"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"

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
