"""Guardrail 5: enrichment vendors answer within the limit, by the caller's clock.

A slow vendor is skipped and labelled; the upload goes on with the others. So this one never blocks an upload.
"""

from __future__ import annotations

from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.result import Finding, Guardrail, failed, not_applicable, passed
from lead_intel.record.guardrail_facts import CallTimes, call_times

_LATE_SHARE = 0.05
"""More late calls than this, and the vendor does not keep the limit: its p95 lies beyond it."""


def examine(inputs: Inputs) -> Finding:
    """Judge each vendor by the calls made for this upload, or by those of the last day."""
    limit = inputs.policy.guardrails.enrichment_sla_seconds
    with inputs.database() as connection:
        times = call_times(connection, inputs.policy.vendors.enrichment, limit, inputs.upload)
    if not times:
        return not_applicable("No enrichment call was made yet.")
    figures = {f"{vendor.vendor}_{name}": value for vendor in times for name, value in _figures(vendor).items()}
    slow = [vendor for vendor in times if vendor.late > vendor.calls * _LATE_SHARE]
    if slow:
        named = "; ".join(f"{v.vendor}: {v.late} of {v.calls} calls late, p95 {v.p95:.1f} s" for v in slow)
        return failed(
            f"Over the limit of {limit:.1f} s: {named}.",
            "Nothing to do for this upload; if it lasts, take the vendor out of vendors.yml or ask its support.",
            figures,
        )
    return passed(
        f"Every vendor keeps within {limit:.1f} s: "
        + "; ".join(f"{v.vendor} p50 {v.p50:.2f} s, p95 {v.p95:.2f} s, slowest {v.p100:.2f} s" for v in times)
        + ".",
        figures,
    )


def _figures(times: CallTimes) -> dict[str, float | str]:
    return {
        "calls": times.calls,
        "late": times.late,
        "p50_s": round(times.p50, 3),
        "p95_s": round(times.p95, 3),
        "p100_s": round(times.p100, 3),
    }


GUARDRAIL = Guardrail(
    number=5,
    name="enrichment_sla",
    title="Enrichment SLA",
    blocks="That vendor's answers; the upload goes on with the others.",
    rule_version="2026-11-24",
    about_upload=True,
    examine=examine,
)
