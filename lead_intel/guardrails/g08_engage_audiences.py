"""Guardrail 8: the audience behind every Engage template that policy feeds still exists, is on, and has its key.

Segment has no endpoint that tells which template uses an audience, so the registry of templates is ours; only the
audience can be asked for. A deleted audience leaves its trait on the profiles: nothing else would show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from lead_intel.calls.ports import Reply
from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.result import Finding, Guardrail, failed, not_applicable, passed, unverifiable
from lead_intel.guardrails.wire import ask, ask_all
from lead_intel.policy import Policy
from lead_intel.record import engage_templates
from lead_intel.record.engage_templates import EngageTemplate
from lead_intel.settings import Settings
from lead_intel.vendors.segment_public import (
    Audience,
    AudienceCondition,
    Standing,
    audience_request,
    audiences_request,
    read_audience,
    read_audiences,
    standing,
)

_TOKEN = "Set SEGMENT_PUBLIC_TOKEN and SEGMENT_SPACE_ID."  # noqa: S105  # a sentence, not a token
_LATER = "Try again in a moment; activation waits."
_MOST_PAGES = 5


class _Gravity(IntEnum):
    """How bad one template's state is; the worst decides."""

    FINE = 0
    UNKNOWN = 1
    HOLD = 2
    BLOCK = 3


@dataclass(frozen=True, slots=True)
class _Seen:
    template: str
    gravity: _Gravity
    what: str
    status: str


def examine(inputs: Inputs) -> Finding:
    """Register what is new, then ask for the audience of every registered template."""
    wanted = templates_of(inputs.policy)
    if not wanted:
        return not_applicable("No persona feeds an Engage template.")
    settings = inputs.settings
    if settings.segment_public_token is None or settings.segment_space_id is None:
        return unverifiable("Without a Public API token and a space nobody can tell whether audiences exist.", _TOKEN)
    space = settings.segment_space_id
    with inputs.database() as connection:
        known = {
            name: row
            for name, row in engage_templates.registered(connection).items()
            if name in wanted and row.audience_key == wanted[name] and row.space_id == space
        }
    seen = [
        *_look_for(inputs, space, {n: key for n, key in wanted.items() if n not in known}),
        *_look_at(settings, known),
    ]
    with inputs.database() as connection:
        for one in seen:
            engage_templates.saw(connection, one.template, one.status)
    return _judge(seen)


def templates_of(policy: Policy) -> dict[str, str]:
    """Template -> audience key, as personas.yml has them."""
    return {persona.template: persona.audience_key for persona in policy.personas.personas.values() if persona.template}


def _look_for(inputs: Inputs, space: str, missing: Mapping[str, str]) -> list[_Seen]:
    """Find the audiences of templates that were never seen, by key, and register them."""
    if not missing:
        return []
    listed = _listed(inputs.settings, space)
    if isinstance(listed, str):
        return [_Seen(template, _Gravity.UNKNOWN, listed, "unknown") for template in missing]
    seen = []
    with inputs.database() as connection:
        for template, key in missing.items():
            audience = listed.get(key)
            if audience is None:
                seen.append(_Seen(template, _Gravity.BLOCK, f"there is no audience with the key {key}", "missing"))
                continue
            engage_templates.register(connection, template, space, audience.audience_id, key)
            seen.append(_state_of(template, audience, key))
    return seen


def _listed(settings: Settings, space: str) -> dict[str, Audience] | str:
    """All audiences of the space by key, or the reason why they are not known."""
    assert settings.segment_public_token is not None  # noqa: S101  # `examine` looked
    token, by_key, cursor = settings.segment_public_token.get_secret_value(), dict[str, Audience](), None
    for _ in range(_MOST_PAGES):
        reply = ask(settings, audiences_request(settings.segment_public_url, token, space, cursor))
        if reply is None or standing(reply) is not Standing.FOUND:
            return _why_unknown(reply)
        page = read_audiences(reply)
        if page is None:
            return "the answer has an unknown shape"
        by_key |= {audience.key: audience for audience in page.audiences}
        cursor = page.next_cursor
        if cursor is None:
            return by_key
    return "the space has more audiences than can be listed here"


def _look_at(settings: Settings, known: Mapping[str, EngageTemplate]) -> list[_Seen]:
    """Ask for the audience of every known template, side by side."""
    assert settings.segment_public_token is not None  # noqa: S101  # `examine` looked
    url, token = settings.segment_public_url, settings.segment_public_token.get_secret_value()
    rows = list(known.values())
    replies = ask_all(settings, [audience_request(url, token, row.space_id, row.audience_id) for row in rows])
    return [_read(row, reply) for row, reply in zip(rows, replies, strict=True)]


def _read(row: EngageTemplate, reply: Reply | None) -> _Seen:
    if reply is not None and standing(reply) is Standing.GONE:
        return _Seen(row.template, _Gravity.BLOCK, f"its audience {row.audience_key} was deleted", "deleted")
    if reply is None or standing(reply) is not Standing.FOUND:
        return _Seen(row.template, _Gravity.UNKNOWN, _why_unknown(reply), "unknown")
    audience = read_audience(reply)
    if audience is None:
        return _Seen(row.template, _Gravity.UNKNOWN, "the answer has an unknown shape", "unknown")
    return _state_of(row.template, audience, row.audience_key)


def _state_of(template: str, audience: Audience, key: str) -> _Seen:
    if audience.key != key:
        return _Seen(template, _Gravity.BLOCK, f"its audience's key changed from {key}", "key changed")
    match audience.condition:
        case AudienceCondition.OFF:
            return _Seen(template, _Gravity.BLOCK, f"its audience {key} is off ({audience.status})", audience.status)
        case AudienceCondition.COMPUTING:
            return _Seen(template, _Gravity.HOLD, f"its audience {key} is {audience.status}", audience.status)
    return _Seen(template, _Gravity.FINE, f"its audience {key} is live", audience.status)


def _why_unknown(reply: Reply | None) -> str:
    if reply is None:
        return "the Public API does not answer"
    if standing(reply) is Standing.REFUSED:
        return f"the Public API refuses the token (status {reply.status})"
    return f"the Public API answered {reply.status}"


def _judge(seen: list[_Seen]) -> Finding:
    worst = max(one.gravity for one in seen)
    named = "; ".join(f"{one.template}: {one.what}" for one in seen if one.gravity == worst)
    figures: dict[str, float | str] = {"templates": len(seen)}
    figures |= {f"templates_{g.name.lower()}": sum(one.gravity == g for one in seen) for g in _Gravity}
    match worst:
        case _Gravity.BLOCK:
            return failed(
                f"{named[:1].upper()}{named[1:]}.",
                "Make the audience again and register it, or take the template out of personas.yml.",
                figures,
            )
        case _Gravity.HOLD:
            return failed(
                f"Not computed yet: {named}.", "Nothing to do: it clears once Segment has computed it.", figures
            )
        case _Gravity.UNKNOWN:
            return unverifiable(f"Nobody can tell: {named}.", _LATER, figures)
    return passed(f"All {len(seen)} templates are fed by live audiences.", figures)


GUARDRAIL = Guardrail(
    number=8,
    name="engage_audiences",
    title="Engage audiences",
    blocks="Activation of those templates.",
    rule_version="2026-11-24",
    about_upload=False,
    examine=examine,
)
