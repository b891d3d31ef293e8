"""Runs guardrails side by side, within one bound of time whatever hangs. Stores nothing, stops nothing."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable

from lead_intel.guardrails import (
    g01_bucket,
    g02_schema,
    g03_lookup_credentials,
    g04_dnc_freshness,
    g05_enrichment_sla,
    g06_carrier_metadata,
    g07_write_key,
    g08_engage_audiences,
    g09_sample_chosen,
    g10_replication_lag,
)
from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.result import Finding, Guardrail, GuardrailResult, failed

GUARDRAILS: dict[int, Guardrail] = {
    module.GUARDRAIL.number: module.GUARDRAIL
    for module in (
        g01_bucket,
        g02_schema,
        g03_lookup_credentials,
        g04_dnc_freshness,
        g05_enrichment_sla,
        g06_carrier_metadata,
        g07_write_key,
        g08_engage_audiences,
        g09_sample_chosen,
        g10_replication_lag,
    )
}
"""The ten, by number."""

LIMIT_SECONDS = 6.0
"""However the world behaves, an answer is there by then."""

_TICK_SECONDS = 0.1

_BROKEN = "The check itself broke, which counts as failed; look into the log, or ask the people who run Lead Intel."
_LATE = "Something that it asked hangs; which counts as failed. Try again, and check the network and the database."


def evaluate(
    numbers: Iterable[int],
    inputs: Inputs,
    limit_seconds: float = LIMIT_SECONDS,
    given_up: Callable[[], bool] = lambda: False,
) -> list[GuardrailResult]:
    """The results of the guardrails `numbers`, in that order. Never raises for what a guardrail met.

    Once `given_up` says that nobody waits for them any more, those without an answer count as late.
    """
    chosen = [GUARDRAILS[number] for number in numbers]
    answers: queue.SimpleQueue[tuple[int, Finding]] = queue.SimpleQueue()
    for guardrail in chosen:
        # Daemons: one that hangs must hold up neither the others nor the end of the process.
        threading.Thread(
            target=_examine, args=(guardrail, inputs, answers), name=f"guardrail-{guardrail.name}", daemon=True
        ).start()
    findings = _collected(answers, len(chosen), limit_seconds, given_up)
    late = failed(f"The check gave no answer within {limit_seconds:.0f} s.", _LATE)
    return [_result(guardrail, findings.get(guardrail.number, late)) for guardrail in chosen]


def _examine(guardrail: Guardrail, inputs: Inputs, answers: queue.SimpleQueue[tuple[int, Finding]]) -> None:
    try:
        finding = guardrail.examine(inputs)
    except Exception as error:  # noqa: BLE001  # fail closed, whatever it is; its text may quote what must not be shown
        finding = failed(f"The check could not be made ({type(error).__name__}).", _BROKEN)
    answers.put((guardrail.number, finding))


def _collected(
    answers: queue.SimpleQueue[tuple[int, Finding]],
    expected: int,
    limit_seconds: float,
    given_up: Callable[[], bool],
) -> dict[int, Finding]:
    findings: dict[int, Finding] = {}
    deadline = time.monotonic() + limit_seconds
    while len(findings) < expected and not given_up():
        left = deadline - time.monotonic()
        try:
            number, finding = answers.get(timeout=max(min(left, _TICK_SECONDS), 0))
        except queue.Empty:
            if left <= 0:
                break
            continue
        findings[number] = finding
    return findings


def _result(guardrail: Guardrail, finding: Finding) -> GuardrailResult:
    return GuardrailResult(
        number=guardrail.number,
        name=guardrail.name,
        state=finding.state,
        seen=finding.seen,
        figures=finding.figures,
        blocks=guardrail.blocks,
        remedy=finding.remedy,
        rule_version=guardrail.rule_version,
    )
