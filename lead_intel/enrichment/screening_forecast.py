"""What the screening of a list would cost that is validated but not screened: Lookup and the DNC vendor.

Counts caches; asks no vendor. The DNC vendor is asked only about numbers that nothing else holds or blocks, which
shows during the screening: its part is an upper bound.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg

from lead_intel.enrichment.affordable import Plan
from lead_intel.errors import UsageError
from lead_intel.policy import Policy
from lead_intel.record import dnc, forecasts, lookups
from lead_intel.record.frames import read_frame
from lead_intel.record.spend import usd
from lead_intel.settings import Settings
from lead_intel.vendors.dncscrub import MOST_NUMBERS, DncScrub
from lead_intel.vendors.twilio_lookup import TwilioLookup


def forecast_screening(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str
) -> tuple[int, dict[str, dict[str, Any]], list[Plan]]:
    """Leads of the list, and per vendor what `forecast.forecast` tells; `calls` are numbers asked about.

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
    lookup, scrub = policy.limits_of(TwilioLookup.name), policy.limits_of(DncScrub.name)
    looked_up = lookups.fresh(connection, phones.tolist(), TwilioLookup(settings).package, lookup.cache_days)
    scrubbed = dnc.fresh_answers(connection, DncScrub.name, phones, policy.dnc.vendor_answer_days)
    plans = [
        Plan(TwilioLookup.name, len(phones) - len(looked_up), lookup.price_usd, lookup.per_second),
        Plan(DncScrub.name, len(phones) - len(scrubbed), scrub.price_usd, scrub.per_second * MOST_NUMBERS),
    ]
    paid = {
        TwilioLookup.name: forecasts.already_paid(
            connection,
            TwilioLookup.name,
            TwilioLookup(settings).package,
            looked_up["phone"].astype("str").tolist(),
            lookup.cache_days,
        ),
        # The call ledger knows batches of numbers: their answers are told at today's price.
        DncScrub.name: len(scrubbed) * scrub.price_usd,
    }
    return len(valid_leads), {plan.vendor: _told(plan, len(phones), paid[plan.vendor]) for plan in plans}, plans


def _told(plan: Plan, numbers: int, paid: Decimal) -> dict[str, Any]:
    cost = usd(plan.calls * plan.price)
    return {
        "calls": plan.calls,
        "cached": numbers - plan.calls,
        "price": usd(plan.price),
        "cost": cost,
        "expected": cost,
        "already_paid": usd(paid),
        "seconds": round(plan.calls / plan.per_second, 1),
    }
