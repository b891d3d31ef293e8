"""ZeroBounce v2: one e-mail address per call. Its errors arrive with HTTP 200."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, ClassVar

from starlette.routing import BaseRoute

from lead_intel.sandbox import settings
from lead_intel.sandbox.answers import name_of, pick, share, weighted
from lead_intel.sandbox.faults import Fault
from lead_intel.sandbox.service import Answer, Call, Refused, Service, as_json, retry_after

_STATUSES: tuple[tuple[float, tuple[str, str]], ...] = (
    (0.680, ("valid", "")),
    (0.030, ("valid", "alias_address")),
    (0.010, ("valid", "gold")),
    (0.050, ("invalid", "mailbox_not_found")),
    (0.020, ("invalid", "no_dns_entries")),
    (0.015, ("invalid", "mailbox_quota_exceeded")),
    (0.010, ("invalid", "possible_typo")),
    (0.010, ("invalid", "does_not_accept_mail")),
    (0.060, ("catch-all", "")),
    (0.015, ("catch-all", "accept_all")),
    (0.012, ("unknown", "mail_server_did_not_respond")),
    (0.010, ("unknown", "greylisted")),
    (0.008, ("unknown", "antispam_system")),
    (0.005, ("spamtrap", "")),
    (0.015, ("abuse", "")),
    (0.020, ("do_not_mail", "role_based")),
    (0.015, ("do_not_mail", "disposable")),
    (0.010, ("do_not_mail", "global_suppression")),
    (0.005, ("do_not_mail", "toxic")),
)
_ROLES = frozenset({"info", "admin", "sales", "support", "contact", "office", "noreply", "no-reply", "postmaster"})
_FREE = frozenset({"gmail.com", "yahoo.com", "hotmail.com", "outlook.com", "aol.com", "icloud.com"})
_BAD_KEY = "Invalid API key or your account ran out of credits"


class ZeroBounce(Service):
    """GET|POST /v2/validate, GET /v2/getcredits."""

    name = "zerobounce"
    prefix = "/zerobounce"
    kinds: ClassVar = {
        "slow_mailbox": "the mail server needs `seconds`; past the call's own `timeout` the answer is unknown",
        "status": "addresses get `status` and `sub_status`",
        "new_sub_status": "a sub_status that no document lists",
        "other_subject": "the answer is about another address",
    }

    def routes(self) -> list[BaseRoute]:
        """Validation and credits."""
        return [
            self.route("GET", "/v2/validate", self._validate),
            self.route("POST", "/v2/validate", self._validate),
            self.route("GET", "/v2/getcredits", self._credits),
        ]

    def refusal(self, fault: Fault) -> Answer:
        """A bad key and no credits are errors at HTTP 200; only blocks and breakdowns have a status."""
        match fault.kind:
            case "unauthorized" | "quota":
                return as_json({"error": _BAD_KEY})
            case "rate_limited":
                answer = as_json({"error": "Too many requests: blocked for one minute"}, 429)
                answer.headers.update(retry_after(fault))
                return answer
            case "forbidden" | "server_error":
                return as_json({"error": "Request refused"}, 403 if fault.kind == "forbidden" else 500)
        return super().refusal(fault)

    async def _credits(self, call: Call) -> Answer:
        call.about("getcredits")
        known = call.query.get("api_key") == settings.ZEROBOUNCE_KEY
        return as_json({"Credits": "100000" if known else "-1"})

    async def _validate(self, call: Call) -> Answer:
        given = dict(call.query)
        if call.request.method == "POST":
            form = await call.request.form()
            given |= {name: value for name, value in form.items() if isinstance(value, str)}
        email = given.get("email", "").strip()
        call.about("validate", *([email.lower()] if email else []))
        if given.get("api_key") != settings.ZEROBOUNCE_KEY:
            raise Refused(as_json({"error": _BAD_KEY}))
        if not email:
            raise Refused(as_json({"error": "Missing parameter: email"}))
        timeout = given.get("timeout", "")
        if timeout and not (timeout.isdigit() and 3 <= int(timeout) <= 60):
            raise Refused(as_json({"error": "Invalid timeout: 3 to 60 seconds"}))
        status, sub_status = _verdict(email.lower())
        if fault := call.fault("slow_mailbox"):
            needed, granted = fault.number("seconds", 8), float(timeout or 60)
            await asyncio.sleep(min(needed, granted))
            if needed > granted:
                status, sub_status = "unknown", "timeout_exceeded"
        if fault := call.fault("status"):
            status, sub_status = fault.text("status", status), fault.text("sub_status")
        if call.fault("new_sub_status"):
            sub_status = "quantum_mailbox"
        address = "other@example.com" if call.fault("other_subject") else email
        return as_json(_body(address, status, sub_status), paid=True)


def _verdict(email: str) -> tuple[str, str]:
    account, at, domain = email.rpartition("@")
    if not at or not account or "." not in domain:
        return "invalid", "failed_syntax_check"
    if account in _ROLES:
        return "do_not_mail", "role_based"
    return weighted(email, "zerobounce", _STATUSES)


def _body(email: str, status: str, sub_status: str) -> dict[str, Any]:
    account, _, domain = email.rpartition("@")
    first, last, sex = name_of(email.lower())
    found = sub_status not in {"no_dns_entries", "failed_syntax_check"}
    named = status == "valid" and share(email.lower(), "named") < 0.6
    return {
        "address": email,
        "status": status,
        "sub_status": sub_status,
        "account": account,
        "domain": domain,
        "did_you_mean": "gmail.com" if sub_status == "possible_typo" else None,
        "domain_age_days": str(int(share(domain, "age") * 9000)),
        "active_in_days": None,
        "free_email": domain.lower() in _FREE,
        "mx_found": "true" if found else "false",
        "mx_record": f"mx.{domain}" if found else None,
        "smtp_provider": pick(domain, "smtp", ("g-suite", "office365", "yahoo", "")),
        "firstname": first if named else None,
        "lastname": last if named else None,
        "gender": sex if named else None,
        "city": None,
        "region": None,
        "zipcode": None,
        "country": None,
        "processed_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.000"),
    }
