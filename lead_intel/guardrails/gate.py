"""The gate before work that pays or pushes: evaluates guardrails, keeps the results, and stops what must not go on.

A blocking check in Dagster holds only inside its own run; stages ask here before their first call.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import psycopg

from lead_intel.errors import GuardrailFailed, LeadIntelError, Paused, RejectedInput
from lead_intel.guardrails import g02_schema, g03_lookup_credentials, g04_dnc_freshness
from lead_intel.guardrails.evaluate import GUARDRAILS, evaluate
from lead_intel.guardrails.inputs import gather
from lead_intel.guardrails.result import GuardrailResult, GuardrailState
from lead_intel.policy import Policy
from lead_intel.record import guardrails as history
from lead_intel.settings import Settings


class AtWork(Protocol):
    """What of a stage at work is needed here (`lead_intel.stage.StageAtWork` has it)."""

    @property
    def upload(self) -> str:
        """The upload's key."""
        ...

    @property
    def settings(self) -> Settings:
        """Settings of the stage."""
        ...

    @property
    def policy(self) -> Policy:
        """Policy of the stage."""
        ...

    @property
    def connection(self) -> psycopg.Connection:
        """The stage's own connection."""
        ...

    @property
    def stop(self) -> threading.Event:
        """Set when a person asks to stop, or the upload is lost."""
        ...

    def stop_if_asked(self) -> None:
        """Raise when `stop` is set."""
        ...


def require(numbers: Sequence[int], at_work: AtWork) -> None:
    """Go on only if every guardrail of `numbers` holds, or is unverifiable and accepted by policy.

    A person's stop does not wait for a vendor that is slow to answer a check.

    Raises:
        Stopped: a person asked to stop meanwhile; no result is kept.
        Paused: the Lookup credential is refused (`credentials`), or the DNC vendor's limit is reached (`dnc`).
        RejectedInput: the list's columns do not fit the contract.
        GuardrailFailed: anything else; the code is `guardrail:N`.
    """
    settings, policy, connection = at_work.settings, at_work.policy, at_work.connection
    inputs = gather(settings, policy, connection, at_work.upload)
    found = evaluate(numbers, inputs, given_up=at_work.stop.is_set)
    at_work.stop_if_asked()
    results = remembered(connection, at_work.upload, found)
    for result in results:
        error = objection(result, policy, settings)
        if error is not None:
            raise error


def remembered(
    connection: psycopg.Connection, upload: str | None, results: Iterable[GuardrailResult]
) -> list[GuardrailResult]:
    """Store `results` and return them with `since`."""
    return [
        replace(
            result,
            since=history.append(
                connection,
                upload=upload if GUARDRAILS[result.number].about_upload else None,
                number=result.number,
                state=result.state,
                seen=result.seen,
                figures=result.figures,
                blocks=result.blocks,
                remedy=result.remedy,
                rule_version=result.rule_version,
            ),
        )
        for result in results
    ]


def holds(result: GuardrailResult, policy: Policy, settings: Settings) -> bool:
    """True when work may go on: passed, not applicable, or unverifiable where policy accepts that."""
    if result.state is GuardrailState.UNVERIFIABLE:
        return acceptance(result.number, policy, settings) is not None
    return result.state in (GuardrailState.PASSED, GuardrailState.NOT_APPLICABLE)


def acceptance(number: int, policy: Policy, settings: Settings) -> str | None:
    """Why policy accepts that this guardrail cannot be verified here; None when it does not."""
    return policy.guardrails.accept_unverifiable.get(settings.lead_intel_environment, {}).get(number)


def objection(result: GuardrailResult, policy: Policy, settings: Settings) -> LeadIntelError | None:
    """The error that stops the work, or None when it may go on. An enrichment vendor's slowness stops no upload."""
    if holds(result, policy, settings) or result.number in WARNS_ONLY:
        return None
    seen, remedy = result.seen, result.remedy
    if result.state is GuardrailState.FAILED:
        if result.number == g02_schema.GUARDRAIL.number and g02_schema.CODE in result.figures:
            return RejectedInput(str(result.figures[g02_schema.CODE]), seen, remedy)
        if result.number == g03_lookup_credentials.GUARDRAIL.number:
            return Paused("credentials", seen, remedy)
        if result.number == g04_dnc_freshness.GUARDRAIL.number and result.figures.get(
            g04_dnc_freshness.RESUMES_BY_ITSELF
        ):
            return Paused("dnc", seen, remedy)
    return GuardrailFailed(f"guardrail:{result.number}", seen, remedy)


WARNS_ONLY = frozenset({5})
"""Guardrail 5 guards against a vendor, not against an upload: the vendor is labelled and the upload goes on."""
