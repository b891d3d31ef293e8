"""CSV text -> an Arrow table of text, with the line number of every row and the rows that could not be read.

Runs in the reading child. pyarrow reads in one thread (only then does it number bad rows); a row with a wrong number
of cells never shifts a column, it is set aside with its text. Rows without any text are no rows; they are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from lead_intel.errors import RejectedInput
from lead_intel.intake import tables
from lead_intel.intake.dialect import SAMPLE_BYTES, Dialect, dialect_of, parsed_row
from lead_intel.intake.encoding import Utf8Text, as_utf8
from lead_intel.intake.endings import TextWithEnd, end_row, line_breaks
from lead_intel.intake.tables import TableFiles

_BLOCK = 4 << 20
"""Arrow reads 32 blocks ahead, so this bounds memory; and no row can be longer."""

_NAME = "list"
_REPLACED = "\ufffd"
_MAX_REPETITION = 50
"""RE2 expands repetitions; so many delimiters in one line of a cell are proof enough."""

Numbers = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass
class _Aside:
    """Rows with a wrong number of cells, by record number: set aside, blank, or mended.

    Mended are rows where only blank cells at the end are too many: to drop those moves nothing.
    """

    dialect: Dialect
    bad: dict[int, str] = field(default_factory=dict)
    mended: dict[int, list[str]] = field(default_factory=dict)
    blank: dict[int, int] = field(default_factory=dict)
    """Record number -> line breaks inside."""

    def __call__(self, row: csv.InvalidRow) -> str:
        width = len(self.dialect.headers)
        cells = parsed_row(row.text, self.dialect.separator)
        if not any(cell.strip() for cell in cells):
            self.blank[row.number] = _breaks_in(row.text)
            return "skip"
        below = row.number > self.dialect.header_record
        if below and len(cells) == row.actual_columns > width and not any(cell.strip() for cell in cells[width:]):
            self.mended[row.number] = cells[:width]
            return "skip"
        self.bad[row.number] = row.text
        return "skip"

    @property
    def numbers(self) -> Numbers:
        """Record numbers of all of them."""
        return np.array(sorted([*self.bad, *self.mended, *self.blank]), np.int64)


@dataclass
class _Cells:
    """What was written: rows with text, and which rows of the right width had none (index, line breaks inside)."""

    good: int = 0
    written: int = 0
    blank: list[tuple[int, int]] = field(default_factory=list)
    marks: dict[int, str] = field(default_factory=dict)


def read_csv(path: Path, scratch: Path, header_row: int | None = None) -> TableFiles:
    """Read `path` into `scratch`; `header_row` as in `reading.read_list`.

    Raises:
        RejectedInput: `file_empty`, `encoding_unknown`, `header_too_long`, `too_many_columns`, `quoting_broken`.
    """
    text = as_utf8(path, scratch)
    with text.path.open("rb") as handle:
        handle.seek(text.offset)
        sample = handle.read(SAMPLE_BYTES)
        whole = not handle.read(1)
    dialect = dialect_of(sample, whole=whole, header_row=header_row)
    names = [f"c{number}" for number in range(len(dialect.headers))]
    aside = _Aside(dialect)
    source = TextWithEnd(text.path, text.offset, end_row(len(names), dialect.separator))
    cells = _write_cells(source, text, aside, names, tables.part(scratch, _NAME, "cells"))
    return _write_numbers(source, text, aside, cells, scratch)


def _write_cells(source: TextWithEnd, text: Utf8Text, aside: _Aside, names: list[str], target: Path) -> _Cells:
    """Stream the rows of the right width to `target`, the mended ones behind them."""
    schema = pa.schema([(name, pa.string()) for name in names])
    done, closed = _Cells(), False
    with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in _batches(source, aside, names):
            rows = batch
            if rows.num_rows and rows.column(0)[-1].as_py() == source.token:
                rows, closed = rows.slice(0, rows.num_rows - 1), True
            blank = _blank_rows(rows)
            breaks = line_breaks(rows.filter(pa.array(blank)).columns)
            done.blank += [(done.good + int(i), int(n)) for i, n in zip(np.flatnonzero(blank), breaks, strict=True)]
            done.good += rows.num_rows
            rows = rows.filter(pa.array(~blank)) if blank.any() else rows
            done.marks |= {done.written + index: code for index, code in _marks(rows, text)}
            writer.write_batch(rows)
            done.written += rows.num_rows
        if aside.mended:
            writer.write_batch(pa.RecordBatch.from_arrays(_columns(list(aside.mended.values())), schema=schema))
    if not closed:
        raise _never_closed(done.good + len(aside.numbers))
    return done


def _batches(source: TextWithEnd, aside: _Aside, names: list[str]) -> Iterator[pa.RecordBatch]:
    try:
        with pa.PythonFile(source, mode="r") as file:
            yield from csv.open_csv(
                file,
                csv.ReadOptions(use_threads=False, column_names=names, block_size=_BLOCK),
                csv.ParseOptions(
                    delimiter=aside.dialect.separator,
                    newlines_in_values=True,
                    ignore_empty_lines=False,
                    invalid_row_handler=aside,
                ),
                csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    strings_can_be_null=False,
                    quoted_strings_can_be_null=False,
                ),
            )
    except pa.ArrowInvalid:
        # The text is UTF-8 and every width is handled, so what is left is a row that fits into no block.
        raise RejectedInput(
            "quoting_broken",
            f"A row is longer than {_BLOCK >> 20} MiB: most likely a quotation mark is never closed.",
            "Mend the quotation marks, or export the list again.",
        ) from None


def _never_closed(row: int) -> RejectedInput:
    return RejectedInput(
        "quoting_broken",
        f"A quotation mark that opens in row {row:,} is never closed.",
        "Close it, or export the list again.",
    )


def _columns(rows: list[list[str]]) -> list[pa.Array]:
    return [pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)]


def _blank_rows(rows: pa.RecordBatch) -> Mask:
    blank = np.ones(rows.num_rows, bool)
    for column in rows.columns:
        if not blank.any():
            break
        blank &= pc.equal(pc.utf8_trim_whitespace(column), "").to_numpy(zero_copy_only=False)
    return blank


def _marks(rows: pa.RecordBatch, text: Utf8Text) -> Iterator[tuple[int, str]]:
    """Rows that have the right width and still cannot be trusted."""
    for column in rows.columns:
        longest = pc.max(pc.binary_length(column)).as_py() or 0
        if longest > tables.MAX_CELL_BYTES:
            found = pc.greater(pc.binary_length(column), tables.MAX_CELL_BYTES)
            yield from ((int(index), "cell_too_long") for index in np.flatnonzero(found.to_numpy(zero_copy_only=False)))
        if text.lossy:
            found = pc.match_substring(column, _REPLACED)
            yield from ((int(index), "row_encoding") for index in np.flatnonzero(found.to_numpy(zero_copy_only=False)))


def _write_numbers(source: TextWithEnd, text: Utf8Text, aside: _Aside, cells: _Cells, scratch: Path) -> TableFiles:
    """Give every record the line on which it begins, and write the lines of the rows kept and set aside."""
    apart = aside.numbers
    records = cells.good + len(apart)
    is_apart = np.zeros(records + 1, bool)
    is_apart[[0, *apart]] = True
    in_order = np.flatnonzero(~is_apart)
    written = np.delete(in_order, [index for index, _ in cells.blank]) if cells.blank else in_order
    kept = np.concatenate([written, np.array(list(aside.mended), np.int64)]) if aside.mended else written
    breaks = np.zeros(records + 1, np.int64)
    if source.lines != records:
        table = tables.read_table(tables.part(scratch, _NAME, "cells"))
        breaks[kept] = line_breaks(table.columns)
        breaks[in_order[[index for index, _ in cells.blank]]] = [count for _, count in cells.blank]
        breaks[list(aside.blank)] = list(aside.blank.values())
        breaks[list(aside.bad)] = [_breaks_in(row) for row in aside.bad.values()]
        for index in _swallowing(table, breaks[kept], aside.dialect):
            cells.marks.setdefault(index, "row_quoting")
    # A record begins as many lines further down as the records above it have line breaks inside.
    line_of = np.arange(records + 1)
    line_of[1:] += np.cumsum(breaks[:-1], dtype=np.int64)
    header = aside.dialect.header_record
    bad = [
        (int(line_of[number]), "row_quoting" if breaks[number] else "row_ragged", row)
        for number, row in aside.bad.items()
        if number > header
    ]
    bad += [(int(line_of[kept[index]]), code, "") for index, code in cells.marks.items() if kept[index] > header]
    tables.write_lines(scratch, _NAME, line_of[kept])
    tables.write_bad(scratch, _NAME, bad)
    return TableFiles(
        _NAME,
        aside.dialect.headers,
        int(line_of[header]),
        "csv",
        encoding=text.encoding,
        delimiter=aside.dialect.delimiter,
        blank_rows=len(cells.blank) + len(aside.blank),
    )


def _breaks_in(row: str) -> int:
    return int(line_breaks([pa.array([row])])[0])


def _swallowing(table: pa.Table, breaks: Numbers, dialect: Dialect) -> list[int]:
    """Rows of which a cell holds a whole row: a stray quotation mark joined them, though the width is right."""
    wanted = min(len(dialect.headers) - 1, _MAX_REPETITION)
    if wanted < 2:  # one comma after a line break is ordinary in an address
        return []
    separator = "\\" + dialect.separator
    pattern = f"[\\r\\n]([^{separator}\\r\\n]*{separator}){{{wanted}}}"
    rows = np.flatnonzero(breaks)
    found = np.zeros(len(rows), bool)
    for column in table.columns:
        some = column.take(pa.array(rows))
        found |= pc.match_substring_regex(some, pattern).to_numpy()
    return [int(index) for index in rows[found]]
