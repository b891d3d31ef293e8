"""Traffic of the ingestion API per minute: requests, rows, outcomes and how long they took. Statistics, no ledger.

Durations are kept as buckets of a geometric scale, so that a percentile over an hour reads some hundred small rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

ACCEPTED = "accepted"
REPLAYED = "replayed"
_GOOD = (ACCEPTED, REPLAYED)
WINDOW_MINUTES = 60
_SMALLEST_SECONDS = 0.0005
_GROWTH = 1.1
_LAST_BUCKET = 130
_KEPT_DAYS = 7


@dataclass(frozen=True, slots=True)
class Slot:
    """What is counted together; `minute` is the time cut to the minute."""

    supplier: str
    minute: datetime
    outcome: str
    bucket: int


@dataclass(slots=True)
class Count:
    """Requests and rows of one slot, and the last of them."""

    requests: int
    rows: int
    last_at: datetime


def bucket_of(seconds: float) -> int:
    """The bucket of a duration: 10 % wide, from half a millisecond to two minutes."""
    if seconds <= _SMALLEST_SECONDS:
        return 0
    return min(math.ceil(math.log(seconds / _SMALLEST_SECONDS, _GROWTH)), _LAST_BUCKET)


def seconds_of(bucket: int) -> float:
    """The upper end of a bucket: a percentile is never understated."""
    return _SMALLEST_SECONDS * float(_GROWTH**bucket)


def add(connection: psycopg.Connection, counts: Mapping[Slot, Count]) -> None:
    """Add what a server has counted since it last did."""
    # In one order everywhere: two servers that add the same slots do not wait for each other in a circle.
    slots = sorted(counts, key=lambda slot: (slot.supplier, slot.minute, slot.outcome, slot.bucket))
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "insert into lead_intel.api_minutes as m (supplier, minute, outcome, bucket, requests, rows, last_at) "
            "values (%s, %s, %s, %s, %s, %s, %s) on conflict (supplier, minute, outcome, bucket) do update set "
            "requests = m.requests + excluded.requests, rows = m.rows + excluded.rows, "
            "last_at = greatest(m.last_at, excluded.last_at)",
            [
                (s.supplier, s.minute, s.outcome, s.bucket, counts[s].requests, counts[s].rows, counts[s].last_at)
                for s in slots
            ],
        )


def traffic_of(connection: psycopg.Connection, supplier: str) -> dict[str, Any]:
    """The last hour of one supplier: per minute, in sum, p95 of what was accepted, errors by kind, the last event."""
    rows = connection.execute(
        "select minute, outcome, bucket, requests, rows, last_at from lead_intel.api_minutes where supplier = %s "
        "and minute > now() - make_interval(mins => %s) order by minute",
        (supplier, WINDOW_MINUTES),
    ).fetchall()
    minutes: dict[datetime, dict[str, int]] = {}
    errors: dict[str, int] = {}
    durations: dict[int, int] = {}
    for minute, outcome, bucket, requests, count, _ in rows:
        figures = minutes.setdefault(minute, {"requests": 0, "rows": 0, "errors": 0})
        figures["requests"] += requests
        if outcome in _GOOD:
            figures["rows"] += count
            durations[bucket] = durations.get(bucket, 0) + requests
        else:
            figures["errors"] += requests
            errors[outcome] = errors.get(outcome, 0) + requests
    return {
        "window_minutes": WINDOW_MINUTES,
        "requests": sum(figures["requests"] for figures in minutes.values()),
        "rows": sum(figures["rows"] for figures in minutes.values()),
        "errors": dict(sorted(errors.items())),
        "p95_ms": _p95_ms(durations),
        "per_minute": [{"minute": minute, **figures} for minute, figures in minutes.items()],
        "last_event": _last_event(connection, supplier),
    }


def forget_old(connection: psycopg.Connection) -> None:
    """Delete minutes that no page shows any more."""
    connection.execute(
        "delete from lead_intel.api_minutes where minute < now() - make_interval(days => %s)", (_KEPT_DAYS,)
    )


def _p95_ms(durations: Mapping[int, int]) -> float | None:
    wanted, seen = 0.95 * sum(durations.values()), 0
    for bucket, requests in sorted(durations.items()):
        seen += requests
        if seen >= wanted:
            return round(seconds_of(bucket) * 1000, 1)
    return None


def _last_event(connection: psycopg.Connection, supplier: str) -> dict[str, Any] | None:
    row = connection.execute(
        "select last_at, outcome from lead_intel.api_minutes where supplier = %s "
        "order by minute desc, last_at desc limit 1",
        (supplier,),
    ).fetchone()
    return None if row is None else {"at": row[0], "outcome": row[1]}
