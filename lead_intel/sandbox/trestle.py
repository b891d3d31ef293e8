"""Trestle's phone intelligence. A part that failed is named in `error` of an answer with HTTP 200."""

from __future__ import annotations

from typing import Any, ClassVar

from starlette.routing import BaseRoute

from lead_intel.sandbox import settings
from lead_intel.sandbox.answers import hexadecimal, line_of, share
from lead_intel.sandbox.dncscrub import is_litigator
from lead_intel.sandbox.faults import Fault
from lead_intel.sandbox.numbering import Assessed, assessed
from lead_intel.sandbox.service import Answer, Call, Refused, Service, as_json, retry_after

_LINE_TYPES = {
    "mobile": "Mobile", "landline": "Landline", "fixedVoip": "FixedVOIP", "nonFixedVoip": "NonFixedVOIP",
    "premium": "Premium", "voicemail": "Voicemail", "unknown": "Unknown",
}  # fmt: skip
_REFUSALS = {
    "rate_limited": (429, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded", "Slow down"),
    "quota": (429, "QUOTA_EXCEEDED", "Quota exceeded", "Upgrade the plan"),
    "unauthorized": (403, "INVALID_API_KEY", "Invalid API key", "Check the x-api-key header"),
    "forbidden": (403, "FORBIDDEN", "Forbidden", "The key may not use this endpoint"),
    "missing_key": (403, "MISSING_API_KEY", "Missing API key", "Send the x-api-key header"),
    "server_error": (500, "INTERNAL_ERROR", "Internal server error", ""),
}
_COUNTRIES = {"US": "United States", "CA": "Canada", "GB": "United Kingdom", "MX": "Mexico"}


class Trestle(Service):
    """GET /3.0/phone_intel."""

    name = "trestle"
    prefix = "/trestle"
    kinds: ClassVar = {
        "partial": "200 with `error` in the body and a part of the fields empty",
        "no_signal": "an activity score of 50 for every number",
        "other_subject": "the answer is about another number",
    }

    def routes(self) -> list[BaseRoute]:
        """The one call."""
        return [self.route("GET", "/3.0/phone_intel", self._phone_intel)]

    def refusal(self, fault: Fault) -> Answer:
        """403 and 429 of several kinds, told apart by errorCode."""
        if fault.kind not in _REFUSALS:
            return super().refusal(fault)
        answer = _refused(fault.kind)
        answer.headers.update(retry_after(fault))
        return answer

    async def _phone_intel(self, call: Call) -> Answer:
        phone = call.query.get("phone", "").strip()
        number = assessed(phone, call.query.get("phone.country_hint")) if phone else None
        call.about("phone_intel", *([number.digits] if number else []))
        key = call.request.headers.get("x-api-key")
        if key != settings.TRESTLE_KEY:
            raise Refused(_refused("unauthorized" if key else "missing_key"))
        if number is None:
            raise Refused(as_json({"error": "Bad Request", "message": "phone is required"}, 400))
        body = _body(number, phone)
        if "litigator_checks" in call.query.get("add_ons", "").split(","):
            body["add_ons"] = {"litigator_checks": {"phone.is_litigator_risk": is_litigator(number.digits)}}
        if call.fault("no_signal"):
            body["activity_score"] = 50
        if call.fault("other_subject"):
            body["phone_number"] = "+12125550199"
        if call.fault("partial"):
            body |= {
                "activity_score": None,
                "error": {"name": "PartialError", "message": "Could not retrieve entire response"},
            }
        return as_json(body, paid=True)


def _body(number: Assessed, phone: str) -> dict[str, Any]:
    digits = number.digits
    valid = not number.errors
    line = line_of(digits, number.region)
    return {
        "id": f"Phone.{hexadecimal(digits, 'trestle', 32)}",
        "phone_number": f"+{digits}" if digits.isdigit() else phone,
        "is_valid": valid,
        "activity_score": _activity(digits) if valid else None,
        "country_calling_code": number.calling_code,
        "country_code": number.region,
        "country_name": _COUNTRIES.get(number.region or ""),
        "line_type": _line_type(digits, line.type) if valid else None,
        "carrier": line.carrier if valid else None,
        "is_prepaid": share(digits, "prepaid") < 0.15 if valid and line.type == "mobile" else None,
        "add_ons": None,
        "error": None,
        "warnings": [] if valid else ["Invalid Input"],
    }


def _activity(digits: str) -> int:
    """70 and more: connected; 30 and less: likely disconnected; 50: no signal."""
    if share(digits, "no signal") < 0.06:
        return 50
    chance = share(digits, "activity")
    return 70 + int(share(digits, "score") * 31) if chance < 0.72 else int(share(digits, "score") * 100)


def _line_type(digits: str, line_type: str) -> str:
    if line_type == "tollFree":
        # Both spellings occur at the vendor.
        return "TollFree" if share(digits, "spelling") < 0.5 else "Tollfree"
    return _LINE_TYPES.get(line_type, "Other")


def _refused(kind: str) -> Answer:
    status, code, message, hint = _REFUSALS[kind]
    if status == 500:
        return as_json({"error": code, "message": message}, status)
    return as_json({"errorCode": code, "message": message, "hint": hint}, status)
