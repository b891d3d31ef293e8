"""What a person is told about rows that were not accepted: words, suggestions, and the CSV to mend them in. Pure.

A suggestion is derived from the cell and never applied by itself. The export opens cleanly in a spreadsheet and comes
back unharmed: cells that a spreadsheet would run or alter stand behind an apostrophe, which `corrections` takes off.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from lead_intel.columns import BAD_TEXT, header_of
from lead_intel.intake.tables import ROW_CODES
from lead_intel.intake.validation import CODES
from lead_intel.record.quarantine import Column, OpenRow

CORRECTION_CODES = {
    "correction_unknown": "The row names no row of this upload's quarantine.",
    "correction_repeated": "Several rows of the file correct the same row.",
    "correction_closed": "The row that it corrects was accepted already.",
}
"""Codes of rows of a resubmitted file that correct nothing."""

WORDS = {**CODES, **ROW_CODES, **CORRECTION_CODES}

VOUCHABLE = frozenset({"consent_unknown"})
"""Codes that a person may answer for. Whether a number exists, or what an unread row said, nobody can vouch for."""

FILE, LINE, UPLOAD = "quarantine_file", "quarantine_line", "quarantine_upload"
CODE, REASON, COLUMN, FIX, TEXT = (
    "quarantine_codes", "quarantine_reason", "quarantine_column", "quarantine_fix", "quarantine_text",
)  # fmt: skip
KEYS = (UPLOAD, FILE, LINE)
EXPLAINING = (CODE, REASON, COLUMN, FIX, TEXT)
RESERVED = frozenset((*KEYS, *EXPLAINING))
_LISTS_OWN = " (list)"

# What a spreadsheet takes for a formula (OWASP ASVS 1.2.10), and their full-width twins.
_FORMULA = tuple("=+-@\t\r\n\x00\uff1d\uff0b\uff0d\uff20")
_MONTH_DATE = r"(?i:(?:\d{1,2}[ -])?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[ -]\d{1,4})"
# Where a spreadsheet of another country ends a cell early and takes the rest for a formula.
_FORMULA_LATER = re.compile(r"[;,\t|]\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
# What it would rewrite: lost zeros, long numbers, exponents, decimals, dates, times.
_ALTERED = re.compile(
    r"\s*(?:0\d+|\d{12,}|\d+(?:\.\d*)?[eE][+-]?\d+|\d+\.\d*|\d{1,2}:\d{2}.*"
    r"|\d{1,4}([-/.])\d{1,2}(?:\1\d{1,4})?(?:[ T].*)?|" + _MONTH_DATE + r")\s*"
)
_DIGIT = re.compile(r"\d")
_ADDRESS = re.compile(r"[^@\s,;/|]+@[^@\s,;/|]+")
_LETTER = re.compile(r"[^\W\d_]")
_WHOLE_NUMBER, _LOCAL_NUMBER, _WITH_COUNTRY = 10, 7, 11


def words_of(codes: Iterable[str]) -> str:
    """The reasons, in words."""
    return " ".join(WORDS.get(code, code) for code in codes)


def columns_of(codes: Iterable[str], headers: Mapping[str, str]) -> str:
    """The list's own names of the columns that the codes are about; blank for a row as a whole."""
    about = (_column_of_code(code) for code in codes)
    return ", ".join(headers.get(ours, ours) for ours in dict.fromkeys(about) if ours)


def _column_of_code(code: str) -> str:
    first = code.split("_", 1)[0]
    return {"phone": "phone", "email": "email", "consent": "consent_source"}.get(first, "")


def headers_of(mapping: Mapping[str, str]) -> dict[str, str]:
    """Our column -> the list's header, from the mapping that the upload's row keeps."""
    return {ours: header_of(name) for name, ours in mapping.items()}


def suggestion(codes: Iterable[str], values: Mapping[str, str], consent_words: Sequence[str]) -> str:
    """How to mend a row, without repeating what stands in it.

    Args:
        codes: the row's codes.
        values: our column -> the row's text.
        consent_words: the words that policy knows.
    """
    said = (_suggest(code, values.get(_column_of_code(code), ""), consent_words) for code in codes)
    return " ".join(dict.fromkeys(said))


def _suggest(code: str, value: str, consent_words: Sequence[str]) -> str:
    if code == "consent_unknown":
        known = ", ".join(consent_words)
        return f"Write a source that policy knows ({known}), or have the word added to consent.yml and replay."
    derive = _DERIVED.get(code)
    return derive(value) if derive else "Correct the cell, or leave the row out."


