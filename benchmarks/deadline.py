"""How long a call to a sick vendor takes at the caller, fault by fault: never more than its deadline of 5.0 s.

All faults at the same time, through the product's caller and transport: `python -m benchmarks.deadline --help`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pandas as pd

from benchmarks.faulty_vendor import FAULTS, serve
from lead_intel.calls.breaker import Breaker
from lead_intel.calls.caller import Caller
from lead_intel.calls.pace import Pace
from lead_intel.calls.transport import transport
from lead_intel.policy import VendorLimits, load_policy
from lead_intel.sandbox.settings import environment
from lead_intel.settings import REPOSITORY, Settings
from lead_intel.vendors.trestle import Trestle

EDGES = (0.0, 0.5, 1.0, 2.0, 4.0, 4.9, 5.0, 5.05, 5.1, 5.2, float("inf"))
"""Seconds: buckets of the histogram, close together where the promise is (5.0 s, and 0.2 s more)."""


def histogram(times: pd.Series[float]) -> dict[str, int]:
    """How many calls ended in which bucket: `2.0-4.0` is from 2.0 s to below 4.0 s."""
    labels = [f"{low}-{high}" for low, high in pairwise(EDGES)]
    counts = pd.cut(times, list(EDGES), right=False, labels=labels).value_counts(sort=False)
    return {str(bucket): int(count) for bucket, count in counts.items()}


def settings_for(url: str) -> Settings:
    names = {name.lower(): value for name, value in environment("http://127.0.0.1:9").items()}
    given = {"lead_intel_identity_key": "k", "database_url": "postgresql://nobody@localhost/none"}
    return Settings.model_validate({**names, **given, "trestle_url": url})


async def measure(fault: str, port: int, limits: VendorLimits, calls: int) -> dict[str, Any]:
    """`calls` calls at the same time; the clock is ours, not the caller's own."""
    scheme = "https" if fault.startswith("tls") else "http"
    settings = settings_for(f"{scheme}://127.0.0.1:{port}")
    vendor, outcomes, seconds = Trestle(settings), Counter[str](), list[float]()
    async with transport(settings) as sender:

        async def one(number: int) -> None:
            caller = Caller(vendor, limits, sender, Pace(limits, time.monotonic), Breaker(time.monotonic))
            started = time.perf_counter()
            asked = await caller.ask(vendor.ask_about(12125200000 + number))
            seconds.append(time.perf_counter() - started)
            outcomes[f"{asked.verdict.outcome}, billed {asked.verdict.billed}"] += 1
            if asked.late is not None:
                asked.late.cancel()

        await asyncio.gather(*(one(number) for number in range(calls)))
    times = pd.Series(seconds)
    return {
        "fault": fault,
        "calls": calls,
        "p50": round(times.quantile(0.5), 3),
        "p95": round(times.quantile(0.95), 3),
        "p100": round(times.max(), 3),
        "histogram": histogram(times),
        "outcome": "; ".join(f"{what} x {times}" for what, times in sorted(outcomes.items())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50, help="calls at the same time for each fault")
    asked = parser.parse_args()
    limits = load_policy(REPOSITORY / "data" / "policy").limits_of("trestle").model_copy(update={"attempts": 1})
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    ports = ours.recv()

    async def all_faults() -> list[dict[str, Any]]:
        return await asyncio.gather(*(measure(fault, ports[fault], limits, asked.calls) for fault in FAULTS))

    found = asyncio.run(all_faults())
    server.terminate()
    print(pd.DataFrame(found).drop(columns="histogram").to_markdown(index=False))
    print(pd.DataFrame({one["fault"]: one["histogram"] for one in found}).T.to_markdown())
    print(json.dumps({"deadline": limits.deadline_seconds, "faults": found}))


if __name__ == "__main__":
    main()
