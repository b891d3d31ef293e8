"""DNCScrub's scrub call: up to 10 numbers by GET, 10,000 by POST, one row each, all or nothing.

A scrub is paid as one call; the ledger's keys are its numbers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from starlette.routing import BaseRoute

from lead_intel.sandbox import settings
from lead_intel.sandbox.answers import Line, line_of, pick, share, weighted
from lead_intel.sandbox.faults import Fault
from lead_intel.sandbox.numbering import assessed, state_of, utc_offset_minutes
from lead_intel.sandbox.service import Answer, Call, Refused, Service, as_json, retry_after

_CODES: dict[str, tuple[tuple[float, str], ...]] = {
    "Wireless": (
        (0.850, "C"), (0.060, "D"), (0.045, "W"), (0.010, "P"), (0.006, "G"), (0.006, "H"), (0.005, "E"),
        (0.005, "O"), (0.005, "X"), (0.004, "B"), (0.004, "S"),
    ),
    "VoIP": (
        (0.850, "C"), (0.060, "D"), (0.045, "Y"), (0.010, "P"), (0.006, "F"), (0.006, "V"), (0.005, "E"),
        (0.005, "O"), (0.005, "X"), (0.004, "B"), (0.004, "S"),
    ),
    "AllOther": (
        (0.870, "C"), (0.070, "D"), (0.020, "P"), (0.010, "E"), (0.010, "O"), (0.010, "X"), (0.005, "B"), (0.005, "S"),
    ),
}  # fmt: skip
_KINDS = {"mobile": "Wireless", "fixedVoip": "VoIP", "nonFixedVoip": "VoIP"}
_WIRELESS_LIMITS = frozenset({"WY", "NJ", "TX", "LA", "AZ"})
_LISTED = "National (USA) 2024-{month:02d}-{day:02d}"
_SEPARATORS = re.compile(r"[\s().+-]")
_WINDOW = "8:00 AM-9:00 PM;8:00 AM-9:00 PM;8:00 AM-9:00 PM"
_COLUMNS = (
    "Phone", "ResultCode", "Reserved", "Reason", "RegionAbbrev", "Country", "Locale", "CarrierInfo",
    "NewReassignedAreaCode", "TZCode", "CallingWindow", "UTCOffset", "DoNotCallToday", "CallingTimeRestrictions",
    "EBRType", "IsWirelessOrVoIP", "LineType",
)  # fmt: skip
_ZONES = {-240: "4", -300: "5", -360: "6", -420: "7", -480: "8", -540: "9", -600: "10"}


class DncScrub(Service):
    """GET|POST /app/main/rpc/scrub."""

    name = "dncscrub"
    prefix = "/dncscrub"
    kinds: ClassVar = {
        "unknown_code": "rows carry a result code (`code`, default Z) that no document lists",
        "missing_rows": "the answer lacks the row of each `every_row`-th number (default 2)",
        "result_code": "rows carry `code`",
    }

    def routes(self) -> list[BaseRoute]:
        """The scrub call."""
        return [
            self.route("GET", "/app/main/rpc/scrub", self._scrub),
            self.route("POST", "/app/main/rpc/scrub", self._scrub),
        ]

    def refusal(self, fault: Fault) -> Answer:
        """The vendor answers refusals with a message."""
        messages = {
            "rate_limited": (429, "Rate limit exceeded"),
            "unauthorized": (401, "Invalid loginId"),
            "forbidden": (403, "The account may not use this service"),
            "quota": (403, "The account has no scrubs left"),
            "server_error": (500, "An error has occurred."),
        }
        if fault.kind not in messages:
            return super().refusal(fault)
        status, message = messages[fault.kind]
        answer = as_json({"Message": message}, status)
        answer.headers.update(retry_after(fault))
        return answer

    async def _scrub(self, call: Call) -> Answer:
        given = await _parameters(call)
        asked = [item for item in given.get("phoneList", "").split(",") if item.strip()]
        phones = [
            (_ten_digits(item.partition("|")[0]), item.partition("|")[0].strip(), item.partition("|")[2])
            for item in asked
        ]
        call.about("scrub", *dict.fromkeys(f"1{ten}" for ten, _, _ in phones if ten))
        call.note["numbers"] = len(phones)
        if call.request.headers.get("loginid") != settings.DNCSCRUB_LOGIN_ID:
            raise Refused(as_json({"Message": "Invalid loginId"}, 401))
        limit = 10 if call.request.method == "GET" else 10_000
        if not phones or len(phones) > limit:
            raise Refused(as_json({"Message": f"phoneList must hold 1 to {limit} numbers"}, 400))
        if given.get("ignoreInvalid") != "1" and any(ten is None for ten, _, _ in phones):
            # Atomic by default: one malformed number fails the whole call.
            raise Refused(as_json({"Message": "phoneList contains an invalid phone number"}, 400))
        rows = [_row(ten, text, reserved) for ten, text, reserved in phones]
        if given.get("output", "json") == "csv":
            return Answer(200, _csv(rows), {"content-type": "text/csv"}, paid=True)
        return as_json(_oddly(call, rows), paid=True)


async def _parameters(call: Call) -> Mapping[str, str]:
    if call.request.method == "GET":
        return call.query
    form = await call.request.form()
    return {**call.query, **{name: value for name, value in form.items() if isinstance(value, str)}}


def _oddly(call: Call, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for kind, default in (("unknown_code", "Z"), ("result_code", "D")):
        if fault := call.fault(kind):
            rows = [{**row, "ResultCode": fault.text("code", default)} for row in rows]
    if fault := call.fault("missing_rows"):
        every = int(fault.number("every_row", 2))
        rows = [row for index, row in enumerate(rows, 1) if index % every]
    return rows


def _ten_digits(text: str) -> str | None:
    digits = _SEPARATORS.sub("", text)
    if len(digits) == 11 and digits.startswith("1"):
        digits = digits[1:]
    return digits if len(digits) == 10 and digits.isascii() and digits.isdigit() else None


def _row(ten: str | None, text: str, reserved: str) -> dict[str, Any]:
    if ten is None:
        return dict.fromkeys(_COLUMNS, "") | {"Phone": text, "ResultCode": "M", "Reserved": reserved, "UTCOffset": 0}
    digits = f"1{ten}"
    number, state = assessed(f"+{digits}"), state_of(digits)
    if number.errors:
        return dict.fromkeys(_COLUMNS, "") | {"Phone": ten, "ResultCode": "I", "Reserved": reserved, "UTCOffset": 0}
    line = line_of(digits, number.region)
    kind = _KINDS.get(line.type, "AllOther")
    code = _result_code(digits, kind, state)
    offset = utc_offset_minutes(state)
    return {
        "Phone": ten,
        "ResultCode": code,
        "Reserved": reserved,
        "Reason": _reason(digits, code),
        "RegionAbbrev": state or "",
        "Country": number.region or "",
        "Locale": "",
        "CarrierInfo": _carrier_info(digits, line),
        "NewReassignedAreaCode": "",
        "TZCode": _ZONES.get(offset, ""),
        "CallingWindow": _WINDOW,
        "UTCOffset": offset,
        "DoNotCallToday": "N",
        "CallingTimeRestrictions": "",
        "EBRType": "P" if code in "EFGHOV" else "",
        "IsWirelessOrVoIP": "N" if kind == "AllOther" else "Y",
        "LineType": kind,
    }


def _result_code(digits: str, kind: str, state: str | None) -> str:
    code = weighted(digits, "dnc", _CODES[kind])
    return "L" if code == "W" and state in _WIRELESS_LIMITS else code


def _reason(digits: str, code: str) -> str:
    """National;State;Internal;Wireless, or the word Litigator."""
    if code == "D":
        if is_litigator(digits):
            return "Litigator"
        month, day = 1 + int(share(digits, "month") * 12), 1 + int(share(digits, "day") * 28)
        return f"{_LISTED.format(month=month, day=day)};;;"
    return {"P": ";;Internal;", "W": ";;;Wireless", "L": ";;;Wireless", "G": ";;;Wireless"}.get(code, "")


def is_litigator(digits: str) -> bool:
    """Whether the number belongs to a known litigator: about one in a hundred of the listed ones."""
    return weighted(digits, "dnc", _CODES["AllOther"]) == "D" and share(digits, "litigator") < 0.1


def _carrier_info(digits: str, line: Line) -> str:
    if line.carrier is None:
        return ""
    kind = {"mobile": "WIRELESS", "landline": "RBOC"}.get(line.type, "CLEC")
    return f'{pick(digits, "ocn", ("6006", "9206", "0104", "7229"))};{kind};"{line.carrier}"'


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