def _phone_invalid(value: str) -> str:
    found = _DIGIT.findall(value)
    digits = len(found)
    if _LETTER.search(value):
        return "Write digits in place of the letters."
    if digits == _LOCAL_NUMBER:
        return "The area code is missing: write all ten digits."
    if not digits:
        return "There is no number in the cell: write all ten digits."
    if digits < _WHOLE_NUMBER:
        return f"{digits} digits are too few: write all ten."
    if digits > _WITH_COUNTRY or (digits == _WITH_COUNTRY and found[0] != "1"):
        return f"{digits} digits: write ten, or + and the country code."
    return "No such number exists: ask the source for the right one."


def _email_invalid(value: str) -> str:
    address = value.strip()
    if len(_ADDRESS.findall(address)) > 1:
        return "Two addresses in the cell: keep one."
    if address.count("@") > 1:
        return "There is more than one @: write the address anew, or leave the cell blank."
    if "@" not in address:
        return "There is no @: write the whole address, or leave the cell blank."
    if re.search(r"\s", address):
        return "Take the space out of the address, or leave the cell blank."
    return "Write an address that can exist, or leave the cell blank."


_DERIVED: Mapping[str, Callable[[str], str]] = {
    "phone_blank": lambda _: "Write the number, all ten digits.",
    "phone_invalid": _phone_invalid,
    "phone_damaged": lambda _: "Write all ten digits; a spreadsheet lost some.",
    "phone_several": lambda _: "Two numbers in the cell: keep one.",
    "email_invalid": _email_invalid,
    "consent_blank": lambda _: "Write where the consent came from; without it nobody may be contacted.",
    "row_ragged": lambda _: "Put the cells of the text into their columns: the row had more or fewer than the header.",
    "row_quoting": lambda _: "Put the cells of the text into their columns; a quotation mark was not closed.",
    "row_encoding": lambda _: "Type the letters anew that show as a question mark in a box.",
    "cell_too_long": lambda _: "Shorten the longest cell.",
    "correction_unknown": lambda _: "Correct this row if it is a lead of its own, else leave it out.",
    "correction_repeated": lambda _: "Keep one of the rows that correct the same one, in a fresh export.",
    "correction_closed": lambda _: "Nothing is left to correct: leave the row out.",
}


def values_by_our_name(
    original: Mapping[str, str], layout: Sequence[Column], mapping: Mapping[str, str]
) -> dict[str, str]:
    """Our column -> the row's text."""
    return {mapping[column.name]: original.get(column.label, "") for column in layout if column.name in mapping}


def shown(label: str) -> str:
    """A column of the list under the name that the export gives it: never one of the export's own."""
    return f"{label}{_LISTS_OWN}" if label.removesuffix(_LISTS_OWN) in RESERVED else label


def guarded(cell: str) -> str:
    """`cell` as a spreadsheet may see it: an apostrophe before what it would run or rewrite."""
    if cell.startswith(("'", *_FORMULA)) or _FORMULA_LATER.search(cell) or _ALTERED.fullmatch(cell):
        return f"'{cell}"
    return cell


def unguarded(cell: str) -> str:
    """The inverse of `guarded`."""
    return cell.removeprefix("'")


def export(
    upload: str,
    rows: Iterable[OpenRow],
    layout: Sequence[Column],
    mapping: Mapping[str, str],
    consent_words: Sequence[str],
) -> Iterator[bytes]:
    """The CSV: place and reason of each row, then its original cells; with a BOM and CRLF, as Excel wants it.

    Args:
        upload: whose rows they are.
        rows: open rows.
        layout: the list's columns in order.
        mapping: column of the raw frame -> our column.
        consent_words: the words that policy knows.
    """
    headers = headers_of(mapping)
    yield b"\xef\xbb\xbf" + _line([*KEYS, *EXPLAINING, *(guarded(shown(column.label)) for column in layout)])
    for row in rows:
        values = values_by_our_name(row.original, layout, mapping)
        explained = (
            "|".join(row.codes),
            words_of(row.codes),
            columns_of(row.codes, headers),
            suggestion(row.codes, values, consent_words),
            row.original.get(BAD_TEXT, ""),
        )
        cells = [row.original.get(column.label, "") for column in layout]
        yield _line([upload, *map(str, row.place), *map(guarded, (*explained, *cells))])


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode("utf-8")
