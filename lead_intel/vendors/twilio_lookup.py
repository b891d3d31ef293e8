"""Twilio Lookup v2: the question about one number and one package, and every way in which it is answered.

"Invalid number" and failures of a package arrive with HTTP 200; some of the same codes also come as 4xx.
Pure: nothing here sends anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from lead_intel.calls.ports import Ask, Billed, Outcome, Reply, Request, Verdict
from lead_intel.contract import LINE_TYPES
from lead_intel.settings import Settings
from lead_intel.vendors import values
from lead_intel.vendors.statuses import ANOTHER_SUBJECT, UNKNOWN_SHAPE, verdict_of_status

UNKNOWN = "unknown"
LINE_TYPE = "line_type_intelligence"

CALLER_TYPES = ("CONSUMER", "BUSINESS", "UNDETERMINED")
LINE_STATUSES = ("active", "inactive")

_ROW_UNKNOWN = frozenset({60600, 60601, 60607, 60610, 60614, 60619})
"""Out of coverage, Canada without NPAC approval, country, number or region not covered: the row is unknown."""

_REFUSED = frozenset({20003, 20403, 60606, 70051})
_USED_UP = frozenset({60611})
_TOO_FAST = frozenset({20429, 60616})
_PROVIDER_FAILED = frozenset({60608})
_VALIDATION_ERRORS = frozenset(
    {"TOO_SHORT", "TOO_LONG", "INVALID_BUT_POSSIBLE", "INVALID_COUNTRY_CODE", "INVALID_LENGTH", "NOT_A_NUMBER"}
)


def worth_a_package(lines: pd.DataFrame, line_types: Sequence[str]) -> list[int]:
    """Valid numbers of `lines` (as in `contract.PhoneLookups`) whose line type is known to be one of `line_types`.

    A further package is asked about these: nothing is paid for any other.
    """
    wanted = (lines["outcome"] == "ok") & lines["valid"] & (lines["error_code"] == 0)
    numbers: list[int] = lines.loc[wanted & lines["line_type"].isin(line_types), "phone"].tolist()
    return numbers


class TwilioLookup:
    """One number and one package per call: each package has a price, an age and a claim of its own.

    Answer fields: valid, country_code, error_code, validation_errors (when invalid), and those of the package.
    """

    name = "twilio_lookup"

    def __init__(self, settings: Settings, package: str = LINE_TYPE, errors_billed: Billed = "no") -> None:
        self.package = package
        self._base = settings.twilio_lookup_url.rstrip("/")
        self._auth = (settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value())
        self._errors_billed: Billed = errors_billed
        self._read = _READERS[package]

    def ask_about(self, phone: int) -> Ask:
        """The question about one number, given as E.164 digits."""
        return Ask(str(phone), phone)

    def request(self, ask: Ask) -> Request:
        """GET with the `+` percent-encoded in the path, and the package asked for."""
        return Request(
            "GET",
            f"{self._base}/v2/PhoneNumbers/%2B{ask.payload:d}",
            params={"Fields": self.package},
            basic_auth=self._auth,
        )

    def classify(self, ask: Ask, reply: Reply) -> Verdict:
        """See the fact sheet's table of codes; the status code alone is never the verdict."""
        by_status = verdict_of_status(reply)
        if by_status is not None:
            code = _code_of_problem(reply)
            return self._by_code(code, "", "no") or _with_code(by_status, code)
        body = values.mapping(reply.body)
        if body is None or not isinstance(body.get("valid"), bool):
            return UNKNOWN_SHAPE
        if body.get("phone_number") != f"+{ask.payload}":
            return ANOTHER_SUBJECT
        country = values.text(body.get("country_code"), 2)
        if not body["valid"]:
            # Only the free validation ran.
            fields = self._fields({}, country) | {"valid": False, "validation_errors": _validation_errors(body)}
            return Verdict(Outcome.INVALID, "no", fields)
        package = values.mapping(body.get(self.package))
        if package is None:
            return UNKNOWN_SHAPE
        failure = values.code(package.get("error_code"))
        if failure:
            return self._by_code(failure, country, self._errors_billed) or Verdict(
                Outcome.VENDOR_ERROR, "unknown", {"error_code": failure}, f"package error {failure}"
            )
        return Verdict(Outcome.OK, "yes", self._fields(package, country))

    def _by_code(self, code: int, country: str, billed: Billed) -> Verdict | None:
        """The verdict that a code gives wherever it stands; only a row that gets an answer can have been billed."""
        detail = f"code {code}"
        if code in _ROW_UNKNOWN:
            return Verdict(Outcome.OK, billed, self._fields({}, country) | {"error_code": code}, detail)
        if code in _REFUSED:
            return Verdict(Outcome.AUTH, "no", detail=detail)
        if code in _USED_UP:
            return Verdict(Outcome.QUOTA, "no", detail=detail)
        if code in _TOO_FAST:
            return Verdict(Outcome.RATE_LIMITED, "no", detail=detail)
        if code in _PROVIDER_FAILED:
            return Verdict(Outcome.VENDOR_ERROR, "no", {"error_code": code}, detail)
        return None

    def _fields(self, package: Mapping[str, Any], country: str) -> dict[str, Any]:
        return {"valid": True, "country_code": country, "error_code": 0, **self._read(package)}


def _code_of_problem(reply: Reply) -> int:
    """Twilio's own code in an error body: as `code`, or at the end of the `type` of RFC 9457 problem JSON."""
    problem = values.mapping(reply.body) or {}
    return values.code(problem.get("code")) or values.code(values.text(problem.get("type")).rpartition("/")[2])


def _with_code(verdict: Verdict, code: int) -> Verdict:
    if not code:
        return verdict
    return Verdict(verdict.outcome, verdict.billed, {"error_code": code}, f"{verdict.detail}, code {code}")


def _validation_errors(body: Mapping[str, Any]) -> list[str]:
    said = body.get("validation_errors")
    return (
        [error for error in said if isinstance(error, str) and error in _VALIDATION_ERRORS]
        if isinstance(said, list)
        else []
    )


def _line_type(package: Mapping[str, Any]) -> dict[str, Any]:
    line_type = package.get("type")
    return {
        "line_type": line_type if line_type in LINE_TYPES else UNKNOWN,
        "carrier_name": values.text(package.get("carrier_name")) or UNKNOWN,
        "mobile_country_code": values.text(package.get("mobile_country_code"), 3),
        "mobile_network_code": values.text(package.get("mobile_network_code"), 3),
    }


def _caller_name(package: Mapping[str, Any]) -> dict[str, Any]:
    """Billed also when no name was found: then both are blank."""
    kind = package.get("caller_type")
    return {
        "caller_name": values.text(package.get("caller_name")),
        "caller_type": kind if kind in CALLER_TYPES else "",
    }


def _line_status(package: Mapping[str, Any]) -> dict[str, Any]:
    status = package.get("status")
    return {"status": status if status in LINE_STATUSES else UNKNOWN}


_READERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    LINE_TYPE: _line_type,
    "caller_name": _caller_name,
    "line_status": _line_status,
}
"""Package -> its own fields, in our words, from its part of the answer (empty: nothing is known)."""
