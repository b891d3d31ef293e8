"""How a CSV file is written: its delimiter and its header, from the first records. Pure; no table is read here."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass

from lead_intel.errors import RejectedInput
from lead_intel.intake.recognise import refused_format

DELIMITERS = (",", ";", "\t", "|")
MAX_COLUMNS = 1000
SAMPLE_BYTES = 256 << 10
SAMPLE_RECORDS = 100

_SEP_LINE = re.compile(r'"?sep=(.)"?')
# Control characters that no text list holds; tab, line ends, VT and FF are not among them.
_CONTROLS = tuple(chr(code) for code in range(1, 32) if code not in (9, 10, 11, 12, 13))
_CONTROL_SHARE = 0.005
_HEADER_WEIGHT = 0.2
"""How much a header of the usual width adds to the share of records that have it."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """`delimiter` is None for a list of one column; `header_record` counts records from 1, blank lines included.

    The list's rows stand below that record. A list without a header has 0, or 1 where a `sep=` line precedes its rows.
    """

    delimiter: str | None
    headers: tuple[str, ...]
    header_record: int

    @property
    def separator(self) -> str:
        """What a parser is told; a list of one column has no delimiter and gets the commonest."""
        return self.delimiter or DELIMITERS[0]


@dataclass(frozen=True, slots=True)
class Sample:
    """The beginning of a file as text; `whole` when that is all of it."""

    text: str
    whole: bool


def dialect_of(content: bytes, *, whole: bool, header_row: int | None = None) -> Dialect:
    """The dialect of the file that begins with `content` (UTF-8); `whole` when that is all of it.

    Args:
        content: UTF-8.
        whole: whether that is all of the file.
        header_row: the line on which a person says that the header stands, 0 for a list without one; else the first
            record with text is the header.

    Raises:
        RejectedInput: `file_empty`, `header_too_long`, `header_row_missing`, `too_many_columns`, `format_unknown`.
    """
    sample = Sample(content.decode("utf-8", "replace").replace("\x00", ""), whole)
    _refuse_binary(sample.text)
    first = sample.text.split("\n", 1)[0].rstrip("\r")
    announced = _SEP_LINE.fullmatch(first)
    if announced and announced[1] in DELIMITERS:
        records = _records(sample, announced[1])
        return _dialect(announced[1], records, _header_place(sample, announced[1], records, 1, header_row))
    best = max(DELIMITERS, key=lambda delimiter: _fitness(_table(sample, delimiter, header_row)))
    records = _records(sample, best)
    one_column = _fitness(_table(sample, best, header_row)) == (0.0, 0)
    place = _header_place(sample, best, records, 0, header_row)
    return _dialect(None if one_column else best, records, place)


def _refuse_binary(text: str) -> None:
    if sum(map(text.count, _CONTROLS)) > len(text) * _CONTROL_SHARE:
        raise refused_format("unknown", "binary data")


def parsed_row(text: str, separator: str) -> list[str]:
    """One record's cells as the stdlib reads them."""
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])


def _records(sample: Sample, delimiter: str) -> list[list[str]]:
    """The first records; the last one of a cut sample is dropped, for it may be cut too."""
    records: list[list[str]] = []
    with_text = 0
    try:
        for record in csv.reader(io.StringIO(sample.text, newline=""), delimiter=delimiter):
            records.append(record)
            with_text += _has_text(record)
            if with_text > SAMPLE_RECORDS:
                return records
    except csv.Error:
        return records
    return records if sample.whole else records[:-1]


def _table(sample: Sample, delimiter: str, header_row: int | None) -> list[list[str]]:
    """The first records of the table: titles above a header that a person named say nothing of its delimiter."""
    records = _records(sample, delimiter)
    return records[_record_on(sample, delimiter, header_row) or 0 :] if header_row else records


