"""Twilio Lookup, v2 and the v1 shape, as the account of the sandbox sees it.

The account has the packages validation, line type, caller name and line status; the others answer 60606 as they do
for an account that was not approved. Numbers of Canada answer 60601 to line type, as without NPAC approval.
"""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from starlette.routing import BaseRoute

from lead_intel.sandbox import settings
from lead_intel.sandbox.answers import Line, hexadecimal, line_of, name_of, share
from lead_intel.sandbox.faults import Fault
from lead_intel.sandbox.numbering import Assessed, assessed
from lead_intel.sandbox.service import Answer, Call, Refused, Service, as_json, retry_after

_HOST = "https://lookups.twilio.com"
_PACKAGES = (
    "caller_name", "sim_swap", "call_forwarding", "line_status", "line_type_intelligence", "identity_match",
    "reassigned_number", "sms_pumping_risk", "phone_number_quality_score", "pre_fill",
)  # fmt: skip
_NOT_PROVISIONED: dict[str, dict[str, Any]] = {
    "sim_swap": {"last_sim_swap": None, "carrier_name": None, "mobile_country_code": None, "mobile_network_code": None},
    "call_forwarding": {"call_forwarding_enabled": None},
    "identity_match": {
        "first_name_match": None, "last_name_match": None, "address_lines_match": None, "city_match": None,
        "state_match": None, "postal_code_match": None, "address_country_match": None, "national_id_match": None,
        "date_of_birth_match": None, "summary_score": None, "error_message": None,
    },
    "reassigned_number": {"last_verified_date": None, "is_number_reassigned": None},
    "sms_pumping_risk": {
        "carrier_risk_category": None, "number_blocked": None, "number_blocked_date": None,
        "number_blocked_last_3_months": None, "sms_pumping_risk_score": None,
    },
    "phone_number_quality_score": {
        "quality_score": None, "quality_category": None, "carrier_risk_score": None, "carrier_risk_category": None,
        "disposable_phone_risk_score": None, "disposable_phone_risk_category": None, "velocity_risk_score": None,
        "velocity_risk_category": None,
    },
    "pre_fill": {
        "first_name": None, "last_name": None, "address_line": None, "country_code": None, "state": None,
        "postal_code": None,
    },
}  # fmt: skip
_CODES = {
    "rate_limited": (429, 20429, "Too Many Requests"),
    "unauthorized": (401, 20003, "Authenticate"),
    "forbidden": (403, 20403, "Account is suspended"),
    "quota": (403, 60611, "Lookup package quota reached"),
    "server_error": (500, 20500, "Internal Server Error"),
}
_AUTHORISED = base64.b64encode(f"{settings.TWILIO_ACCOUNT_SID}:{settings.TWILIO_AUTH_TOKEN}".encode())
_CONCURRENCY = 100
"""The account's ceiling of calls at one time; more are refused and not processed."""


_WITH_CARRIER = frozenset({"mobile", "landline", "fixedVoip", "nonFixedVoip"})


