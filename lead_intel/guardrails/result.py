"""What a guardrail says: its finding, the result kept of it, and the JSON that people and scripts read.

`unverifiable` and `not_applicable` are states of their own and are nowhere shown as passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from lead_intel.guardrails.inputs import Inputs


class GuardrailState(StrEnum):
    """States as every surface shows them."""

    PASSED = "passed"
    FAILED = "failed"
    UNVERIFIABLE = "unverifiable"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found. `seen` and `remedy` are one sentence each, without personal data or secrets."""

    state: GuardrailState
    seen: str
    remedy: str = ""
    figures: Mapping[str, float | str] = field(default_factory=dict)


def passed(seen: str, figures: Mapping[str, float | str] | None = None) -> Finding:
    """The condition was looked at, and it holds."""
    return Finding(GuardrailState.PASSED, seen, figures=figures or {})


def failed(seen: str, remedy: str, figures: Mapping[str, float | str] | None = None) -> Finding:
    """The condition was looked at, and it does not hold."""
    return Finding(GuardrailState.FAILED, seen, remedy, figures or {})


def unverifiable(seen: str, remedy: str, figures: Mapping[str, float | str] | None = None) -> Finding:
    """Nobody could say whether the condition holds."""
    return Finding(GuardrailState.UNVERIFIABLE, seen, remedy, figures or {})


def not_applicable(seen: str, figures: Mapping[str, float | str] | None = None) -> Finding:
    """There is nothing here that the condition could be about."""
    return Finding(GuardrailState.NOT_APPLICABLE, seen, figures=figures or {})


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One of the ten. `about_upload`: its history belongs to one upload; otherwise it is everybody's."""

    number: int
    name: str
    title: str
    blocks: str
    rule_version: str
    about_upload: bool
    examine: Callable[[Inputs], Finding]


@dataclass(frozen=True, slots=True)
class GuardrailResult:
    """The result of one guardrail. `since` is when its present state began, known once it is stored."""

    number: int
    name: str
    state: GuardrailState
    seen: str
    figures: Mapping[str, float | str]
    blocks: str
    remedy: str
    rule_version: str
    since: datetime | None = None


def as_json(results: Sequence[GuardrailResult]) -> dict[str, list[dict[str, object]]]:
    """The `preflight --json` object."""
    return {
        "guardrails": [
            {
                "number": result.number,
                "name": result.name,
                "state": str(result.state),
                "seen": result.seen,
                "blocks": result.blocks,
                "remedy": result.remedy,
                "since": None if result.since is None else result.since.astimezone(UTC).isoformat(),
            }
            for result in sorted(results, key=lambda result: result.number)
        ]
    }
