"""How near Lookup comes to the pace that the account allows, and what a call costs the processor.

`python -m benchmarks.lookup [--numbers 20000]` starts a house of its own (PostgreSQL and the sandbox), makes the
sandbox answer after 50 ms and refuse what passes the allowed pace, looks the numbers up through `lookup.look_up`,
and prints one JSON object. Client and both servers share this machine's processors.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import psycopg
import yaml

from lead_intel.calls.ports import CallSummary
from lead_intel.local.supervisor import local_house
from lead_intel.lookup.lookup import look_up
from lead_intel.policy import load_policy
from lead_intel.record.database import connected
from lead_intel.sandbox.client import Control
from lead_intel.settings import REPOSITORY, load_settings

UPLOAD = "upl_20261124_benchmark0"
AREA_CODES = (206, 212, 213, 303, 305, 312, 415, 512, 617, 713)


def phones(count: int) -> pd.Series[int]:
    """Distinct valid numbers of ten area codes."""
    index = np.arange(count, dtype="int64")
    codes = np.array(AREA_CODES, dtype="int64")[index % len(AREA_CODES)]
    return pd.Series(10_000_000_000 + codes * 10_000_000 + 2_500_000 + index // len(AREA_CODES))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--numbers", type=int, default=20_000)
    parser.add_argument("--per-second", type=float, default=200)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--home", default=None, help="where the house lies while it runs")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lookup-", dir=options.home))
    folder.chmod(0o711)
    try:
        with local_house(folder / "home") as house:
            os.environ.update(house.environment, LEAD_INTEL_POLICY_DIR=str(_policy(folder / "policy", options)))
            control = Control.from_environment(os.environ)
            control.fault("twilio_lookup", "pace", {"per_second": options.per_second})
            control.fault("twilio_lookup", "slow", {"seconds": options.latency})
            print(json.dumps(measured(options.numbers, options.per_second, control, folder)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _policy(folder: Path, options: argparse.Namespace) -> Path:
    """The repository's policy at the allowed pace, with money enough."""
    shutil.copytree(REPOSITORY / "data" / "policy", folder)
    vendors = yaml.safe_load((folder / "vendors.yml").read_text())
    vendors["vendors"]["twilio_lookup"]["per_second"] = options.per_second
    (folder / "vendors.yml").write_text(yaml.safe_dump(vendors))
    budgets = yaml.safe_load((folder / "budgets.yml").read_text()) | {"per_day": "100000", "per_upload": "100000"}
    (folder / "budgets.yml").write_text(yaml.safe_dump(budgets))
    return folder


def measured(numbers: int, per_second: float, control: Control, home: Path) -> dict[str, Any]:
    settings = load_settings()
    with connected(settings) as connection:
        _upload(connection)
        servers = _servers(connection, home)
        before, began, cpu = _cpu(servers), time.perf_counter(), time.process_time()
        answered = look_up(
            phones(numbers),
            connection,
            settings=settings,
            policy=load_policy(settings.lead_intel_policy_dir),
            upload=UPLOAD,
            supplier="benchmark",
            stop=threading.Event(),
            progress=lambda _done, _total: None,
            before_paying=lambda: None,
        )
        seconds, cpu, after = time.perf_counter() - began, time.process_time() - cpu, _cpu(servers)
    calls = answered.calls
    assert calls is not None
    ledger = control.ledger()["twilio_lookup"]
    refused = ledger["calls"] - ledger["paid_calls"]
    return {
        "numbers": numbers,
        "allowed_per_second": per_second,
        "seconds": round(seconds, 1),
        "per_second": round(numbers / seconds, 1),
        "share_of_allowed": round(numbers / seconds / per_second, 3),
        "outcomes": {str(outcome): count for outcome, count in calls.outcomes.items()},
        "client_cpu_ms_per_call": round(cpu / numbers * 1000, 2),
        "servers_cpu_ms_per_call": {name: round((after[name] - before[name]) / numbers * 1000, 2) for name in before},
        "call_ms": _call_times(calls),
        "sandbox_calls": ledger["calls"],
        "unpaid_calls": refused,
        "paid_calls": ledger["paid_calls"],
        "spent_usd": str(calls.settled),
    }


def _upload(connection: psycopg.Connection) -> None:
    connection.execute(
        "insert into lead_intel.lead_ingestions (upload, supplier, sha256) values (%s, 'benchmark', 'x')", (UPLOAD,)
    )


def _call_times(calls: CallSummary) -> dict[str, float]:
    cut = statistics.quantiles(calls.seconds, n=100)
    return {"p50": round(cut[49] * 1000, 1), "p99": round(cut[98] * 1000, 1), "max": round(max(calls.seconds) * 1000)}


def _cpu(servers: dict[str, psutil.Process]) -> dict[str, float]:
    """Processor seconds so far: of each server, its children, and those of them that have ended."""
    return {
        name: sum(sum(process.cpu_times()[:4]) for process in (server, *server.children(recursive=True)))
        for name, server in servers.items()
    }


def _servers(connection: psycopg.Connection, home: Path) -> dict[str, psutil.Process]:
    postmaster = psutil.Process(connection.info.backend_pid).parent()
    sandboxes = [
        process
        for process in psutil.process_iter(["cmdline"])
        if {"lead_intel.sandbox"} <= {*(process.info["cmdline"] or ())}
        and str(home) in " ".join(process.info["cmdline"])
    ]
    assert postmaster is not None
    return {"postgres": postmaster, "sandbox": sandboxes[0]}


if __name__ == "__main__":
    main()
