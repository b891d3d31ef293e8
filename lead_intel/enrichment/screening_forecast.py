"""What the screening of a list would cost that is validated but not screened: Lookup and the DNC vendor.

Counts caches; asks no vendor. Lookup's packages are asked one after the other, then the DNC vendor. Upper bounds are a
further package about numbers whose line type nobody has told yet, and the DNC vendor, who is asked only about numbers
that nothing else holds or blocks: both show during the screening.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd
import psycopg

from lead_intel.enrichment.affordable import Demand
from lead_intel.errors import UsageError
from lead_intel.policy import Policy
from lead_intel.record import dnc, forecasts, lookups
from lead_intel.record.frames import read_frame
from lead_intel.record.spend import usd
from lead_intel.settings import Settings
from lead_intel.vendors.dncscrub import MOST_NUMBERS, DncScrub
from lead_intel.vendors.twilio_lookup import LINE_TYPE, TwilioLookup, worth_a_package


@dataclass(frozen=True, slots=True)
class _Part:
    """One package's questions: what is missing, how many answers are there, and what those have cost."""

    package: str
    demand: Demand
    cached: int
    paid: Decimal

    @property
    def cost(self) -> Decimal:
        return self.demand.calls * self.demand.price


def forecast_screening(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str
) -> tuple[int, dict[str, dict[str, Any]], list[Demand]]:
    """Leads of the list, and per vendor what `forecast.forecast` tells; `calls` are numbers asked about.

    `price` of Lookup is the line type's; `packages` tells each package's part with a price of its own.

    Raises:
        UsageError: the list has not been read yet, so nobody knows its numbers.
    """
    try:
        valid_leads = read_frame(settings.frames_dir, "valid_leads", upload)
    except FileNotFoundError:
        raise UsageError(
            "not_screened", f"{upload} has not been screened.", "`lead-intel status` shows where it stands."
        ) from None
    phones = valid_leads["phone"].drop_duplicates()
    packages = _lookup(connection, policy, phones)
    scrub = _scrub(connection, policy, phones, starts=packages[-1].demand.ends)
    by_vendor = {
        TwilioLookup.name: _told(packages) | {"packages": {part.package: _told([part]) for part in packages}},
        DncScrub.name: _told([scrub]),
    }
    return len(valid_leads), by_vendor, [part.demand for part in (*packages, scrub)]


def _lookup(connection: psycopg.Connection, policy: Policy, phones: pd.Series[int]) -> list[_Part]:
    """The line types, then the packages of lookup.yml, in the order in which they are asked."""
    limits = policy.limits_of(TwilioLookup.name)
    lines = lookups.fresh(connection, phones.tolist(), LINE_TYPE, limits.cache_days)
    untold = sorted(set(phones.tolist()).difference(lines["phone"].tolist()))
    parts = [_part(connection, LINE_TYPE, len(phones), lines, limits.price_usd, limits.cache_days, limits.per_second)]
    for package, wanted in policy.lookup.further_packages.items():
        about = worth_a_package(lines, wanted.line_types) + untold
        known = lookups.fresh(connection, about, package, wanted.cache_days)
        parts.append(
            _part(
                connection,
                package,
                len(about),
                known,
                wanted.price_usd,
                wanted.cache_days,
                limits.per_second,
                starts=parts[-1].demand.ends,
            )
        )
    return parts


def _part(
    connection: psycopg.Connection,
    package: str,
    numbers: int,
    known: pd.DataFrame,
    price: Decimal,
    days: int,
    per_second: float,
    *,
    starts: float = 0.0,
) -> _Part:
    subjects = known["phone"].astype("str").tolist()
    paid = forecasts.already_paid(connection, TwilioLookup.name, package, subjects, days)
    return _Part(package, Demand(TwilioLookup.name, numbers - len(known), price, per_second, starts), len(known), paid)


def _scrub(connection: psycopg.Connection, policy: Policy, phones: pd.Series[int], *, starts: float) -> _Part:
    limits = policy.limits_of(DncScrub.name)
    known = len(dnc.fresh_answers(connection, DncScrub.name, phones, policy.dnc.vendor_answer_days))
    demand = Demand(DncScrub.name, len(phones) - known, limits.price_usd, limits.per_second * MOST_NUMBERS, starts)
    # The call ledger knows batches of numbers: their answers are told at today's price.
    return _Part(DncScrub.package, demand, known, known * limits.price_usd)


def _told(parts: Sequence[_Part]) -> dict[str, Any]:
    cost = usd(sum((part.cost for part in parts), start=Decimal(0)))
    return {
        "calls": sum(part.demand.calls for part in parts),
        "cached": sum(part.cached for part in parts),
        "price": usd(parts[0].demand.price),
        "cost": cost,
        "most_likely_cost": cost,
        "already_paid": usd(sum((part.paid for part in parts), start=Decimal(0))),
        "seconds": round(sum(part.demand.ends - part.demand.starts for part in parts), 1),
    }
