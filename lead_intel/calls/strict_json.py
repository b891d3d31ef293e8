"""Strict reading of JSON that somebody else wrote: no NaN, no duplicate keys, bounded depth and digits.

Pure. What the values mean is the vendor module's business.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 64
MAX_DIGITS = 64

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class NotStrictJson(ValueError):
    """The bytes are not JSON as we accept it. The message never quotes them."""


def parse(body: bytes) -> Any:
    """The value of `body`. Raises NotStrictJson."""
    _refuse_depth(body)
    try:
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_bounded_int,
            parse_float=_bounded_float,
        )
    except NotStrictJson:
        raise
    except (ValueError, RecursionError):
        raise NotStrictJson("not JSON") from None


def _refuse_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _TOKENS.finditer(body):
        first = token.group()[:1]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise NotStrictJson("nested too deeply")
        elif first in b"]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NotStrictJson("a key occurs twice")
    return value


def _refuse_constant(_name: str) -> Any:
    raise NotStrictJson("NaN and Infinity are not JSON")


def _bounded_int(text: str) -> int:
    _bounded(text)
    return int(text)


def _bounded_float(text: str) -> float:
    _bounded(text)
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise NotStrictJson("a number is out of range")
    return value


def _bounded(text: str) -> None:
    if len(text) > MAX_DIGITS:
        raise NotStrictJson("a number has too many digits")
