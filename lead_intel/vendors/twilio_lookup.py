"""Twilio Lookup v2, package line_type_intelligence: the question, and every way in which it is answered.

"Invalid number" and failures of the package arrive with HTTP 200; some of the same codes also come as 4xx.
Pure: nothing here sends anything.
"""

from __future__ import annotations

from typing import Any

from lead_intel.calls.ports import Ask, Outcome, Reply, Request, Verdict
from lead_intel.contract import LINE_TYPES
from lead_intel.settings import Settings
from lead_intel.vendors import values
from lead_intel.vendors.statuses import ANOTHER_SUBJECT, UNKNOWN_SHAPE, verdict_of_status

UNKNOWN = "unknown"

_ROW_UNKNOWN = frozenset({60600, 60601, 60607, 60610, 60614, 60619})
"""Out of coverage, Canada without NPAC approval, country or number or region not covered: the row is unknown."""

_REFUSED = frozenset({20003, 20403, 60606, 70051})
_USED_UP = frozenset({60611})
_TOO_FAST = frozenset({20429, 60616})
_PROVIDER_FAILED = frozenset({60608})


class TwilioLookup:
    """One number per call. Answer fields: valid, line_type, carrier_name, MCC, MNC, country_code, error_code."""

    name = "twilio_lookup"
    package = "line_type_intelligence"

    def __init__(self, settings: Settings) -> None:
        self._base = settings.twilio_lookup_url.rstrip("/")
        self._auth = (settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value())

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
            problem = values.mapping(reply.body) or {}
            return _by_code(values.code(problem.get("code"))) or by_status
        body = values.mapping(reply.body)
        if body is None or not isinstance(body.get("valid"), bool):
            return UNKNOWN_SHAPE
        if body.get("phone_number") != f"+{ask.payload}":
            return ANOTHER_SUBJECT
        country = values.text(body.get("country_code"), 2)
        if not body["valid"]:
            # Only the free validation ran.
            return Verdict(Outcome.INVALID, "no", _fields(valid=False, country=country))
        package = values.mapping(body.get(self.package))
        if package is None:
            return UNKNOWN_SHAPE
        failure = values.code(package.get("error_code"))
        if failure:
            return _by_code(failure, country) or Verdict(
                Outcome.VENDOR_ERROR, "unknown", detail=f"package error {failure}"
            )
        return Verdict(Outcome.OK, "yes", _read(package, country))


def _by_code(code: int, country: str = "") -> Verdict | None:
    detail = f"code {code}"
    if code in _ROW_UNKNOWN:
        return Verdict(Outcome.OK, "no", _fields(country=country, error_code=code), detail)
    if code in _REFUSED:
        return Verdict(Outcome.AUTH, "no", detail=detail)
    if code in _USED_UP:
        return Verdict(Outcome.QUOTA, "no", detail=detail)
    if code in _TOO_FAST:
        return Verdict(Outcome.RATE_LIMITED, "no", detail=detail)
    if code in _PROVIDER_FAILED:
        return Verdict(Outcome.VENDOR_ERROR, "no", detail=detail)
    return None


def _read(package: Any, country: str) -> dict[str, Any]:
    line_type = package.get("type")
    return _fields(
        line_type=line_type if line_type in LINE_TYPES else UNKNOWN,
        carrier=values.text(package.get("carrier_name")) or UNKNOWN,
        mcc=values.text(package.get("mobile_country_code"), 3),
        mnc=values.text(package.get("mobile_network_code"), 3),
        country=country,
    )


def _fields(
    *,
    valid: bool = True,
    line_type: str = UNKNOWN,
    carrier: str = UNKNOWN,
    mcc: str = "",
    mnc: str = "",
    country: str = "",
    error_code: int = 0,
) -> dict[str, Any]:
    return {
        "valid": valid,
        "line_type": line_type,
        "carrier_name": carrier,
        "mobile_country_code": mcc,
        "mobile_network_code": mnc,
        "country_code": country,
        "error_code": error_code,
    }