class _Allowance:
    """A token bucket that holds one second's worth: over any longer time the pace is exactly what is allowed."""

    def __init__(self) -> None:
        self._per_second = 0.0
        self._tokens = 0.0
        self._counted_at = 0.0

    def grants(self, per_second: float) -> bool:
        """Whether one more call is within `per_second`; a refused call uses nothing up."""
        now = time.monotonic()
        if per_second != self._per_second:
            self._per_second, self._tokens, self._counted_at = per_second, max(per_second, 1.0), now
        self._tokens = min(max(per_second, 1.0), self._tokens + (now - self._counted_at) * per_second)
        self._counted_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class TwilioLookup(Service):
    """GET /v2/PhoneNumbers/{number} and /v1/PhoneNumbers/{number}."""

    name = "twilio_lookup"
    prefix = "/twilio"
    kinds: ClassVar = {
        "package_error": "200 with `code` in the error_code of the package (of `package` only, when given)",
        "refused": "`status` with `code` in Twilio's envelope; `form` problem: as RFC 9457 problem JSON",
        "line_type": "every number has the line type `type`",
        "pace": "no more than `per_second` calls (a second's worth may come at once); the others get 429",
        "no_carrier": "carrier names are missing although the line type has them",
        "invalid": "200 with valid:false and `error` for numbers that are valid",
        "other_subject": "the answer is about another number",
        "concurrency": "the account's ceiling is `limit` calls at one time",
        "strict_encoding": "404 for a `+` that is not percent-encoded in the path",
    }

    def set_up(self) -> None:
        """Nobody is being served yet."""
        self._at_work = 0
        self._allowance = _Allowance()

    def routes(self) -> list[BaseRoute]:
        """Both versions."""
        return [
            self.route("GET", "/v2/PhoneNumbers/{number:path}", self._counted(self._v2)),
            self.route("GET", "/v1/PhoneNumbers/{number:path}", self._counted(self._v1)),
            self.route("GET", "/{path:path}", self._elsewhere),
        ]

    def refusal(self, fault: Fault) -> Answer:
        """Twilio's error envelope."""
        if fault.kind not in _CODES:
            return super().refusal(fault)
        status, code, message = _CODES[fault.kind]
        answer = _problem(status, int(fault.number("code", code)), message)
        answer.headers.update(retry_after(fault))
        return answer

    def _counted(self, work: Callable[[Call], Any]) -> Callable[[Call], Any]:
        async def counted(call: Call) -> Answer:
            self._at_work += 1
            try:
                answer: Answer = await work(call)
            except Refused as refused:
                self._sign(refused.answer, call)
                raise
            finally:
                self._at_work -= 1
            self._sign(answer, call)
            return answer

        return counted

    def _sign(self, answer: Answer, call: Call) -> None:
        answer.headers["twilio-concurrent-requests"] = str(max(self._at_work, 1))
        answer.headers["twilio-request-id"] = "RQ" + hexadecimal(str(id(call)), "request", 32)

    async def _elsewhere(self, call: Call) -> Answer:
        call.about("unknown path")
        raise Refused(_not_found(call.request.url.path))

    def _admit(self, call: Call) -> Assessed:
        """The number of the call, when account, path and parameters are in order."""
        text = call.request.path_params["number"].strip()
        number = assessed(text, call.query.get("CountryCode"))
        call.about("lookup", number.digits)
        encoded = call.request.headers.get("authorization", "").removeprefix("Basic ").encode()
        if not hmac.compare_digest(encoded, _AUTHORISED):
            raise Refused(_problem(401, 20003, "Authenticate"))
        ceiling = call.fault("concurrency")
        if self._at_work > (int(ceiling.number("limit", 1)) if ceiling else _CONCURRENCY):
            raise Refused(_problem(429, 20429, "Too Many Requests"))
        allowed = call.fault("pace")
        if allowed and not self._allowance.grants(allowed.number("per_second", 100)):
            answer = _problem(429, 20429, "Too Many Requests")
            answer.headers.update(retry_after(allowed))
            raise Refused(answer)
        refused = call.fault("refused")
        if refused:
            raise Refused(_refusal(refused))
        path = call.request.scope["raw_path"]
        if "/" in text or (call.fault("strict_encoding") and b"+" in path):
            raise Refused(_not_found(call.request.url.path))
        invalid = call.fault("invalid")
        if invalid:
            return Assessed(number.digits, (invalid.text("error", "INVALID_BUT_POSSIBLE"),))
        return number

    async def _v2(self, call: Call) -> Answer:
        number = self._admit(call)
        wanted = {name.strip() for name in call.query.get("Fields", "").split(",") if name.strip()}
        if wanted - {"validation", *_PACKAGES}:
            raise Refused(_problem(400, 20001, "Invalid parameter: Fields"))
        wanted.discard("validation")
        if "reassigned_number" in wanted and not call.query.get("LastVerifiedDate"):
            raise Refused(_problem(400, 20001, "LastVerifiedDate is mandatory"))
        body = _envelope(number)
        if call.fault("other_subject"):
            body["phone_number"] = "+12125550199"
        if number.errors or not wanted:
            call.operation = "validation" if not wanted else "lookup"
            # A free question is no key: it can be asked again at no cost.
            call.keys = call.keys if wanted else ()
            return as_json(body)
        for package in wanted:
            body[package] = self._package(package, number, call)
        call.note["fields"] = sorted(wanted)
        paid = any(body[package]["error_code"] is None for package in wanted)
        return as_json(body, paid=paid)

    def _package(self, package: str, number: Assessed, call: Call) -> dict[str, Any]:
        failure = call.fault("package_error")
        fails = failure is not None and failure.text("package", package) == package
        code = int(failure.number("code", 60600)) if failure and fails else None
        match package:
            case "line_type_intelligence":
                if code is None and number.region == "CA":
                    code = 60601
                return _line_type(self._line(number, call), code)
            case "caller_name":
                return _caller_name(number, code)
            case "line_status":
                return _line_status(number, code)
            case _:
                refusal: int | str = code or 60606
                # The specification makes this one a string, unlike all its siblings.
                refusal = str(refusal) if package == "reassigned_number" else refusal
                return {**_NOT_PROVISIONED[package], "error_code": refusal}

    def _line(self, number: Assessed, call: Call) -> Line:
        line = line_of(number.digits, number.region)
        forced = call.fault("line_type")
        if forced:
            line = _with_type(line, forced.text("type", "mobile"))
        return replace(line, carrier=None) if call.fault("no_carrier") else line

    async def _v1(self, call: Call) -> Answer:
        number = self._admit(call)
        if number.errors:
            raise Refused(_not_found(f"/v1/PhoneNumbers/+{number.digits}"))
        types = set(call.request.query_params.getlist("Type"))
        failure = call.fault("package_error")
        code = int(failure.number("code", 60600)) if failure else None
        carrier = None
        if "carrier" in types:
            line = _line_type(self._line(number, call), code)
            kind = {"fixedVoip": "voip", "nonFixedVoip": "voip", "mobile": "mobile", "landline": "landline"}
            carrier = {
                "name": line["carrier_name"], "type": kind.get(line["type"] or ""), "error_code": code,
                "mobile_country_code": line["mobile_country_code"], "mobile_network_code": line["mobile_network_code"],
            }  # fmt: skip
        body = {
            "caller_name": _caller_name(number, code) if "caller-name" in types else None,
            "carrier": carrier,
            "country_code": number.region,
            "national_format": number.national,
            "phone_number": f"+{number.digits}",
            "add_ons": None,
            "url": f"{_HOST}/v1/PhoneNumbers/+{number.digits}",
        }
        call.keys = call.keys if types else ()
        return as_json(body, paid=bool(types) and code is None)


