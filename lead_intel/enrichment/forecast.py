"""What a sample would cost and reach, before anything is spent: the same sample, the same caches, policy's prices.

Reads frames, caches, budgets and today's pace; asks no vendor.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pandas as pd
import psycopg

from lead_intel.enrichment.affordable import Plan, first_stop
from lead_intel.enrichment.contactable import contactable
from lead_intel.enrichment.questions import people_of, questionnaire
from lead_intel.enrichment.sampling import draw, sample_key
from lead_intel.enrichment.screening_forecast import forecast_screening
from lead_intel.errors import UsageError
from lead_intel.policy import Policy
from lead_intel.record import estimates, forecasts, ingestions, vendor_calls
from lead_intel.record.frames import read_frame
from lead_intel.record.spend import left_by_budget, usd
from lead_intel.settings import Settings

_BILLED_DAYS = 30
"""Of so many days the calls tell which part of them a vendor charges."""


def forecast(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str, percent: float | Decimal
) -> dict[str, Any]:
    """The object of `lead-intel forecast --json`; money in US dollars, `seconds` at today's pace.

    `cost` is the most that the calls still missing may cost: every one of them billed. `expected` takes off what the
    vendors did not charge for lately. `already_paid` is what the answers that are there did cost. With the list
    validated but not screened, it is the screening that is forecast (`"stage": "screening"`).

    Raises:
        UsageError: no such upload, or its list has not been read.
    """
    supplier = ingestions.find(connection, upload).supplier
    plans: list[Plan] = []
    by_vendor: dict[str, dict[str, Any]] = {}
    people = _people(connection, settings, policy, upload, supplier, Decimal(str(percent)))
    if people is None:
        leads, by_vendor, plans = forecast_screening(connection, settings, policy, upload)
    else:
        leads = len(people)
        for vendor in policy.vendors.enrichment:
            plan, by_vendor[vendor] = _vendor(connection, settings, policy, vendor, people)
            plans.append(plan)
    left = left_by_budget(connection, upload, by_vendor, policy.budgets)
    return {
        "upload": upload,
        "stage": "screening" if people is None else "enrichment",
        "percent": float(percent),
        "leads": leads,
        "by_vendor": by_vendor,
        "cost": _sum(by_vendor, "cost"),
        "expected": _sum(by_vendor, "expected"),
        "already_paid": _sum(by_vendor, "already_paid"),
        # Enrichment asks its vendors side by side, a screening one after the other: the last to end decides.
        "seconds": round(max((plan.ends for plan in plans), default=0.0), 1),
        "budget_left": usd(min(budget.left for budget in left if budget.vendor is None)),
        "budgets": [
            {"scope": budget.scope, "vendor": budget.vendor, "cap": usd(budget.cap), "left": usd(budget.left)}
            for budget in left
            if budget.vendor is None or budget.vendor in policy.budgets.per_vendor
        ],
        "stopped_by": first_stop(plans, left),
        "estimate": estimates.find(connection, upload),
    }


def record_forecast(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str, percent: Decimal
) -> None:
    """Keep what the chosen sample is forecast to cost, unless that stands there since the sample was chosen.

    An upload that has not been screened has no forecast yet: it gets one when its sample is drawn.
    """
    if forecasts.holds(connection, upload, percent):
        return
    try:
        shown = forecast(connection, settings, policy, upload, percent)
    except UsageError as error:
        if error.code != "not_screened":
            raise
        return
    if shown["stage"] == "enrichment":
        forecasts.record(connection, upload, percent, shown["by_vendor"])


def _people(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str, supplier: str, percent: Decimal
) -> pd.DataFrame | None:
    """The sample with what the vendors would be asked about; None when the upload has not been screened."""
    try:
        valid_leads, phone_lookups, _ = (
            read_frame(settings.frames_dir, asset, upload) for asset in ("valid_leads", "phone_lookups", "dnc_verdicts")
        )
    except FileNotFoundError:
        return None
    identity_key = settings.lead_intel_identity_key
    key = sample_key(identity_key.get_secret_value(), policy.sampling.key_version)
    leads = contactable(
        connection, identity_key, upload, supplier, valid_leads=valid_leads, phone_lookups=phone_lookups
    )
    return people_of(draw(leads, percent, policy.sampling.minimum_per_stratum, key), valid_leads)


def _vendor(
    connection: psycopg.Connection, settings: Settings, policy: Policy, vendor: str, people: pd.DataFrame
) -> tuple[Plan, dict[str, Any]]:
    """One vendor asked about everybody of the sample: for vendors asked in turn, an upper bound."""
    questions, limits = questionnaire(vendor, settings), policy.limits_of(vendor)
    subjects = questions.subjects(people)
    distinct = subjects[subjects != ""].unique().tolist()
    package, days = questions.vendor.package, limits.cache_days
    cached = vendor_calls.count_fresh(connection, vendor, package, distinct, days)
    paid = forecasts.already_paid(connection, vendor, package, distinct, days)
    median = vendor_calls.seconds_per_call(connection, vendor)
    # The allowed pace, or what the slots allow at today's median answer time, whichever is less.
    pace = limits.per_second if not median else min(limits.per_second, limits.concurrency / median)
    plan = Plan(vendor, len(distinct) - cached, limits.price_usd, pace)
    share = forecasts.billed_share(connection, vendor, _BILLED_DAYS)
    cost = plan.calls * plan.price
    return plan, {
        "calls": plan.calls,
        "cached": cached,
        "price": usd(plan.price),
        "cost": usd(cost),
        "expected": usd((cost * Decimal(1.0 if share is None else share)).quantize(Decimal("0.01"))),
        "already_paid": usd(paid),
        "seconds": round(plan.calls / pace, 1),
    }


def _sum(by_vendor: dict[str, dict[str, Any]], name: str) -> Decimal:
    return usd(sum((part[name] for part in by_vendor.values()), start=Decimal(0)))
