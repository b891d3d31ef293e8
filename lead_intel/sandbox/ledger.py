"""The ledger: every call that the sandbox received, written before its answer leaves.

A call is `processed` when the service did its work (also when its answer was then lost); only processed calls
count their keys, and only they can be paid. Refusals (401, 403, 429, a gateway's page) are calls and no more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lead_intel.sandbox.memory import Memory

_SCHEMA = """
create table if not exists calls(
  id integer primary key, at real not null, service text not null, operation text not null,
  key text, keys integer not null, status integer not null, processed integer not null, paid integer not null,
  fault text, note text not null);
create index if not exists calls_of_service on calls(service, paid);
create table if not exists call_keys(
  service text not null, key text not null, times integer not null, paid_times integer not null,
  primary key(service, key)) without rowid;
create table if not exists tallies(
  service text primary key, calls integer not null, paid_calls integer not null, distinct_keys integer not null
) without rowid;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One call: what was asked about (`keys`), what came of it, and what a checker may want to see (`note`)."""

    service: str
    operation: str
    status: int
    keys: Sequence[str] = ()
    processed: bool = True
    paid: bool = False
    fault: str | None = None
    note: Mapping[str, Any] = field(default_factory=dict)


class Ledger:
    """Durable counts and entries per service."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        memory.create(_SCHEMA, "calls", "call_keys", "tallies")

    def enter(self, entry: Entry) -> int:
        """Write one call into the open transaction; returns its id."""
        one = entry.keys[0] if len(entry.keys) == 1 else None
        note = json.dumps(entry.note) if entry.note else "{}"
        cursor = self._memory.write(
            "insert into calls(at, service, operation, key, keys, status, processed, paid, fault, note)"
            " values(?,?,?,?,?,?,?,?,?,?)",
            (
                time.time(), entry.service, entry.operation, one, len(entry.keys), entry.status,
                entry.processed, entry.paid, entry.fault, note,
            ),
        )  # fmt: skip
        new = self._count_keys(entry) if entry.processed else 0
        self._memory.write(
            "insert into tallies values(?,1,?,?) on conflict(service) do update set calls = calls + 1,"
            " paid_calls = paid_calls + excluded.paid_calls, distinct_keys = distinct_keys + excluded.distinct_keys",
            (entry.service, int(entry.paid), new),
        )
        return cursor.lastrowid or 0

    def _count_keys(self, entry: Entry) -> int:
        """Count the entry's keys; returns how many were new."""
        paid, new = int(entry.paid), 0
        for key in entry.keys:
            cursor = self._memory.write(
                "insert into call_keys values(?,?,1,?) on conflict(service, key) do update"
                " set times = times + 1, paid_times = paid_times + excluded.paid_times returning times",
                (entry.service, key, paid),
            )
            new += cursor.fetchone()[0] == 1
        return new

    def summary(self) -> dict[str, dict[str, int]]:
        """`{service: {calls, distinct_keys, paid_calls}}` of every service that was called."""
        rows = self._memory.rows("select service, calls, distinct_keys, paid_calls from tallies")
        return {row["service"]: {name: row[name] for name in row.keys()[1:]} for row in rows}

    def entries(self, service: str, after: int, limit: int) -> list[dict[str, Any]]:
        """Entries of one service in the order of their arrival, from the id after `after`."""
        rows = self._memory.rows(
            "select * from calls where service = ? and id > ? order by id limit ?", (service, after, limit)
        )
        return [
            {
                **dict(row),
                "processed": bool(row["processed"]),
                "paid": bool(row["paid"]),
                "note": json.loads(row["note"]),
            }
            for row in rows
        ]

    def keys(self, service: str, after: str, limit: int, more_than: int) -> list[dict[str, Any]]:
        """Keys of one service that were asked more often than `more_than` times, in their own order."""
        rows = self._memory.rows(
            "select key, times, paid_times from call_keys where service = ? and key > ? and times > ?"
            " order by key limit ?",
            (service, after, more_than, limit),
        )
        return [dict(row) for row in rows]
