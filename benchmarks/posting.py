"""How fast the ingestion API takes rows: batches of 500 and single rows, through real HTTP into a real PostgreSQL.

`python benchmarks/posting.py [--seconds 10]` starts a house of its own (PostgreSQL, the sandbox, the hub) in a folder
of its own, posts from a process apart, and prints one JSON object: rows/s, requests/s, p50 and p95 of a request, and
whether the rows that were answered 202 are those in the uploads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import psycopg
import yaml

from lead_intel.local.supervisor import local_house
from lead_intel.record import api_keys
from lead_intel.settings import REPOSITORY

CASES = {"500": (500, 4), "1": (1, 8)}
"""Rows a request, and connections at once."""


def body_of(rows: int) -> bytes:
    return json.dumps(
        [
            {
                "phone": f"+1 212 555 {n % 10_000:04d}",
                "email": f"person{n}@example.com",
                "consent_source": "web_form",
                "consent_at": "2026-10-01T09:30:00Z",
                "consent_url": "https://example.com/signup",
                "consent_seller": "Example Seller LLC",
                "consent_channel": "sms",
                "first_name": "Ann",
                "last_name": "Example",
                "city": "New York",
                "state": "NY",
                "score": 12.50,
            }
            for n in range(rows)
        ]
    ).encode()


async def post(url: str, key: str, rows: int, connections: int, seconds: float) -> dict[str, Any]:
    body, times, taken = body_of(rows), [], 0
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    end = time.perf_counter() + seconds
    statuses: dict[int, int] = {}

    async def one(session: aiohttp.ClientSession, number: int) -> None:
        nonlocal taken
        count = 0
        while time.perf_counter() < end:
            count += 1
            began = time.perf_counter()
            async with session.post(
                f"{url}/v1/leads", data=body, headers={**headers, "idempotency-key": f"{rows}-{number}-{count}"}
            ) as reply:
                answer = await reply.json()
            times.append(time.perf_counter() - began)
            statuses[reply.status] = statuses.get(reply.status, 0) + 1
            taken += answer.get("rows", 0)

    began = time.perf_counter()
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(one(session, number) for number in range(connections)))
    spent = time.perf_counter() - began
    cut = statistics.quantiles(times, n=100)
    return {
        "rows_per_request": rows,
        "connections": connections,
        "requests_per_second": round(len(times) / spent),
        "rows_per_second": round(taken / spent),
        "p50_ms": round(cut[49] * 1000, 1),
        "p95_ms": round(cut[94] * 1000, 1),
        "rows": taken,
        "statuses": statuses,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--home", default=None, help="where the house lies while it runs")
    seconds, where = (options := parser.parse_args()).seconds, options.home
    folder = Path(tempfile.mkdtemp(prefix="posting-", dir=where))
    folder.chmod(0o711)
    policy = folder / "policy"
    shutil.copytree(REPOSITORY / "data" / "policy", policy)
    limits = yaml.safe_load((policy / "ingestion.yml").read_text()) | {"requests_per_second": 1e6, "burst": 10**6}
    (policy / "ingestion.yml").write_text(yaml.safe_dump(limits))
    try:
        with local_house(folder / "home") as house:
            environment = {**os.environ, **house.environment, "LEAD_INTEL_POLICY_DIR": str(policy)}
            print(json.dumps(measured(environment, seconds)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(environment: dict[str, str], seconds: float) -> dict[str, Any]:
    hub = subprocess.Popen(
        [sys.executable, "-m", "lead_intel.hub", "--port", "0"], env=environment, stdout=subprocess.PIPE
    )
    assert hub.stdout is not None
    url = json.loads(hub.stdout.readline())["url"]
    result: dict[str, Any] = {}
    server = psutil.Process(hub.pid)
    try:
        with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
            for name, (rows, connections) in CASES.items():
                key = api_keys.create(connection, f"s{name}", "", 1, "benchmark")[1]
                before = server.cpu_times().user + server.cpu_times().system
                case = asyncio.run(post(url, key, rows, connections, seconds))
                spent = server.cpu_times().user + server.cpu_times().system - before
                case["server_cpu_ms_per_request"] = round(spent / sum(case["statuses"].values()) * 1000, 2)
                stored = connection.execute(
                    "select coalesce(sum(rows), 0) from lead_intel.api_uploads where supplier = %s", (f"s{name}",)
                ).fetchone()
                assert stored is not None
                result[f"batches of {name}"] = {**case, "rows_in_uploads": int(stored[0])}
        rss = Path(f"/proc/{hub.pid}/status").read_text().split("VmHWM:")[1].split()[0]
        result["server_peak_mib"] = round(int(rss) / 1024)
    finally:
        hub.terminate()
        hub.wait(10)
    return result


if __name__ == "__main__":
    main()
