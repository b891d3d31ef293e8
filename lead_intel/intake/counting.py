"""How many rows a file holds, counted apart from the reader that reads them: the left side of the balance.

A CSV file's bytes are streamed and its records' ends found by the parity of quotation marks, vectorised. Where that
disagrees with the reader (stray quotes, exotic blanks), the standard library's `csv` decides. Workbooks are
`counting_xlsx`'s. Rows without any text are no rows.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lead_intel.errors import LeadIntelError
from lead_intel.intake.counting_xlsx import rows_in_sheet, rows_in_sheet_exactly
from lead_intel.intake.dialect import DELIMITERS
from lead_intel.intake.reading import Reading

_BLOCK = 4 << 20
_LONGEST_CELL = 1 << 27
_LF, _CR, _QUOTE = 10, 13, 34
_SEP_LINE = re.compile(r'"?sep=(.)"?')
_WIDE = ("utf-16", "utf-32")
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

Numbers = np.ndarray[Any, np.dtype[np.int64]]


class BalanceBroken(LeadIntelError):
    """Rows were lost or invented: a defect of ours, never a person's fault."""


def counted_rows(path: Path, reading: Reading, header_row: int | None = None) -> int:
    """The rows with text below the header in `path`, by another reader than the one that made `reading`.

    `header_row` as in `reading.read_list`.

    Raises:
        BalanceBroken: it finds another number than `reading` holds.
    """
    rows = rows_read(reading)
    for count in _COUNTERS[reading.format]:
        counted = count(path, reading, header_row)
        if counted == rows:
            return counted
    raise BalanceBroken(
        "balance_broken",
        f"The reader found {rows:,} rows in a file in which another counts {counted:,}.",
        "Nothing was screened. This is a defect of Lead Intel: report it with the file's format, not with the file.",
    )


def assert_whole(held: Mapping[int, int], counted: Mapping[int, int | None]) -> None:
    """Every row that was counted in a file is held, and no other; files that nobody has read yet hold nothing.

    Args:
        held: file number -> rows of the raw frame.
        counted: file number -> rows by the count at reading; None: not read yet.

    Raises:
        BalanceBroken: naming the files and both numbers.
    """
    differing = [
        f"file {number}: {held.get(number, 0):,} of {counted.get(number) or 0:,}"
        for number in sorted({*held, *counted})
        if held.get(number, 0) != (counted.get(number) or 0)
    ]
    if differing:
        raise BalanceBroken(
            "balance_broken",
            f"The rows at hand are not those that were counted ({'; '.join(differing)}).",
            "Read the upload's files again: `lead-intel resume`, or materialize raw_upload.",
        )


def rows_read(reading: Reading) -> int:
    """Rows that a reading holds: those in columns, and those set aside with their text."""
    apart = sum(1 for text in reading.bad["text"].to_pylist() if text)
    return int(reading.table.num_rows) + apart


def rows_by_parity(path: Path, reading: Reading, header_row: int | None = None) -> int:
    """Rows of a CSV file by the parity of quotation marks before each line end. Exact for RFC 4180."""
    separator = reading.delimiter or DELIMITERS[0]
    filler = {ord(separator), *b' "\t\r\n\x00\x0b\x0c'}
    counter = _Parity(bytes(filler))
    for block in _utf8_blocks(path, reading.encoding or "utf-8"):
        counter.feed(block)
    return counter.end() - _rows_above(path, reading, header_row)


@dataclass
class _Parity:
    """Counts records with text, block by block; what follows the last complete record waits for the next block."""

    filler: bytes
    """Bytes that are no text: delimiter, quotation mark, blanks."""
    records: int = 0
    waiting: bytes = b""

    def feed(self, block: bytes) -> None:
        """Count the records that end in `block`."""
        content = self.waiting + block
        # A carriage return at the very end may be half of a line end.
        ends = _record_ends(np.frombuffer(content, np.uint8)[: len(content) - content.endswith(b"\r")])
        if not len(ends):
            self.waiting = content
            return
        self.records += self._with_text(content, ends)
        self.waiting = content[int(ends[-1]) :]

    def end(self) -> int:
        """All records, the last one without a line end included."""
        rest, self.waiting = self.waiting, b""
        return self.records + bool(rest.strip(self.filler))

    def _with_text(self, content: bytes, ends: Numbers) -> int:
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
        begins = np.frombuffer(content, np.uint8)[starts]
        doubtful = np.flatnonzero(np.isin(begins, np.frombuffer(self.filler, np.uint8)))
        blank = sum(
            not content[start:end].strip(self.filler)
            for start, end in zip(starts[doubtful].tolist(), ends[doubtful].tolist(), strict=True)
        )
        return len(ends) - blank