def _envelope(number: Assessed) -> dict[str, Any]:
    return {
        "calling_country_code": number.calling_code,
        "country_code": number.region,
        "phone_number": f"+{number.digits}",
        "national_format": number.national,
        "valid": not number.errors,
        "validation_errors": list(number.errors) or None,
        **dict.fromkeys(_PACKAGES),
        "url": f"{_HOST}/v2/PhoneNumbers/+{number.digits}",
    }


def _line_type(line: Line, code: int | None) -> dict[str, Any]:
    if code is not None:
        line = Line("", None, None, None)
    return {
        "error_code": code,
        "mobile_country_code": line.mcc,
        "mobile_network_code": line.mnc,
        "carrier_name": line.carrier,
        "type": line.type or None,
    }


def _caller_name(number: Assessed, code: int | None) -> dict[str, Any]:
    if code is None and number.region != "US":
        code = 60600
    known = code is None and share(number.digits, "cnam") < 0.7
    first, last, _ = name_of(number.digits)
    return {
        "caller_name": f"{first} {last}".upper() if known else None,
        "caller_type": ("BUSINESS" if share(number.digits, "cnam type") < 0.2 else "CONSUMER") if known else None,
        "error_code": code,
    }


def _line_status(number: Assessed, code: int | None) -> dict[str, Any]:
    active = "active" if share(number.digits, "line status") < 0.9 else "inactive"
    return {"status": None if code is not None else active, "error_code": code}


def _with_type(line: Line, kind: str) -> Line:
    if kind not in _WITH_CARRIER:
        return Line(kind, None, None, None)
    return Line(kind, line.carrier or "Bandwidth.com", line.mcc, (line.mnc or "480") if kind == "mobile" else None)


def _refusal(fault: Fault) -> Answer:
    status, code = int(fault.number("status", 400)), int(fault.number("code", 20001))
    if fault.text("form") != "problem":
        return _problem(status, code, "Refused")
    problem = {
        "type": f"https://www.twilio.com/docs/api/errors/{code}", "title": "Refused", "status": status, "code": code,
        "detail": "This request was refused.", "instance": None,
    }  # fmt: skip
    answer = as_json(problem, status)
    answer.headers["content-type"] = "application/problem+json"
    return answer


def _problem(status: int, code: int, message: str) -> Answer:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return as_json({"code": code, "message": message, "more_info": more, "status": status}, status)


def _not_found(path: str) -> Answer:
    return _problem(404, 20404, f"The requested resource {path.removeprefix('/twilio')} was not found")
