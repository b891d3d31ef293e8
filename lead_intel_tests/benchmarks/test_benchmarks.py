"""The benchmarks still run: at a tiny size, from their command lines, with all figures that the pages quote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lead_intel.settings import REPOSITORY


def answer(module: str, *arguments: str) -> Any:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_two_paths_agree_on_random_and_adversarial_texts() -> None:
    found = answer("benchmarks.equality", "--values", "12000", "--batch", "6000")

    assert found["differences"] == 0
    assert found["compared"]["phone"] >= 6000


@pytest.mark.slow
def test_the_intake_benchmark_runs(new_folder: Any) -> None:
    with new_folder() as folder:
        found = answer(
            "benchmarks.intake",
            *("--rows", "2000", "--plain-rows", "200", "--registry", "2000", "--repeat", "1", "--grow-to", "3000"),
            *("--workbook-rows", "300", "--folder", str(Path(folder) / "benchmark")),
        )

    product = found["product"]
    assert product["rows"] == product["accepted"] + product["quarantined"] + product["duplicate"] == 2000
    assert {"ratio", "growth", "workbook", "plain"} <= set(found)


@pytest.mark.slow
def test_lookup_keeps_the_allowed_pace_and_pays_once(new_folder: Any) -> None:
    with new_folder() as folder:
        found = answer("benchmarks.lookup", "--numbers", "1000", "--home", str(folder))

    assert found["paid_calls"] == found["numbers"] == 1000
    assert found["outcomes"] == {"ok": 1000}
    # Nearly the whole pace on a quiet machine; here whatever else runs takes its part.
    assert found["share_of_allowed"] > 0.5
    assert found["client_cpu_ms_per_call"] > 0
