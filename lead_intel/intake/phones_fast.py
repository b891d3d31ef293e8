"""Phones of common US shapes, decided for a whole column at once; everything else is left undecided.

Ten digits, or eleven that begin with 1, with nothing around them but spaces, dots, dashes, slashes and brackets, a
leading +1, an extension, `tel:`, Unicode dashes or invisible marks. Validity comes from `nanp`'s table. The same marks
with too few or too many digits are invalid. Must agree with `phones.judge` on every text that it decides (a property
test holds the two together).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lead_intel.intake.nanp import ASK, INVALID, nanp_table

_SLICE = 250_000
_BAD, _DIGIT, _MARK, _PLUS = 0, 1, 2, 3
_CLASS = np.zeros(256, np.uint8)
_CLASS[list(b"0123456789")] = _DIGIT
_CLASS[list(b" -.()/")] = _MARK
_CLASS[ord("+")] = _PLUS
_MOST_HOPELESS = 13
"""From 14 digits on, a cell may hold two numbers."""
_POWERS = 10 ** np.arange(9, -1, -1, dtype=np.int64)
_NATIONAL = 10
_COUNTRY_CODE_1 = np.int64(10**_NATIONAL)

# A numeric cell's ".0" is no digit.
_NUMERIC_CELL = r"^(\+?[0-9]+)\.0+$"
_INVISIBLE = "[\u00ad\u200b-\u200f\u2060\ufeff]"
_DASHES = "[\u2010-\u2015\u2212\u30fc\uff0d]"
_SPACES = "[\u00a0\u3000]"
_EXTENSION = r"^([+(]?[0-9][0-9 ().\-]{8,18}[0-9]) ?(?:[eE][xX][tT]\.?|[xX]) ?[0-9]{1,6}$"
_NO_DIGIT = r"^[A-Za-z /.\-]+$"
# What a spreadsheet made of a number: damaged, not invalid.
_DAMAGED = r"^-|^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

Ints = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Fast:
    """`digits` is 0 and `regions` -1 where undecided or invalid; a decided 0 is an invalid number."""

    digits: Ints
    regions: np.ndarray[Any, np.dtype[np.int32]]
    decided: Mask
    region_names: tuple[str, ...]


def fast_digits(texts: pa.Array) -> Fast:
    """Decide what can be decided of `texts` (large_string, trimmed, no nulls)."""
    table = nanp_table()
    digits = np.zeros(len(texts), np.int64)
    regions = np.full(len(texts), -1, np.int32)
    decided = np.zeros(len(texts), bool)
    for start in range(0, len(texts), _SLICE):
        rows = slice(start, start + _SLICE)
        digits[rows], regions[rows], decided[rows] = _decide(texts.slice(start, _SLICE))
    rest = np.flatnonzero(~decided)
    again = _plainer(texts.take(pa.array(rest)))
    digits[rest], regions[rest], decided[rest] = _decide(again)
    decided[rest] |= _true(pc.match_substring_regex(again, _NO_DIGIT))
    return Fast(digits, regions, decided, table.regions)


def _plainer(texts: pa.Array) -> pa.Array:
    """The same numbers without what is read over: other dashes, marks, extensions, `tel:`, a numeric cell's `.0`."""
    # In the judge's order: a numeric cell is one before anything but invisible marks is taken away.
    for pattern, plain in (
        (_INVISIBLE, ""),
        (_NUMERIC_CELL, r"\1"),
        (_DASHES, "-"),
        (_SPACES, " "),
        ("^tel:", ""),
    ):
        texts = pc.replace_substring_regex(texts, pattern, plain)
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(texts, _EXTENSION, r"\1"))


def _decide(texts: pa.Array) -> tuple[Ints, np.ndarray[Any, np.dtype[np.int32]], Mask]:
    offsets, content = _bytes_of(texts)
    kinds = _CLASS[content]
    is_digit = kinds == _DIGIT
    digits_before = _running(is_digit)[offsets]
    count = np.diff(digits_before)
    clean = np.diff(_running(kinds == _BAD)[offsets]) == 0
    plus = np.diff(_running(kinds == _PLUS)[offsets])
    values = content[is_digit] - ord("0")
    begin = digits_before[:-1]
    padded = np.append(values, np.zeros(_NATIONAL + 1, np.uint8))
    first, second = padded[begin], padded[begin + 1]
    begins_with_plus = _plus_leads(plus, offsets, content)
    numeric_cell = _true(pc.match_substring_regex(texts, _NUMERIC_CELL))
    ten = (count == _NATIONAL) & (plus == 0) & (first >= 2)
    eleven = (count == _NATIONAL + 1) & (first == 1) & (second >= 2) & begins_with_plus
    rows = np.flatnonzero(clean & (ten | eleven) & ~numeric_cell)
    places = begin[rows] + eleven[rows]
    national = padded[places[:, None] + np.arange(_NATIONAL)].astype(np.int64) @ _POWERS
    digits, regions, decided = _answers(len(texts), rows, national)
    # Country code 1, written or meant, and no ten digits after it, also when a second 1 is taken away.
    begins_with_ones = (count > _NATIONAL + 1) & (first == 1) & (second == 1)
    abroad = (first == 0) & (second == 1) & (padded[begin + 2] == 1)
    of_country_1 = np.where(plus == 0, ~abroad, begins_with_plus & (first == 1))
    hopeless = clean & of_country_1 & (count > 0) & (count <= _MOST_HOPELESS) & ~(ten | eleven | begins_with_ones)
    decided |= hopeless & ~numeric_cell & ~_true(pc.match_substring_regex(texts, _DAMAGED))
    return digits, regions, decided


def _answers(size: int, rows: Ints, national: Ints) -> tuple[Ints, np.ndarray[Any, np.dtype[np.int32]], Mask]:
    codes = nanp_table().codes[national // 10**4]
    valid = (codes != INVALID) & (codes != ASK)
    digits, regions, decided = np.zeros(size, np.int64), np.full(size, -1, np.int32), np.zeros(size, bool)
    digits[rows[valid]] = national[valid] + _COUNTRY_CODE_1
    regions[rows[valid]] = codes[valid].astype(np.int32) - 1
    decided[rows] = codes != ASK
    return digits, regions, decided


def _plus_leads(plus: Ints, offsets: Ints, content: np.ndarray[Any, Any]) -> Mask:
    """No plus, or one at the very beginning (a bracket may stand before it)."""
    padded = np.append(content, np.zeros(2, np.uint8))
    first, second = padded[offsets[:-1]], padded[offsets[:-1] + 1]
    leads = (first == ord("+")) | ((first == ord("(")) & (second == ord("+")))
    return np.asarray((plus == 0) | ((plus == 1) & leads))


def _bytes_of(texts: pa.Array) -> tuple[Ints, np.ndarray[Any, np.dtype[np.uint8]]]:
    _, offset_buffer, content_buffer = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if content_buffer is None:
        return offsets - offsets[0], np.zeros(0, np.uint8)
    content = np.frombuffer(content_buffer, np.uint8)[offsets[0] : offsets[-1]]
    return offsets - offsets[0], content


def _running(mask: Mask) -> Ints:
    return np.concatenate([[0], np.cumsum(mask, dtype=np.int64)])


def _true(answer: pa.Array) -> Mask:
    return np.asarray(answer.to_numpy(zero_copy_only=False), bool)
