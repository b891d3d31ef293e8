"""Deterministic answers: everything that the stand-ins invent about a person is a hash of what was asked.

No service, no wire format: the same number has the same line and carrier at every vendor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")


def share(text: str, purpose: str) -> float:
    """A number in [0, 1) that depends on `text` and `purpose` alone."""
    digest = hashlib.blake2b(text.encode(), digest_size=7, person=purpose.encode()[:16]).digest()
    return int.from_bytes(digest, "big") / 2**56


def pick(text: str, purpose: str, choices: Sequence[T]) -> T:
    """One of `choices`, evenly."""
    return choices[int(share(text, purpose) * len(choices))]


def weighted(text: str, purpose: str, choices: Sequence[tuple[float, T]]) -> T:
    """One of `choices`, by weights that sum to one; the last takes what rounding leaves."""
    left = share(text, purpose)
    for weight, choice in choices:
        left -= weight
        if left < 0:
            return choice
    return choices[-1][1]


def hexadecimal(text: str, purpose: str, length: int) -> str:
    """`length` hexadecimal characters for identifiers."""
    return hashlib.sha256(f"{purpose}|{text}".encode()).hexdigest()[:length]


@dataclass(frozen=True, slots=True)
class Line:
    """The line behind a number: Twilio's 12-value type, and the carrier where that type has one."""

    type: str
    carrier: str | None
    mcc: str | None
    mnc: str | None


LINE_TYPES = (
    (0.600, "mobile"),
    (0.210, "landline"),
    (0.090, "nonFixedVoip"),
    (0.060, "fixedVoip"),
    (0.014, "unknown"),
    (0.008, "tollFree"),
    (0.004, "premium"),
    (0.004, "personal"),
    (0.003, "pager"),
    (0.003, "voicemail"),
    (0.002, "sharedCost"),
    (0.002, "uan"),
)

_MOBILE = (
    (0.35, ("Verizon Wireless", "311", "480")),
    (0.30, ("T-Mobile USA, Inc.", "310", "260")),
    (0.28, ("AT&T Wireless", "310", "410")),
    (0.04, ("US Cellular Corp.", "311", "580")),
    (0.03, ("Cellcom", "310", "600")),
)
_LANDLINE = (
    "AT&T Corp.",
    "Verizon New York, Inc.",
    "CenturyLink",
    "Frontier Communications",
    "Windstream",
    "Consolidated Communications",
)
_FIXED_VOIP = ("Comcast Cable", "Charter Communications", "Cox Communications", "Altice USA", "RingCentral")
_NON_FIXED_VOIP = (
    "Bandwidth.com",
    "Twilio - SMS/MMS-SVR",
    "Google (Grand Central) - SVR",
    "Level 3 Communications",
    "Onvoy, LLC",
    "Inteliquent",
)
_ABROAD = {
    "GB": ("234", (("Vodafone UK", "15"), ("EE Limited", "30"), ("O2 (UK)", "10"))),
    "DE": ("262", (("Telekom Deutschland", "01"), ("Vodafone Germany", "02"), ("Telefonica Germany", "03"))),
    "FR": ("208", (("Orange France", "01"), ("SFR", "10"), ("Bouygues Telecom", "20"))),
    "MX": ("334", (("Telcel", "020"), ("Movistar Mexico", "030"))),
    "AU": ("505", (("Telstra Mobile", "01"), ("Optus Mobile", "02"))),
}
_TOLL_FREE = frozenset({"800", "833", "844", "855", "866", "877", "888"})


@lru_cache(maxsize=65536)
def line_of(digits: str, region: str | None) -> Line:
    """The line of an E.164 number (digits without `+`)."""
    kind = _line_type(digits)
    if kind in {"mobile", "landline", "fixedVoip", "nonFixedVoip"}:
        carrier, mcc, mnc = _carrier(digits, region, kind)
        return Line(kind, carrier, mcc, mnc if kind == "mobile" else None)
    return Line(kind, None, None, None)


def _line_type(digits: str) -> str:
    if digits.startswith("1") and digits[1:4] in _TOLL_FREE:
        return "tollFree"
    if digits.startswith("1900"):
        return "premium"
    return weighted(digits, "line type", LINE_TYPES)


def _carrier(digits: str, region: str | None, kind: str) -> tuple[str, str | None, str | None]:
    if not digits.startswith("1"):
        mcc, carriers = _ABROAD.get(region or "", (None, (("Orange", "01"), ("Vodafone", "02"))))
        name, mnc = pick(digits, "carrier", carriers)
        return name, mcc, mnc
    if kind == "mobile":
        return weighted(digits, "carrier", _MOBILE)
    names = {"landline": _LANDLINE, "fixedVoip": _FIXED_VOIP, "nonFixedVoip": _NON_FIXED_VOIP}[kind]
    return pick(digits, "carrier", names), "313", None


FIRST_NAMES = (
    "James", "Mary", "Robert", "Patricia", "John", "Jennifer", "Michael", "Linda", "David", "Elizabeth", "William",
    "Barbara", "Richard", "Susan", "Joseph", "Jessica", "Thomas", "Karen", "Carlos", "Maria",
)  # fmt: skip
LAST_NAMES = (
    "Smith", "Johnson", "Williams", "Brown", "Jones", "Garcia", "Miller", "Davis", "Rodriguez", "Martinez", "Hernandez",
    "Lopez", "Wilson", "Anderson", "Thomas", "Taylor", "Moore", "Jackson", "Lee", "Nguyen",
)  # fmt: skip


def name_of(subject: str) -> tuple[str, str, str]:
    """First name, last name, sex of the person behind `subject`."""
    index = int(share(subject, "first name") * len(FIRST_NAMES))
    women = {1, 3, 5, 7, 9, 11, 13, 15, 17, 19}
    return FIRST_NAMES[index], pick(subject, "last name", LAST_NAMES), "female" if index in women else "male"
