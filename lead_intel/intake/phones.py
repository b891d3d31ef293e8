"""Phones: raw text -> E.164 digits and region where libphonenumber calls the number valid, else a code.

`judge` is the rule, one text at a time. `normalised` gives the same answers for a column: common US shapes are decided
vectorised (`phones_fast`), every other distinct text by `judge`. Nothing here knows a list, a policy or a file.

Decided on purpose, where libphonenumber alone would guess (default region US):
- seven digits are never completed (`310-1234` is a Canadian UAN to libphonenumber);
- a numeric cell's `.0` is dropped and an exponent written out, when all digits are there; else `phone_damaged`;
- a letter between two digits (`212O5550123`) is not dropped: `phone_damaged`; vanity words are read;
- invisible characters are dropped; extensions are read and not kept; two numbers in a cell are not split.
Valid is not callable: toll-free, premium and fictitious numbers are valid here and told apart by later stages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc

from lead_intel.intake.phones_fast import fast_digits

DEFAULT_REGION = "US"

PhoneCode = Literal["", "phone_blank", "phone_invalid", "phone_damaged", "phone_several"]
CODES: tuple[PhoneCode, ...] = ("", "phone_blank", "phone_invalid", "phone_damaged", "phone_several")
"""Blank: accepted. `phone_damaged`: the digits were lost before the list came here, most likely in a spreadsheet."""

TABLE_PAYS_FROM = 5_000
"""Rows from which the fast path saves more than its table costs."""

_MAX_TEXT = 250
_NATIONAL_DIGITS = 10
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_NUMERIC_CELL = re.compile(r"(\+?[0-9]+)\.0+")
_EXPONENT = re.compile(r"([0-9])(?:\.([0-9]+))?[eE]\+?([0-9]{1,3})")
_LETTER_IN_DIGITS = re.compile(r"[0-9][OoIlSB][0-9]")
_DAMAGED = re.compile(
    r"#{3,}|#(?:N/A|REF!|VALUE!|NAME\?|NUM!|DIV/0!|NULL!)|-[0-9]{1,9}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?"
)
_SEVERAL = re.compile(r"[0-9]{4}.*?(?:[/,;&|\n]| or ).*[0-9]{4}", re.DOTALL)
_SEVERAL_DIGITS = 14
_SECOND_NUMBER_DIGITS = 7
"""libphonenumber takes `2125550123;2125550124` for a number with an extension of ten digits."""


class Phone(NamedTuple):
    """`digits` is 0 and `region` blank unless `code` is blank."""

    digits: int
    region: str
    code: PhoneCode


@dataclass(frozen=True)
class Phones:
    """A column of phones: digits (0 where not accepted), region (ISO-2, 001, or blank), place of the code in CODES."""

    digits: np.ndarray[Any, np.dtype[np.int64]]
    regions: pa.Array
    codes: np.ndarray[Any, np.dtype[np.int8]]


def judge(text: str) -> Phone:
    """The one rule for one text."""
    visible = _INVISIBLE.sub("", text).strip()
    if not visible:
        return Phone(0, "", "phone_blank")
    if _LETTER_IN_DIGITS.search(visible):
        return Phone(0, "", "phone_damaged")
    written = _written_out(visible)
    if written is None:
        return Phone(0, "", "phone_damaged")
    number = _parsed(written)
    region = _valid_in(number) if number is not None else None
    if number is None or region is None:
        return Phone(0, "", _why_not(visible))
    if len(number.extension or "") >= _SECOND_NUMBER_DIGITS:
        return Phone(0, "", "phone_several")
    return Phone(int(f"{number.country_code}{phonenumbers.national_significant_number(number)}"), region, "")


def _written_out(text: str) -> str | None:
    """Undo what a numeric cell does to digits; None when digits were lost."""
    numeric = _NUMERIC_CELL.fullmatch(text)
    if numeric:
        return numeric[1]
    exponent = _EXPONENT.fullmatch(text)
    if not exponent:
        return text
    digits = exponent[1] + (exponent[2] or "")
    return digits if len(digits) == int(exponent[3]) + 1 else None


def _parsed(text: str) -> phonenumbers.PhoneNumber | None:
    if len(text) > _MAX_TEXT:
        return None
    try:
        return phonenumbers.parse(text, DEFAULT_REGION)
    except phonenumbers.NumberParseException:
        return None


def _valid_in(number: phonenumbers.PhoneNumber) -> str | None:
    """The region in which the number is valid. As `is_valid_number`, but the region is looked for once, not twice."""
    region = phonenumbers.region_code_for_number(number)
    if region is None or not phonenumbers.is_valid_number_for_region(number, region):
        return None
    if number.country_code == 1 and len(phonenumbers.national_significant_number(number)) != _NATIONAL_DIGITS:
        return None
    return str(region)


def _why_not(text: str) -> PhoneCode:
    if _DAMAGED.fullmatch(text):
        return "phone_damaged"
    # The search costs the square of the length.
    if len(text) <= _MAX_TEXT and sum(map(str.isdigit, text)) >= _SEVERAL_DIGITS and _SEVERAL.search(text):
        return "phone_several"
    return "phone_invalid"


def normalised(values: pa.Array | pa.ChunkedArray) -> Phones:
    """The answers of `judge` for every text of `values` (no nulls)."""
    texts = _one_array(values)
    codes = np.zeros(len(texts), np.int8)
    regions = np.full(len(texts), -1, np.int32)
    digits = np.zeros(len(texts), np.int64)
    names: list[str] = []
    undecided = np.ones(len(texts), bool)
    if len(texts) >= TABLE_PAYS_FROM:
        fast = fast_digits(texts)
        digits, regions, undecided = fast.digits, fast.regions, ~fast.decided
        codes[fast.decided & (digits == 0)] = CODES.index("phone_invalid")
        names = list(fast.region_names)
    _judge_rest(texts, np.flatnonzero(undecided), digits, regions, codes, names)
    known = pa.array([*names, ""], pa.large_string())
    return Phones(digits, known.take(pa.array(np.where(regions < 0, len(names), regions))), codes)


def _one_array(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return pc.utf8_trim_whitespace(whole.cast(pa.large_string()))


def _judge_rest(
    texts: pa.Array,
    rows: np.ndarray[Any, Any],
    digits: np.ndarray[Any, Any],
    regions: np.ndarray[Any, Any],
    codes: np.ndarray[Any, Any],
    names: list[str],
) -> None:
    """Let `judge` decide each distinct text of `rows` once, and write its answers in place."""
    coded = pc.dictionary_encode(texts.take(pa.array(rows)))
    places = {name: place for place, name in enumerate(names)}
    answers = [judge(text) for text in coded.dictionary.to_pylist()]
    for answer in answers:
        if answer.region and answer.region not in places:
            places[answer.region] = len(names)
            names.append(answer.region)
    index = coded.indices.to_numpy()
    digits[rows] = np.array([answer.digits for answer in answers], np.int64)[index]
    regions[rows] = np.array([places.get(answer.region, -1) for answer in answers], np.int32)[index]
    codes[rows] = np.array([CODES.index(answer.code) for answer in answers], np.int8)[index]
