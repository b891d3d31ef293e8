"""kill -9 at every call and every commit of a paid stage, one after another, then resume: what it costs.

For k = 1, 2, 3, ... until the stage ends before its k-th point: run it, kill it there (`--crashes` times in a row),
let a fresh process finish, and count at the vendors' side. `python -m benchmarks.kill_loop --help`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg

from benchmarks.kill_gate import Gate
from benchmarks.kill_victim import UNSURE, victim
from lead_intel.dnc.snapshots import ensure_snapshot
from lead_intel.enrichment.questions import VENDORS
from lead_intel.local.supervisor import local_house
from lead_intel.sandbox.client import Control
from lead_intel.sandbox.settings import environment as sandbox_settings
from lead_intel.settings import load_settings

SERVICES = {"lookup": ("twilio_lookup",), "dnc": ("dncscrub",), "enrichment": VENDORS}
TABLES = {
    "lookup": "select phone, outcome, valid, line_type, carrier_name from lead_intel.phone_lookups order by 1",
    "dnc": "select lead_id, verdict, reasons from lead_intel.dnc_verdicts order by 1",
    "enrichment": "select lead_id, vendor, outcome, fields from lead_intel.enrichments order by 1, 2",
}


class Loop:
    """One stage, its gate, and what the vendors received."""

    def __init__(self, environ: Mapping[str, str], stage: str, subjects: int, in_flight: int) -> None:
        self._gate, self._stage, self._subjects, self._in_flight = Gate(), stage, subjects, in_flight
        self._undisturbed: dict[str, int] = {}
        self._database = psycopg.connect(environ["DATABASE_URL"], autocommit=True)
        self._control = Control.from_environment(environ)
        os.environ.update(environ)
        ensure_snapshot(self._database, load_settings())
        sandbox = environ["TWILIO_LOOKUP_URL"].removesuffix("/twilio")
        self._environ = {
            **environ,
            **sandbox_settings(self._gate.before(sandbox)),
            "DATABASE_URL": self._gate.before(environ["DATABASE_URL"]),
        }
        # A server that has imported everything forks each victim: starting Python costs more than the stage.
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["benchmarks.kill_victim"])

    def undisturbed(self) -> tuple[list[Any], int]:
        """The stage's table, and how many points it passes."""
        self._forget()
        assert self._run(0) == 0
        self._undisturbed = {name: one["paid_calls"] for name, one in self._ledger().items()}
        assert min(self._undisturbed.values()) > 0
        return self._table(), len(self._gate.points)

    def killed_at(self, point: int, crashes: int, expected: list[Any]) -> dict[str, Any] | None:
        """What a kill at `point` came to; None when the stage ended before."""
        self._forget()
        if self._run(point) == 0:
            return None
        kind = self._gate.points[point - 1]
        times = 1
        while times < crashes and self._run(point) != 0:
            times += 1
        assert self._run(0) == 0, "a fresh process did not finish"
        services = self._ledger()
        # Stricter than the promise: what a vendor answers for nothing, or in one call for many keys, excuses no call.
        again = {name: max(0, one["paid_calls"] - self._undisturbed[name]) for name, one in services.items()}
        (open_, reserved, gap) = self._database.execute(
            "select (select count(*) from lead_intel.vendor_calls where outcome is null), "
            "(select sum(reserved) from lead_intel.spend_budgets), "
            "(select sum(price) from lead_intel.vendor_calls where billed <> 'no') - "
            "(select settled from lead_intel.spend_budgets where scope = 'upload')"
        ).fetchall()[0]
        return {
            "at": kind,
            "crashes": times,
            "paid": sum(one["paid_calls"] for one in services.values()),
            "distinct": sum(one["distinct_keys"] for one in services.values()),
            "paid_undisturbed": sum(self._undisturbed.values()),
            "paid_again": sum(again.values()),
            "within_promise": max(again.values()) <= times * self._in_flight,
            "same_table": self._table() == expected,
            "books_balance": (open_, reserved, gap) == (0, 0, 0),
        }

    def _ledger(self) -> dict[str, dict[str, int]]:
        ledger = self._control.ledger()
        return {name: ledger[name] for name in SERVICES[self._stage]}

    def _run(self, kill_at: int) -> int | None:
        go, there = self._processes.Pipe()
        self._gate.arm(kill_at)
        child = self._processes.Process(
            target=victim, args=(self._environ, self._stage, self._subjects, self._in_flight, there)
        )
        child.start()
        assert child.pid is not None
        self._gate.aim(child.pid)
        go.send("go")
        child.join(60)
        return child.exitcode

    def _forget(self) -> None:
        self._database.execute(
            "truncate lead_intel.phone_lookups, lead_intel.dnc_answers, lead_intel.dnc_verdicts, "
            "lead_intel.enrichments, lead_intel.vendor_calls, "
            "lead_intel.vendor_rounds, lead_intel.spend_budgets cascade"
        )
        self._control.reset()
        unsure = {"status": "unknown", "sub_status": "greylisted", "match": UNSURE}
        self._control.fault("zerobounce", "status", unsure)

    def _table(self) -> list[Any]:
        return self._database.execute(TABLES[self._stage]).fetchall()


def table(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for each kind of point."""
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in found:
        kinds[one["at"]].append(one)
    return [
        {
            "killed at": kind,
            "points": len(ones),
            "distinct keys": sum(one["distinct"] for one in ones),
            "paid undisturbed": sum(one["paid_undisturbed"] for one in ones),
            "paid": sum(one["paid"] for one in ones),
            "paid again, most": max(one["paid_again"] for one in ones),
            "same table": sum(one["same_table"] for one in ones),
            "within promise": sum(one["within_promise"] for one in ones),
            "books balance": sum(one["books_balance"] for one in ones),
        }
        for kind, ones in sorted(kinds.items())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=list(SERVICES), default="lookup")
    parser.add_argument("--subjects", type=int, default=12)
    parser.add_argument("--in-flight", type=int, default=3)
    parser.add_argument("--crashes", type=int, default=1, help="kills in a row, each at the k-th point of its process")
    parser.add_argument("--every", type=int, default=1, help="only every so many points")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with local_house(Path(folder)) as house:
            loop = Loop({**house.environment}, asked.stage, asked.subjects, asked.in_flight)
            expected, points = loop.undisturbed()
            found: list[dict[str, Any]] = []
            point = 1
            # Calls and commits are batched a little differently each time: go on beyond the undisturbed run.
            while (one := loop.killed_at(point, asked.crashes, expected)) is not None or point <= points:
                if one is not None:
                    found.append({"k": point, **one})
                point += asked.every
    lines = table(found)
    print(pd.DataFrame(lines).to_markdown(index=False))
    print(
        json.dumps(
            {
                "stage": asked.stage,
                "subjects": asked.subjects,
                "in_flight": asked.in_flight,
                "crashes": asked.crashes,
                "points_undisturbed": points,
                "first_k_that_never_came": point,
                "killed": len(found),
                "table": lines,
                "broken": [
                    one for one in found if not (one["same_table"] and one["within_promise"] and one["books_balance"])
                ],
            }
        )
    )


if __name__ == "__main__":
    main()