def _record_on(sample: Sample, delimiter: str, line: int) -> int | None:
    """The place of the record that begins on `line` (from 1)."""
    reader = csv.reader(io.StringIO(sample.text, newline=""), delimiter=delimiter)
    begins = 1
    try:
        for place, _ in enumerate(reader):
            if begins >= line:
                return place if begins == line else None
            begins = reader.line_num + 1
    except csv.Error:
        return None
    return None


def _header_place(sample: Sample, delimiter: str, records: list[list[str]], first: int, header_row: int | None) -> int:
    """The header's place among the records; one before `first` when a person says that there is none."""
    if header_row == 0:
        if not any(map(_has_text, records[first:])):
            raise _no_header(sample)
        return first - 1
    if header_row is not None:
        place = _record_on(sample, delimiter, header_row)
        if place is None or place >= len(records) or not _has_text(records[place]):
            raise header_row_missing(header_row)
        return place
    place = next((n for n, record in enumerate(records) if n >= first and _has_text(record)), None)
    if place is None:
        raise _no_header(sample)
    return place


def header_row_missing(header_row: int) -> RejectedInput:
    """The refusal of a header row that is not in the file."""
    return RejectedInput(
        "header_row_missing",
        f"No row with text begins on line {header_row:,}, or that is far from the beginning of the file.",
        "Count the lines of the file from 1, blank ones and titles included.",
    )


def unnamed_headers(width: int) -> tuple[str, ...]:
    """Headers of a list that has none."""
    return tuple(f"column {number}" for number in range(1, width + 1))


def _has_text(record: list[str]) -> bool:
    return any(cell.strip() for cell in record)


def _usual_width(records: list[list[str]]) -> tuple[int, float]:
    widths = Counter(len(record) for record in records if _has_text(record))
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
    return width, count / max(widths.total(), 1)


def _fitness(records: list[list[str]]) -> tuple[float, int]:
    """How well one delimiter explains the records: the share of the usual width, then that width."""
    width, share = _usual_width(records)
    header = next((len(record) for record in records if _has_text(record)), 0)
    if max(width, header) < 2:  # one column: nothing is delimited
        return 0.0, 0
    return round(share, 1) * (width > 1) + _HEADER_WEIGHT * (header > 1) * (header == width or width == 1), width


def _dialect(delimiter: str | None, records: list[list[str]], place: int) -> Dialect:
    below = records[place + 1 :]
    named = place >= 0 and not (place == 0 and _is_announcement(records[0]))
    header = _widened(records[place], below) if named else list(unnamed_headers(_usual_width(below)[0]))
    if len(header) > MAX_COLUMNS:
        raise RejectedInput(
            "too_many_columns",
            f"The list has {len(header):,} columns; {MAX_COLUMNS:,} are read at most.",
            "Delete the columns that are not needed.",
        )
    return Dialect(delimiter, tuple(header), place + 1)


def _is_announcement(record: list[str]) -> bool:
    return bool(record) and record[0].strip('"').startswith("sep=") and not any(record[1:])


def _no_header(sample: Sample) -> RejectedInput:
    if sample.whole:
        return RejectedInput("file_empty", "The file holds no text.", "Upload a list with a header and rows.")
    return RejectedInput(
        "header_too_long",
        f"The first {SAMPLE_BYTES >> 10} KiB hold no complete row with text.",
        "Check the quotation marks of the first row, and delete blank lines above it.",
    )


def _widened(header: list[str], below: list[list[str]]) -> list[str]:
    """The header with blank names for columns that the rows have and it has not.

    Only where that moves nothing: the rows' further cells are blank, or the header is a title of one cell. A header
    that is too short otherwise stays so, and its rows are quarantined rather than shifted.
    """
    width, _ = _usual_width(below)
    rows = [record for record in below if _has_text(record)]
    title = len(header) == 1
    blank = all(not any(cell.strip() for cell in record[len(header) :]) for record in rows if len(record) == width)
    longer = all(len(record) > len(header) for record in rows)
    return [*header, *[""] * (width - len(header))] if longer and rows and (title or blank) else header