def _record_ends(octets: np.ndarray[Any, np.dtype[np.uint8]]) -> Numbers:
    """Where the next record begins, after each line end (LF, CRLF, CR) with an even number of quotes before it."""
    ends = np.flatnonzero(octets == _LF)
    returns = np.flatnonzero(octets == _CR)
    if len(returns):
        following = np.append(octets, 0)[returns + 1]
        ends = np.sort(np.concatenate([ends, returns[following != _LF]]))
    quotes = np.flatnonzero(octets == _QUOTE)
    if len(quotes):
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    return np.asarray(ends + 1, np.int64)


def _utf8_blocks(path: Path, encoding: str) -> Iterator[bytes]:
    """The file's bytes; those of wide encodings as UTF-8, for in all others quotes and line ends are ASCII."""
    decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding.startswith(_WIDE) else None
    with path.open("rb") as file:
        first = file.read(4)
        file.seek(len(_bom_of(first)))
        while block := file.read(_BLOCK):
            yield decoder.decode(block).encode("utf-8", "replace") if decoder else block


def _bom_of(first: bytes) -> bytes:
    return next((bom for bom in _BOMS if first.startswith(bom)), b"")


def rows_by_csv(path: Path, reading: Reading, header_row: int | None = None) -> int:
    """Rows of a CSV file as the standard library reads them: slower, and right about stray quotes."""
    longest = csv.field_size_limit(_LONGEST_CELL)
    try:
        records = csv.reader(_lines(path, reading.encoding or "utf-8"), delimiter=reading.delimiter or DELIMITERS[0])
        rows = sum(1 for record in records if any(cell.strip() for cell in record))
    finally:
        csv.field_size_limit(longest)
    return rows - _rows_above(path, reading, header_row)


def _lines(path: Path, encoding: str) -> Iterator[str]:
    name = encoding.removesuffix("-sig")
    with path.open("rb") as file:
        first = file.read(4)
    with path.open(encoding=name, errors="replace", newline="") as text:
        if _bom_of(first):
            text.read(1)
        for line in text:
            yield line.replace("\x00", "")


def _rows_above(path: Path, reading: Reading, header_row: int | None) -> int:
    """The header, titles above one that a person named, and the line that announces the delimiter to Excel."""
    first = next(_lines(path, reading.encoding or "utf-8"), "").rstrip("\r\n")
    announced = _SEP_LINE.fullmatch(first)
    announces = int(announced is not None and announced[1] in DELIMITERS)
    if header_row is None:
        return announces + 1
    return max(announces, _rows_down_to(path, reading, header_row))


def _rows_down_to(path: Path, reading: Reading, line: int) -> int:
    """Rows with text that begin on `line` or above it."""
    lines = _lines(path, reading.encoding or "utf-8")
    records = csv.reader(lines, delimiter=reading.delimiter or DELIMITERS[0])
    rows, begins = 0, 1
    while begins <= line and (record := next(records, None)) is not None:
        rows += any(cell.strip() for cell in record)
        begins = records.line_num + 1
    return rows


def _sheet(path: Path, reading: Reading, header_row: int | None) -> int:
    if header_row is not None:
        return rows_in_sheet_exactly(path, reading.sheet or "", below=header_row)
    return rows_in_sheet(path, reading.sheet or "") - 1


def _sheet_exactly(path: Path, reading: Reading, header_row: int | None) -> int:
    if header_row is not None:
        return rows_in_sheet_exactly(path, reading.sheet or "", below=header_row)
    return rows_in_sheet_exactly(path, reading.sheet or "") - 1


_COUNTERS: Mapping[str, tuple[Callable[[Path, Reading, int | None], int], ...]] = {
    "csv": (rows_by_parity, rows_by_csv),
    "xlsx": (_sheet, _sheet_exactly),
}
"""By format: the fast counter, then the exact one, which is asked only when the fast one disagrees."""
