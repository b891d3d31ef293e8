"""NeverBounce v4: one e-mail address per call. Its errors arrive with HTTP 200, told by `status`."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from starlette.routing import BaseRoute

from lead_intel.sandbox import settings
from lead_intel.sandbox.answers import hexadecimal, weighted
from lead_intel.sandbox.faults import Fault
from lead_intel.sandbox.service import Answer, Call, Refused, Service, as_json

_RESULTS: tuple[tuple[float, tuple[str, list[str]]], ...] = (
    (0.74, ("valid", ["has_dns", "has_dns_mx", "smtp_connectable"])),
    (0.08, ("invalid", ["has_dns", "has_dns_mx", "smtp_connectable"])),
    (0.03, ("invalid", ["bad_dns"])),
    (0.02, ("disposable", ["has_dns", "has_dns_mx", "disposable_email"])),
    (0.08, ("catchall", ["has_dns", "has_dns_mx", "smtp_connectable", "accepts_all"])),
    (0.05, ("unknown", ["has_dns", "has_dns_mx"])),
)
_REFUSALS = {
    "unauthorized": ("auth_failure", "Invalid API key"),
    "forbidden": ("bad_referrer", "This key may not be used from here"),
    "quota": ("general_failure", "Insufficient credit balance"),
    "rate_limited": ("throttle_triggered", "Too many requests"),
    "temp_unavail": ("temp_unavail", "Temporarily unavailable"),
    "general_failure": ("general_failure", "Something went wrong"),
}


class NeverBounce(Service):
    """GET|POST /v4/single/check."""

    name = "never_bounce"
    prefix = "/neverbounce"
    kinds: ClassVar = {
        "slow_mailbox": "the mail server needs `seconds`; past the call's own `timeout` the result is unknown",
        "result": "addresses get `result`",
        "new_result": "a result that no document lists",
        "other_subject": "the answer is about another address",
        "temp_unavail": "an error at HTTP 200",
        "general_failure": "an error at HTTP 200",
    }

    def routes(self) -> list[BaseRoute]:
        """The single check."""
        return [
            self.route("GET", "/v4/single/check", self._check),
            self.route("POST", "/v4/single/check", self._check),
        ]

    def refusal(self, fault: Fault) -> Answer:
        """Refusals are errors at HTTP 200; only breakdowns have a status."""
        return _refused(fault.kind) if fault.kind in _REFUSALS else super().refusal(fault)

    async def _check(self, call: Call) -> Answer:
        given = dict(call.query)
        if call.request.method == "POST":
            form = await call.request.form()
            given |= {name: value for name, value in form.items() if isinstance(value, str)}
        email = given.get("email", "").strip()
        call.about("single_check", *([email.lower()] if email else []))
        if given.get("key") != settings.NEVER_BOUNCE_KEY:
            raise Refused(_refused("unauthorized"))
        if not email:
            raise Refused(as_json({"status": "general_failure", "message": "Missing required parameter: email"}))
        for kind in ("temp_unavail", "general_failure"):
            if call.fault(kind):
                raise Refused(_refused(kind))
        result, flags = weighted(email.lower(), "neverbounce", _RESULTS)
        account, at, domain = email.rpartition("@")
        if not (account and at and "." in domain):
            result, flags = "invalid", ["bad_syntax"]
        if fault := call.fault("slow_mailbox"):
            needed, granted = fault.number("seconds", 8), float(given.get("timeout") or 30)
            await asyncio.sleep(min(needed, granted))
            if needed > granted:
                result = "unknown"
        if fault := call.fault("result"):
            result = fault.text("result", result)
        if call.fault("new_result"):
            result = "quantum"
        body: dict[str, Any] = {
            "status": "success",
            "result": result,
            "flags": flags,
            "suggested_correction": "",
            "retry_token": hexadecimal(email.lower(), "neverbounce retry", 16) if result == "unknown" else "",
            "execution_time": 120,
        }
        if given.get("address_info") == "1":
            body["address_info"] = {
                "original_email": "other@example.com" if call.fault("other_subject") else email,
                "normalized_email": email.lower(),
                "addr": account,
                "host": domain,
            }
        return as_json(body, paid=True)


def _refused(kind: str) -> Answer:
    status, message = _REFUSALS[kind]
    return as_json({"status": status, "message": message, "execution_time": 2})
