"""Guardrail 9: an upload that is to be activated has a sample above 0 %."""

from __future__ import annotations

from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.result import Finding, Guardrail, failed, not_applicable, passed


def examine(inputs: Inputs) -> Finding:
    """Look at the upload's row: the percent that a person chose, and whether activation is marked ready."""
    if inputs.ingestion is None:
        return not_applicable("No upload is asked about.")
    percent, ready = inputs.ingestion.sample_percent, inputs.ingestion.activation_ready
    figures: dict[str, float | str] = {"percent": float(percent or 0), "activation_ready": str(ready)}
    if percent is not None and percent > 0:
        return passed(f"The sample is {percent.normalize():f} %.", figures)
    chosen = "No sample was chosen" if percent is None else "The sample is 0 %"
    if not ready:
        return not_applicable(f"{chosen}, and nobody asked for activation.", figures)
    return failed(
        f"{chosen} while activation is marked ready.", "Choose one: `lead-intel sample UPLOAD PERCENT`.", figures
    )


GUARDRAIL = Guardrail(
    number=9,
    name="sample_chosen",
    title="Sample above 0 %",
    blocks="This upload is not activated.",
    rule_version="2026-11-24",
    about_upload=True,
    examine=examine,
)
