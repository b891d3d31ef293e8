"""Rows of `sample_forecasts` (what a sample would cost, as it was shown) and what was spent since. SQL only.

A forecast holds until its sample is enriched to the end, or the next forecast of its upload takes its place; what was
spent in between is its actual cost. An interrupted sample that is resumed is still the one forecast.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import psycopg

from lead_intel.record.spend import usd
from lead_intel.record.vendor_calls import ANSWERS

_ZERO = Decimal(0)


def record(connection: psycopg.Connection, upload: str, percent: Decimal, by_vendor: Mapping[str, Any]) -> None:
    """Keep a forecast (vendor -> calls, cached, cost) in the place of the upload's earlier one."""
    kept = {
        vendor: {"calls": part["calls"], "cached": part["cached"], "cost": str(part["cost"])}
        for vendor, part in by_vendor.items()
    }
    with connection.transaction():
        end(connection, upload)
        connection.execute(
            "insert into lead_intel.sample_forecasts (upload, sample_percent, cost, by_vendor) values (%s, %s, %s, %s) "
            "on conflict (upload) where ended_at is null do nothing",
            (upload, percent, sum((part["cost"] for part in by_vendor.values()), start=_ZERO), json.dumps(kept)),
        )


def holds(connection: psycopg.Connection, upload: str, percent: Decimal) -> bool:
    """Whether a forecast of this percent was shown and its sample is not enriched to the end yet."""
    row = connection.execute(
        "select 1 from lead_intel.sample_forecasts where upload = %s and sample_percent = %s and ended_at is null",
        (upload, percent),
    ).fetchone()
    return row is not None


def is_fulfilled(connection: psycopg.Connection, upload: str, percent: Decimal) -> bool:
    """Whether the upload's newest forecast is of this percent, and its sample was enriched to the end."""
    row = connection.execute(
        "select sample_percent = %s and ended_at is not null from lead_intel.sample_forecasts where upload = %s "
        "order by forecast_id desc limit 1",
        (percent, upload),
    ).fetchone()
    return bool(row and row[0])


def end(connection: psycopg.Connection, upload: str) -> None:
    """The forecast's sample is enriched, or another one was chosen: what is spent from now on is not its cost."""
    connection.execute(
        "update lead_intel.sample_forecasts set ended_at = clock_timestamp() where upload = %s and ended_at is null",
        (upload,),
    )


def newest_with_actual(connection: psycopg.Connection, upload: str) -> dict[str, Any] | None:
    """The newest forecast beside what was really spent: the object `forecast` of `status --json`.

    `difference` is spent minus forecast; `not_billed` is what calls would have cost that the vendor did not charge.
    """
    row = connection.execute(
        "select sample_percent, cost, by_vendor, shown_at, ended_at from lead_intel.sample_forecasts "
        "where upload = %s order by forecast_id desc limit 1",
        (upload,),
    ).fetchone()
    if row is None:
        return None
    percent, cost, by_vendor, shown_at, ended_at = row
    actual = _actual(connection, upload, list(by_vendor), shown_at, ended_at)
    vendors = {
        vendor: {
            "calls": part["calls"],
            "cost": usd(Decimal(part["cost"])),
            "called": actual[vendor][0],
            "spent": usd(actual[vendor][1]),
            "not_billed": usd(actual[vendor][2]),
        }
        for vendor, part in by_vendor.items()
    }
    spent = sum((part["spent"] for part in vendors.values()), start=_ZERO)
    return {
        "percent": float(percent),
        "shown_at": shown_at,
        "ended_at": ended_at,
        "cost": usd(cost),
        "spent": usd(spent),
        "difference": usd(spent - cost),
        "by_vendor": vendors,
    }


def _actual(
    connection: psycopg.Connection, upload: str, vendors: Sequence[str], shown_at: Any, ended_at: Any
) -> dict[str, tuple[int, Decimal, Decimal]]:
    rows = connection.execute(
        "select vendor, count(*) filter (where seconds is not null), "
        "coalesce(sum(price) filter (where billed in ('yes', 'unknown')), 0), "
        "coalesce(sum(price) filter (where billed = 'no'), 0) from lead_intel.vendor_calls "
        "where upload = %s and vendor = any(%s) and intended_at >= %s "
        "and intended_at <= coalesce(%s::timestamptz, 'infinity') group by vendor",
        (upload, list(vendors), shown_at, ended_at),
    ).fetchall()
    there = {str(vendor): (int(calls), spent, free) for vendor, calls, spent, free in rows}
    return {vendor: there.get(vendor, (0, _ZERO, _ZERO)) for vendor in vendors}


def already_paid(
    connection: psycopg.Connection, vendor: str, package: str, subjects: Sequence[str], cache_days: int
) -> Decimal:
    """What the fresh answers about `subjects` have cost, whichever upload paid for them."""
    row = connection.execute(
        "select coalesce(sum(price), 0) from (select distinct on (subject) price, billed from lead_intel.vendor_calls "
        "where vendor = %s and package = %s and subject = any(%s) and outcome = any(%s) "
        "and answered_at > now() - make_interval(days => %s) order by subject, answered_at desc) newest "
        "where billed <> 'no'",
        (vendor, package, list(subjects), list(ANSWERS), cache_days),
    ).fetchone()
    return _ZERO if row is None else Decimal(row[0])


def billed_share(connection: psycopg.Connection, vendor: str, days: int) -> float | None:
    """The part of the vendor's answers of the last `days` that cost money; None without any.

    A call without an answer is asked again, and tells nothing of what the answer will cost.
    """
    row = connection.execute(
        "select avg((billed <> 'no')::int) from lead_intel.vendor_calls where vendor = %s and seconds is not null "
        "and outcome = any(%s) and answered_at > now() - make_interval(days => %s)",
        (vendor, list(ANSWERS), days),
    ).fetchone()
    return None if row is None or row[0] is None else float(row[0])
