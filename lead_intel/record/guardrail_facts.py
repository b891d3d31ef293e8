"""What the record knows about the outside world: the read-only questions that guardrails ask of other rooms' rows.

Counts and times only: no phone, e-mail or subject leaves here. Nothing here judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class RecentOutcomes:
    """Calls to one vendor answered in the last hour; `newest_age` is in seconds, None without any call."""

    answered: int
    rate_limited: int
    refused: int
    newest: str | None
    newest_age: float | None


@dataclass(frozen=True, slots=True)
class CallTimes:
    """Wall clock of one vendor's calls, in seconds, and how many did not keep within the limit."""

    vendor: str
    calls: int
    p50: float
    p95: float
    p100: float
    late: int


@dataclass(frozen=True, slots=True)
class CarrierCounts:
    """Numbers whose line type has a carrier, and how many of them came without one."""

    numbers: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A heartbeat written on the primary, and the primary's count of connected standbys."""

    beat: datetime
    standbys: int


def recent_outcomes(connection: psycopg.Connection, vendor: str) -> RecentOutcomes:
    """Outcomes of `vendor` in the last hour. `refused` = auth or quota."""
    with connection.cursor(row_factory=class_row(RecentOutcomes)) as cursor:
        row = cursor.execute(
            "select count(*) as answered, "
            "count(*) filter (where outcome = 'rate_limited') as rate_limited, "
            "count(*) filter (where outcome in ('auth', 'quota')) as refused, "
            "(array_agg(outcome order by answered_at desc, call_id desc))[1] as newest, "
            "extract(epoch from now() - max(answered_at))::float8 as newest_age "
            "from lead_intel.vendor_calls where vendor = %s and answered_at > now() - interval '1 hour'",
            (vendor,),
        ).fetchone()
    assert row is not None  # noqa: S101  # an aggregate without group by has one row
    return row


def call_times(
    connection: psycopg.Connection, vendors: tuple[str, ...], limit_seconds: float, upload: str | None
) -> list[CallTimes]:
    """Times of the enrichment calls made for `upload`, or in the last day. A call that timed out is late."""
    with connection.cursor(row_factory=class_row(CallTimes)) as cursor:
        return cursor.execute(
            "select vendor, count(*) as calls, "
            "percentile_disc(0.50) within group (order by seconds) as p50, "
            "percentile_disc(0.95) within group (order by seconds) as p95, "
            "max(seconds) as p100, "
            "count(*) filter (where outcome = 'timeout' or late or seconds > %(limit)s) as late "
            "from lead_intel.vendor_calls where vendor = any(%(vendors)s) and seconds is not null "
            "and (upload = %(upload)s or (%(upload)s::text is null and answered_at > now() - interval '1 day')) "
            "group by vendor order by vendor",
            {"limit": limit_seconds, "vendors": list(vendors), "upload": upload},
        ).fetchall()


def carrier_counts(connection: psycopg.Connection, line_types: tuple[str, ...], upload: str | None) -> CarrierCounts:
    """Looked-up numbers of `upload` (or of the last day) with a line type that has carriers."""
    with connection.cursor(row_factory=class_row(CarrierCounts)) as cursor:
        row = cursor.execute(
            "select count(*) as numbers, "
            "count(*) filter (where coalesce(carrier_name, '') in ('', 'unknown')) as unknown "
            "from lead_intel.phone_lookups looked where line_type = any(%(types)s) and ("
            "(%(upload)s::text is null and answered_at > now() - interval '1 day') or looked.phone in ("
            "select lead.phone from lead_intel.upload_leads occurrence join lead_intel.leads lead using (lead_id) "
            "where occurrence.upload = %(upload)s))",
            {"types": list(line_types), "upload": upload},
        ).fetchone()
    assert row is not None  # noqa: S101  # an aggregate without group by has one row
    return row


def uncovered_leads(connection: psycopg.Connection, upload: str, area_codes: Sequence[int]) -> int:
    """Leads of `upload` with a +1 number whose area code is not among `area_codes`."""
    row: Any = connection.execute(
        "select count(distinct lead.lead_id) from lead_intel.upload_leads occurrence "
        "join lead_intel.leads lead using (lead_id) "
        "where occurrence.upload = %s and lead.phone between 10000000000 and 19999999999 "
        "and (lead.phone / 10000000 %% 1000)::int <> all(%s)",
        (upload, list(area_codes)),
    ).fetchone()
    return int(row[0])


def write_heartbeat(connection: psycopg.Connection) -> Heartbeat:
    """Write a heartbeat on the primary (those older than a day go) and count the standbys connected to it."""
    with connection.transaction():
        connection.execute("delete from lead_intel.replication_heartbeats where beat < now() - interval '1 day'")
        row: Any = connection.execute(
            "insert into lead_intel.replication_heartbeats (beat) values (clock_timestamp()) returning beat"
        ).fetchone()
        standbys: Any = connection.execute("select count(*) from pg_stat_replication").fetchone()
    return Heartbeat(row[0], int(standbys[0]))


def newest_heartbeat(connection: psycopg.Connection) -> datetime | None:
    """The newest heartbeat that this server (the replica) shows."""
    row: Any = connection.execute("select max(beat) from lead_intel.replication_heartbeats").fetchone()
    return row[0]  # type: ignore[no-any-return]


def seconds_unseen(connection: psycopg.Connection, seen: datetime | None) -> float:
    """Age, by the primary's clock, of the oldest heartbeat newer than `seen`: the replica lags at least so much."""
    row: Any = connection.execute(
        "select coalesce(extract(epoch from clock_timestamp() - min(beat)), 0)::float8 "
        "from lead_intel.replication_heartbeats where %(seen)s::timestamptz is null or beat > %(seen)s",
        {"seen": seen},
    ).fetchone()
    return float(row[0])


def seconds_since(connection: psycopg.Connection, moment: datetime) -> float:
    """Age of `moment` by this server's clock."""
    row: Any = connection.execute("select extract(epoch from clock_timestamp() - %s)::float8", (moment,)).fetchone()
    return float(row[0])
