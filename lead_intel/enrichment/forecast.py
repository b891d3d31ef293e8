"""What a sample would cost and reach, before anything is spent: the same sample, the same caches, policy's prices.

Reads frames, caches, budgets and today's pace; asks no vendor.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import pandas as pd
import psycopg

from lead_intel.calls.ports import Vendor
from lead_intel.enrichment.affordable import Demand, first_stop
from lead_intel.enrichment.contactable import contactable
from lead_intel.enrichment.merge import parsed
from lead_intel.enrichment.questions import people_of, questionnaire
from lead_intel.enrichment.sampling import draw, sample_key, staying
from lead_intel.enrichment.screening_forecast import forecast_screening
from lead_intel.enrichment.waterfall import calls_in_turn, chains, missing
from lead_intel.errors import UsageError
from lead_intel.policy import FieldGroup, Policy
from lead_intel.record import dnc, enrichments, estimates, forecasts, ingestions, quarantine, samples, vendor_calls
from lead_intel.record.frames import read_frame
from lead_intel.record.spend import left_by_budget, usd
from lead_intel.settings import Settings

_BLOCK = 50_000
_SMALLEST = Decimal("0.0001")
_BILLED_DAYS = 30
"""Of so many days the calls tell which part of them a vendor charges."""


def forecast(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str, percent: float | Decimal
) -> dict[str, Any]:
    """The object of `lead-intel forecast --json`; money in US dollars, `seconds` at today's pace.

    `cost` is the cost at most: every call still missing is made, and billed. `most_likely_cost` takes off what a vendor
    earlier in a waterfall finds at its found rate, and what the vendors did not charge for lately. `already_paid` is
    what the answers that are there did cost. With the list validated but not screened, or its
    screening outdated, it is the screening that is forecast (`"stage": "screening"`).

    Raises:
        UsageError: no such upload, or its list has not been read.
    """
    supplier = ingestions.find(connection, upload).supplier
    demands: list[Demand] = []
    by_vendor: dict[str, dict[str, Any]] = {}
    people = _people(connection, settings, policy, upload, supplier, Decimal(str(percent)))
    if people is None:
        leads, by_vendor, demands = forecast_screening(connection, settings, policy, upload)
    else:
        leads = len(people)
        for group, names in chains(policy.vendors):
            told = _in_turn(connection, settings, policy, group, names, people)
            demands += [demand for demand, _ in told]
            by_vendor |= {demand.vendor: part for demand, part in told}
    left = left_by_budget(connection, upload, by_vendor, policy.budgets)
    return {
        "upload": upload,
        "stage": "screening" if people is None else "enrichment",
        "percent": float(percent),
        "leads": leads,
        "by_vendor": by_vendor,
        "cost": _sum(by_vendor, "cost"),
        "most_likely_cost": _sum(by_vendor, "most_likely_cost"),
        "already_paid": _sum(by_vendor, "already_paid"),
        # Enrichment asks its vendors side by side, a screening one after the other: the last to end decides.
        "seconds": round(max((demand.ends for demand in demands), default=0.0), 1),
        "budget_left": usd(min(budget.left for budget in left if budget.vendor is None)),
        "budgets": [
            {"scope": budget.scope, "vendor": budget.vendor, "cap": usd(budget.cap), "left": usd(budget.left)}
            for budget in left
            if budget.vendor is None or budget.vendor in policy.budgets.per_vendor
        ],
        "stopped_by": first_stop(demands, left),
        "estimate": estimates.find(connection, upload),
    }


def record_forecast(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str, percent: Decimal
) -> None:
    """Keep what the chosen sample is forecast to cost, unless that stands there since the sample was chosen.

    An upload that has to be screened first has no forecast yet: it gets one when its sample is drawn.
    """
    if forecasts.holds(connection, upload, percent):
        return
    shown = _of_enrichment(connection, settings, policy, upload, percent)
    if shown is not None:
        forecasts.record(connection, upload, percent, shown)


def record_forecast_of_draw(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str, percent: Decimal
) -> None:
    """As `record_forecast`, when the sample is drawn: drawn again with nothing to buy, its first forecast stands."""
    if forecasts.is_fulfilled(connection, upload, percent):
        shown = _of_enrichment(connection, settings, policy, upload, percent)
        if shown is None or not any(part["calls"] for part in shown.values()):
            return
    record_forecast(connection, settings, policy, upload, percent)


def _of_enrichment(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str, percent: Decimal
) -> dict[str, Any] | None:
    try:
        shown = forecast(connection, settings, policy, upload, percent)
    except UsageError as error:
        if error.code != "not_screened":
            raise
        return None
    return dict(shown["by_vendor"]) if shown["stage"] == "enrichment" else None


def _people(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str, supplier: str, percent: Decimal
) -> pd.DataFrame | None:
    """The sample with what the vendors would be asked about; None when the upload has to be screened first."""
    if _has_to_be_screened_again(connection, upload):
        return None
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
    earlier = samples.drawn_earlier(connection, upload, supplier, policy.sampling.key_version, percent)
    drawn = draw(leads, percent, policy.sampling.minimum_per_stratum, key, staying(leads, earlier))
    return people_of(drawn, valid_leads)


def _has_to_be_screened_again(connection: psycopg.Connection, upload: str) -> bool:
    """Whether its verdicts hold no longer, were given under another profile, or lack rows that a person mended."""
    row = ingestions.find(connection, upload)
    return (
        row.profile_screened not in (None, row.profile)
        or dnc.has_stale_send(connection, upload)
        or quarantine.has_unscreened(connection, upload)
    )


def _in_turn(
    connection: psycopg.Connection,
    settings: Settings,
    policy: Policy,
    group: FieldGroup,
    names: Sequence[str],
    people: pd.DataFrame,
) -> list[tuple[Demand, dict[str, Any]]]:
    """The vendors of one chain: who has an answer in a cache of any of them that counts is not asked again."""
    asked = [questionnaire(name, settings).vendor for name in names]
    subjects = [questionnaire(name, settings).subjects(people) for name in names]
    days = [policy.limits_of(vendor.name).of_package(vendor.package).cache_days for vendor in asked]
    cached = [
        _cached(connection, vendor, of.loc[of != ""].unique().tolist(), age)
        for vendor, of, age in zip(asked, subjects, days, strict=True)
    ]
    # Where nobody stands beside a vendor, nobody reads what it said.
    said = (
        []
        if len(names) == 1
        else [
            parsed(of.map(answers).astype("object").fillna("{}").astype("str"))
            for of, answers in zip(subjects, cached, strict=True)
        ]
    )
    questions = []
    for place, of in enumerate(subjects):
        wanted = missing(group.found, people.index, [*said[:place], *said[place + 1 :]])
        questions.append(of[wanted & (of != "") & ~of.isin(list(cached[place]))])
    # Nobody is asked after the last one.
    rates = [*(enrichments.found_rate(connection, name, group.found) or 0.0 for name in names[:-1]), 0.0]
    told: list[tuple[Demand, dict[str, Any]]] = []
    starts = 0.0
    for vendor, calls, answers, age in zip(
        asked, calls_in_turn(people.index, questions, rates), cached, days, strict=True
    ):
        demand = Demand(vendor.name, calls.most, *_price_and_pace(connection, policy, vendor.name), starts)
        starts = demand.ends
        share = forecasts.billed_share(connection, vendor.name, _BILLED_DAYS)
        likely = Decimal(calls.most_likely) * demand.price * Decimal(1.0 if share is None else share)
        paid = forecasts.already_paid(connection, vendor.name, vendor.package, list(answers), age)
        told.append(
            (
                demand,
                {
                    "calls": calls.most,
                    "most_likely_calls": round(calls.most_likely),
                    "cached": len(answers),
                    "price": usd(demand.price),
                    "cost": usd(calls.most * demand.price),
                    "most_likely_cost": usd(likely.quantize(_SMALLEST, ROUND_FLOOR)),
                    "already_paid": usd(paid),
                    "seconds": round(demand.ends - demand.starts, 1),
                },
            )
        )
    return told


def _cached(connection: psycopg.Connection, vendor: Vendor, subjects: Sequence[str], days: int) -> dict[str, str]:
    """Fresh answers (JSON text) by subject."""
    answers: dict[str, str] = {}
    for start in range(0, len(subjects), _BLOCK):
        stored = vendor_calls.fresh_answers(
            connection, vendor.name, vendor.package, subjects[start : start + _BLOCK], days
        )
        answers |= {answer.subject: answer.answer for answer in stored}
    return answers


def _price_and_pace(connection: psycopg.Connection, policy: Policy, vendor: str) -> tuple[Decimal, float]:
    """Today's pace: the allowed one, or what the slots allow at today's median answer time, whichever is less."""
    limits, median = policy.limits_of(vendor), vendor_calls.seconds_per_call(connection, vendor)
    return limits.price_usd, limits.per_second if not median else min(limits.per_second, limits.concurrency / median)


def _sum(by_vendor: dict[str, dict[str, Any]], name: str) -> Decimal:
    return usd(sum((part[name] for part in by_vendor.values()), start=Decimal(0)))
