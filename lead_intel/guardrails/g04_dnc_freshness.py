"""Guardrail 4: do-not-call answers can be had and are fresh. Anything else holds leads; it never clears them.

Freshness counts from the list's own date, not from our import: 16 CFR 310.4(b)(3)(iv), 31 days.
"""

from __future__ import annotations

from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.result import Finding, Guardrail, failed, passed
from lead_intel.record.dnc import Snapshot, newest_snapshot, today
from lead_intel.record.guardrail_facts import RecentOutcomes, recent_outcomes, uncovered_leads

NATIONAL = "US"
"""Jurisdiction of the national registry; state lists stand beside it."""

VENDOR = "dncscrub"
RESUMES_BY_ITSELF = "resumes_by_itself"
"""The figure that tells a rate limit, which passes, from a list that a person must renew."""

_HOLD_SECONDS = 15.0
_IMPORT = "`lead-intel dnc import` takes the registry's current files."


def examine(inputs: Inputs) -> Finding:
    """Look at the newest national list and at what the DNC vendor said in the last hour."""
    with inputs.database() as connection:
        recent = recent_outcomes(connection, VENDOR)
        national = newest_snapshot(connection, NATIONAL)
        if national is None:
            return failed("No do-not-call list was imported.", _IMPORT, _calls(recent))
        age = (today(connection) - national.version_date).days
        uncovered = 0 if inputs.upload is None else uncovered_leads(connection, inputs.upload, national.area_codes)
    return _judge(national, age, uncovered, recent, inputs.policy.dnc.fresh_days)


def _judge(national: Snapshot, age: int, uncovered: int, recent: RecentOutcomes, fresh_days: int) -> Finding:
    covered = len(national.area_codes)
    figures = _calls(recent) | {
        "list_age_days": age,
        "list_numbers": national.numbers,
        "area_codes": covered,
        "leads_not_covered": uncovered,
    }
    if covered == 0:
        return failed("The newest do-not-call list covers no area code.", _IMPORT, figures)
    if age > fresh_days:
        return failed(f"The newest do-not-call list is {age} days old; {fresh_days} are allowed.", _IMPORT, figures)
    if _is_limited(recent):
        return failed(
            f"The DNC vendor's limit was reached {recent.newest_age or 0:.0f} s ago.",
            "Nothing to do: screening resumes by itself once the vendor answers again.",
            figures | {RESUMES_BY_ITSELF: 1},
        )
    held = f"; {uncovered:,} leads in area codes that it does not cover are held" if uncovered else ""
    return passed(f"The do-not-call list is {age} days old and covers {covered} area codes{held}.", figures)


def _is_limited(recent: RecentOutcomes) -> bool:
    return recent.newest in ("rate_limited", "quota") and (recent.newest_age or 0.0) < _HOLD_SECONDS


def _calls(recent: RecentOutcomes) -> dict[str, float | str]:
    return {"calls_last_hour": recent.answered, "rate_limited_last_hour": recent.rate_limited}


GUARDRAIL = Guardrail(
    number=4,
    name="dnc_freshness",
    title="DNC answers",
    blocks="Leads are held; none is cleared.",
    rule_version="2026-11-24",
    about_upload=False,
    examine=examine,
)
