"""Guardrail 6: Lookup answers name the carrier (v2 `carrier_name`, v1 `carrier.name`).

For some line types an answer has no carrier by design; only those that have one are counted.
"""

from __future__ import annotations

from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.result import Finding, Guardrail, failed, not_applicable, passed
from lead_intel.record.guardrail_facts import carrier_counts

WITH_CARRIER = ("mobile", "landline", "fixedVoip", "nonFixedVoip")
_SAYS_SOMETHING = 5
"""Fewer unknown carriers than this are no pattern, whatever their share of a short list."""


def examine(inputs: Inputs) -> Finding:
    """Compare the share of unknown carriers with policy's `unknown_carrier_share`."""
    allowed = inputs.policy.guardrails.unknown_carrier_share
    with inputs.database() as connection:
        counts = carrier_counts(connection, WITH_CARRIER, inputs.upload)
    if counts.numbers == 0:
        return not_applicable("No number with a carrier was looked up yet.")
    share = counts.unknown / counts.numbers
    figures: dict[str, float | str] = {
        "numbers": counts.numbers,
        "unknown": counts.unknown,
        "unknown_share": round(share, 4),
        "allowed_share": allowed,
    }
    seen = (
        f"{counts.unknown:,} of {counts.numbers:,} numbers have no carrier name ({share:.1%}; allowed {allowed:.0%})."
    )
    if share > allowed and counts.unknown >= _SAYS_SOMETHING:
        return failed(
            seen,
            "Check the Lookup package with Twilio, or raise unknown_carrier_share in guardrails.yml; then resume.",
            figures,
        )
    return passed(seen, figures)


GUARDRAIL = Guardrail(
    number=6,
    name="carrier_metadata",
    title="Carrier metadata",
    blocks="The upload stops after Lookup; missing carriers are shown as unknown.",
    rule_version="2026-11-24",
    about_upload=True,
    examine=examine,
)
