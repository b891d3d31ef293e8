"""Guardrail 3: Twilio takes our credential for Lookup, and the package is not refused to us.

A basic validation (no package) is free, so it is asked each time. That a *package* is refused or used up can only
be seen in paid answers; the call ledger holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from lead_intel.calls.ports import Reply, Request
from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.result import Finding, Guardrail, failed, passed, unverifiable
from lead_intel.guardrails.wire import ask
from lead_intel.record.guardrail_facts import RecentOutcomes, recent_outcomes
from lead_intel.settings import Settings

VENDOR = "twilio_lookup"
# A number of the block that is set aside for fiction: nobody's, and the same each time.
_NOBODYS_NUMBER = "12125550100"
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_HOLD_SECONDS = 15.0
"""How long a refused package blocks. Then one more call may find out whether it still is: a refusal costs nothing,
and a guardrail that waits for an answer which it prevents would never clear."""


def examine(inputs: Inputs) -> Finding:
    """Ask for free, then look at what the paid calls of the last hour were told."""
    reply = ask(inputs.settings, _free_request(inputs.settings))
    if reply is None:
        return unverifiable("Twilio Lookup does not answer.", "Check TWILIO_LOOKUP_URL and Twilio's status page.")
    code = _code(reply)
    figures: dict[str, float | str] = {"http_status": reply.status, "twilio_code": code}
    if reply.status in _REFUSED:
        return failed(
            f"Twilio refuses the credential (status {reply.status}, code {code}).",
            "Set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN to a live key that may use Lookup; then resume.",
            figures,
        )
    if reply.status != HTTPStatus.OK:
        return unverifiable(
            f"Twilio Lookup answered {reply.status} to a free validation.", "Try again in a moment.", figures
        )
    with inputs.database() as connection:
        return _judge_package(recent_outcomes(connection, VENDOR), figures)


def _judge_package(recent: RecentOutcomes, figures: dict[str, float | str]) -> Finding:
    figures |= {"calls_last_hour": recent.answered, "refused_last_hour": recent.refused}
    is_refused = recent.newest in ("auth", "quota")
    if is_refused and recent.newest_age is not None and recent.newest_age < _HOLD_SECONDS:
        return failed(
            f"Lookup's package was refused {recent.newest_age:.0f} s ago ({recent.newest}).",
            "Have the package enabled or its quota raised in the Twilio console, or set a live key; then resume, "
            f"at the earliest {_HOLD_SECONDS:.0f} s after the refusal.",
            figures,
        )
    note = f" The package was refused {recent.refused} times in the last hour." if recent.refused else ""
    return passed(f"Twilio accepts the credential.{note}", figures)


def _free_request(settings: Settings) -> Request:
    return Request(
        "GET",
        f"{settings.twilio_lookup_url.rstrip('/')}/v2/PhoneNumbers/%2B{_NOBODYS_NUMBER}",
        basic_auth=(settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value()),
    )


def _code(reply: Reply) -> int:
    code = reply.body.get("code") if isinstance(reply.body, Mapping) else None
    return code if isinstance(code, int) else 0


GUARDRAIL = Guardrail(
    number=3,
    name="lookup_credentials",
    title="Lookup credential",
    blocks="Twilio Lookup stops; the upload waits without being charged.",
    rule_version="2026-11-24",
    about_upload=False,
    examine=examine,
)
