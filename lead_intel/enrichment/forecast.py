"""What a sample would cost and reach, before anything is spent: the same sample, the same caches, policy's prices.

Reads frames, caches and today's pace; asks no vendor.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pandas as pd
import psycopg

from lead_intel.enrichment.contactable import contactable
from lead_intel.enrichment.questions import people_of, questionnaire
from lead_intel.enrichment.sampling import draw, sample_key
from lead_intel.errors import UsageError
from lead_intel.policy import Policy, VendorLimits
from lead_intel.record import ingestions, vendor_calls
from lead_intel.record.frames import read_frame
from lead_intel.record.spend import left_for, usd
from lead_intel.settings import Settings


def forecast(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str, percent: float | Decimal
) -> dict[str, Any]:
    """The object of `lead-intel forecast --json`; money in US dollars, `seconds` at today's pace.

    Raises:
        UsageError: no such upload, or it has not been screened.
    """
    supplier = ingestions.find(connection, upload).supplier
    people = _people(connection, settings, policy, upload, supplier, Decimal(str(percent)))
    by_vendor: dict[str, dict[str, Any]] = {}
    seconds = 0.0
    for vendor in policy.vendors.enrichment:
        limits = policy.limits_of(vendor)
        distinct, cached = _asked(connection, settings, vendor, limits, people)
        calls = distinct - cached
        by_vendor[vendor] = {"calls": calls, "cached": cached, "cost": usd(calls * limits.price_usd)}
        # The vendors are asked side by side: the slowest decides.
        seconds = max(seconds, calls / _calls_per_second(connection, vendor, limits))
    return {
        "upload": upload,
        "percent": float(percent),
        "leads": len(people),
        "by_vendor": by_vendor,
        "cost": usd(sum((part["cost"] for part in by_vendor.values()), start=Decimal(0))),
        "seconds": round(seconds, 1),
        "budget_left": left_for(connection, upload, policy.budgets),
    }


def _people(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str, supplier: str, percent: Decimal
) -> pd.DataFrame:
    try:
        valid_leads, phone_lookups, _ = (
            read_frame(settings.frames_dir, asset, upload) for asset in ("valid_leads", "phone_lookups", "dnc_verdicts")
        )
    except FileNotFoundError:
        raise UsageError(
            "not_screened", f"{upload} has not been screened.", "`lead-intel status` shows where it stands."
        ) from None
    identity_key = settings.lead_intel_identity_key
    key = sample_key(identity_key.get_secret_value(), policy.sampling.key_version)
    leads = contactable(
        connection, identity_key, upload, supplier, valid_leads=valid_leads, phone_lookups=phone_lookups
    )
    return people_of(draw(leads, percent, policy.sampling.minimum_per_stratum, key), valid_leads)


def _asked(
    connection: psycopg.Connection, settings: Settings, vendor: str, limits: VendorLimits, people: pd.DataFrame
) -> tuple[int, int]:
    questions = questionnaire(vendor, settings)
    subjects = questions.subjects(people)
    distinct = subjects[subjects != ""].unique().tolist()
    package = questions.vendor.package
    return len(distinct), vendor_calls.count_fresh(connection, vendor, package, distinct, limits.cache_days)


def _calls_per_second(connection: psycopg.Connection, vendor: str, limits: VendorLimits) -> float:
    """The allowed pace, or what the slots allow at today's median answer time, whichever is less."""
    median = vendor_calls.seconds_per_call(connection, vendor)
    return limits.per_second if not median else min(limits.per_second, limits.concurrency / median)
