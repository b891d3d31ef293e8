"""Reading single values out of a vendor's answer: typed, capped, without control characters. Pure.

A vendor's answer is somebody else's text: it enters our tables only through here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MAX_TEXT = 200
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
"""Control characters, line separators, and halves of surrogate pairs, which no database takes."""

_NOT_DIGITS = re.compile(r"\D+")


def mapping(value: Any) -> Mapping[str, Any] | None:
    """`value` when it is a JSON object."""
    return value if isinstance(value, dict) else None


def text(value: Any, at_most: int = MAX_TEXT) -> str:
    """A string as one capped line; blank for anything else."""
    return _CONTROL.sub(" ", value).strip()[:at_most] if isinstance(value, str) else ""


def number(value: Any, low: float, high: float) -> float | None:
    """A JSON number within [low, high]; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        return None
    return float(value)


def code(value: Any) -> int:
    """A numeric error code, also where it comes as text; 0 when there is none."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return value if 0 < value < 10**6 else 0
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 7 else 0


def digits_of(value: Any) -> str:
    """E.164 digits of a number as vendors write it; ten digits are taken for +1. Blank for anything else."""
    if not isinstance(value, str) or len(value) > 40:
        return ""
    digits = _NOT_DIGITS.sub("", value)
    return f"1{digits}" if len(digits) == 10 and not value.lstrip().startswith("+") else digits
