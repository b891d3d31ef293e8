"""A day with everything up: posted leads are closed, stored and screened without another command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lead_intel.settings import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(580)]


def test_posted_leads_are_screened_without_another_command(
    new_folder: Callable[[], AbstractContextManager[Path]],
    plain_environment: dict[str, str],
    make_lead: Callable[..., dict[str, Any]],
) -> None:
    with new_folder() as home:
        policy = home / "policy"
        shutil.copytree(REPOSITORY / "data" / "policy", policy)
        limits = yaml.safe_load((policy / "ingestion.yml").read_text()) | {"close_minutes": 0.3}
        (policy / "ingestion.yml").write_text(yaml.safe_dump(limits))
        environment = {**plain_environment, "LEAD_INTEL_HOME": str(home), "LEAD_INTEL_POLICY_DIR": str(policy)}

        def answer(*arguments: str) -> Any:
            done = subprocess.run(
                [str(Path(sys.executable).with_name("lead-intel")), *arguments],
                capture_output=True,
                text=True,
                timeout=300,
                env=environment,
                cwd=REPOSITORY,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        said = answer("up", "--detach")
        try:
            url = json.loads(answer("env", "--json"))["LEAD_INTEL_API_URL"]
            assert f"Leads API:  {url}{os.linesep}" in said
            key = json.loads(answer("keys", "create", "--supplier", "acme", "--json"))["key"]
            headers = {"authorization": f"Bearer {key}"}
            rows = [make_lead(n) for n in range(20)] + [{"phone": "12"}]
            taken = httpx.post(url, json=rows, headers=headers, timeout=60).json()
            shown = json.loads(answer("uploads", "--json"))["uploads"][0]
            assert (shown["upload"], shown["state"], shown["source"]) == (taken["upload"], "received", "api")

            deadline = time.monotonic() + 300
            counts: dict[str, Any] = {}
            while counts.get("state") != "screened" and time.monotonic() < deadline:
                time.sleep(1)
                counts = httpx.get(url.removesuffix("/v1/leads") + taken["status"], headers=headers, timeout=60).json()

            assert counts["state"] == "screened", counts
            assert counts["rows"]["file"] == counts["posted"]["rows"] == 21
            assert counts["rows"]["quarantined"] >= 1
        finally:
            answer("down")
