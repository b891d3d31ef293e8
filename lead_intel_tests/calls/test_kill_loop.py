"""kill -9 at every call and every commit of a paid stage until none is left; a fresh process finishes the work.

Counted at the vendors' side. The larger table: `python -m benchmarks.kill_loop --help`.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lead_intel.settings import REPOSITORY


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("stage", "subjects", "crashes", "every"), [("lookup", 6, 1, 1), ("dnc", 4, 1, 3), ("enrichment", 2, 1, 3)]
)
def test_killed_at_every_call_and_commit_it_ends_the_same_and_pays_at_most_what_was_in_flight(
    stage: str, subjects: int, crashes: int, every: int
) -> None:
    command = [sys.executable, "-m", "benchmarks.kill_loop", "--stage", stage, "--subjects", str(subjects)]
    done = subprocess.run(
        [*command, "--in-flight", "2", "--crashes", str(crashes), "--every", str(every)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])

    assert found["broken"] == []
    assert found["first_k_that_never_came"] > found["points_undisturbed"] >= 3 * subjects
    kinds = {line["killed at"] for line in found["table"]}
    assert kinds <= {"commit", "committed", "request", "reply"}
    # Only where no point is left out is each kind sure to be among them.
    assert every > 1 or len(kinds) == 4
