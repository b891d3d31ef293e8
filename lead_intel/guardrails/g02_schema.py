"""Guardrail 2: the list's columns, once mapped, fit the contract. The judge is the one that intake uses."""

from __future__ import annotations

from lead_intel.columns import ColumnVerdict
from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.result import Finding, Guardrail, failed, not_applicable, passed
from lead_intel.record import layouts
from lead_intel.uploads import State

CODE = "code"
"""The figure that carries the code under which the file is rejected; absent when the check itself failed."""


def examine(inputs: Inputs) -> Finding:
    """Judge the headers of the upload's list; name the missing and the ambiguous ones."""
    if inputs.ingestion is None:
        return not_applicable("No upload is asked about.")
    if inputs.headers is None:
        if inputs.ingestion.state == State.RECEIVED:
            return not_applicable("The list has not been read yet.")
        return failed("The columns of the list cannot be looked at.", "Resume the upload; its list is read again.")
    upload, supplier = inputs.ingestion.upload, inputs.ingestion.supplier
    with inputs.database() as connection:
        verdict = layouts.verdict_on(connection, inputs.policy, upload, supplier, inputs.headers)
    return _sentence(verdict)


def _sentence(verdict: ColumnVerdict) -> Finding:
    figures: dict[str, float | str] = {
        "mapped": len(verdict.mapping),
        "attributes": len(verdict.attributes),
        "missing": len(verdict.missing),
        "ambiguous": len(verdict.ambiguous),
    }
    if verdict.acceptable:
        return passed(f"Columns found for {', '.join(verdict.mapping.values())}.", figures)
    return failed(verdict.message, verdict.remedy, figures | {CODE: verdict.code})


GUARDRAIL = Guardrail(
    number=2,
    name="schema",
    title="Columns of the list",
    blocks="The file is rejected; nothing is paid.",
    rule_version="2026-11-24",
    about_upload=True,
    examine=examine,
)
