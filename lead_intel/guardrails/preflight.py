"""The ten checks at once, before any money is spent: for the CLI, the `preflight` job and the hub. Launches nothing."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from lead_intel.guardrails.evaluate import GUARDRAILS, evaluate
from lead_intel.guardrails.gate import objection, remembered
from lead_intel.guardrails.inputs import gather
from lead_intel.guardrails.result import GuardrailResult, as_json
from lead_intel.policy import Policy
from lead_intel.settings import Settings

__all__ = ["as_json", "is_go", "preflight"]


def preflight(
    settings: Settings, policy: Policy, connection: psycopg.Connection, upload: str | None = None
) -> list[GuardrailResult]:
    """Evaluate and store all ten, by number; about one upload where `upload` is given.

    Raises:
        UsageError: there is no such upload.
    """
    return remembered(connection, upload, evaluate(GUARDRAILS, gather(settings, policy, connection, upload)))


def is_go(results: Sequence[GuardrailResult], policy: Policy, settings: Settings) -> bool:
    """True when none of `results` would stop an upload."""
    return all(objection(result, policy, settings) is None for result in results)
