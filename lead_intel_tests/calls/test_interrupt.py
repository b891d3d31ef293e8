"""Ctrl-C in the middle of a round: calls under way are recorded, then the interrupt takes its course."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lead_intel.settings import Settings

CHILD = Path(__file__).parent / "one_round.py"


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_round_leaves_no_call_without_an_outcome(
    database: psycopg.Connection, settings: Settings, sandbox: Any, kind: signal.Signals
) -> None:
    sandbox.fault("twilio_lookup", "slow", seconds=1)
    with subprocess.Popen(
        [sys.executable, str(CHILD), "200", "6", "upl_20261124_jjjjjjjjjj"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as child:
        while sandbox.ledger()["twilio_lookup"]["calls"] < 4:
            assert child.poll() is None
            time.sleep(0.02)
        child.send_signal(kind)
        output, _ = child.communicate(timeout=10)

    assert child.returncode == -kind
    assert output == ""
    (counts,) = database.execute(
        "select count(*), count(*) filter (where outcome is null) from lead_intel.vendor_calls"
    ).fetchall()
    assert counts[0] >= 4
    assert counts[1] == 0
