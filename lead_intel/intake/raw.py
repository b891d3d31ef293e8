"""Readings of one upload's files -> the raw frame: where each row stands, and every column of the list as text.

Columns: `file_no`, `line`, `_bad_code`, `_bad_text` (see `columns.FRAME_COLUMNS`), then the list's own under the names
that `columns.frame_columns` gives them. A row that did not fit the columns has blank cells and its text in `_bad_text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lead_intel.columns import BAD_CODE, BAD_TEXT, FRAME_COLUMNS, frame_columns, header_key
from lead_intel.intake.reading import Reading

_TEXT = pa.large_string()

Lines = np.ndarray[Any, np.dtype[np.int64]]
Numbered = Sequence[tuple[int, Reading]]


def raw_frame(readings: Numbered) -> pd.DataFrame:
    """The raw frame of an upload from (file_no, reading) of its files, in the order of file and line.

    Later files may write a header in another case or spacing; it then stands in the first file's column.
    """
    frame: pd.DataFrame = pa.concat_tables(raw_pieces(readings)).to_pandas()
    return frame


def raw_columns(readings: Numbered) -> list[str]:
    """The columns of the raw frame."""
    names = dict.fromkeys(name for columns in _shared_names(readings) for name in columns)
    return [*FRAME_COLUMNS, *names]


def raw_pieces(readings: Numbered) -> Iterator[pa.Table]:
    """The raw frame's rows in pieces, read from disk one after the other; the first may have no rows."""
    names = raw_columns(readings)
    yield pa.schema([(name, pa.int64() if name in FRAME_COLUMNS[:2] else _TEXT) for name in names]).empty_table()
    for (file_no, reading), columns in zip(readings, _shared_names(readings), strict=True):
        for lines, rows, bad in _with_bad_rows(reading):
            own = {name: rows.column(place) for name, place in columns.items()}
            yield _piece(file_no, lines, own, bad, names)


def _with_bad_rows(reading: Reading) -> Iterator[tuple[Lines, pa.RecordBatch, pa.Table]]:
    """Pieces of the rows with their lines, and the bad rows up to the line that each ends with."""
    bad_lines = reading.bad["line"].to_numpy()
    row, seen = 0, 0
    for batch in reading.batches():
        lines = reading.lines[row : row + batch.num_rows]
        row += batch.num_rows
        if row == len(reading.lines):
            break
        until = int(np.searchsorted(bad_lines, lines[-1], side="right")) if len(lines) else seen
        yield lines, batch, reading.bad.slice(seen, until - seen)
        seen = until
    else:
        lines, batch = reading.lines[:0], pa.RecordBatch.from_pylist([], reading.table.schema)
    yield lines, batch, reading.bad.slice(seen)


def _piece(
    file_no: int,
    lines: Lines,
    own: Mapping[str, pa.Array],
    bad: pa.Table,
    names: Sequence[str],
) -> pa.Table:
    rows = pa.table({"line": pa.array(lines, pa.int64()), **{name: column.cast(_TEXT) for name, column in own.items()}})
    coded = _with_codes(rows, bad)
    apart = bad.filter(pc.not_equal(bad["text"], ""))
    if apart.num_rows:
        without_cells = pa.table(
            {"line": apart["line"], BAD_CODE: apart["code"].cast(_TEXT), BAD_TEXT: apart["text"].cast(_TEXT)}
        )
        coded = pa.concat_tables([coded, without_cells], promote_options="default")
        coded = coded.take(pc.sort_indices(coded["line"]))
    blank = pa.repeat(pa.scalar("", _TEXT), coded.num_rows)
    found = {name: _filled(coded[name]) if name in coded.column_names else blank for name in names[1:]}
    return pa.table({"file_no": pa.array(np.full(coded.num_rows, file_no, np.int64)), **found})


def _filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column, pa.scalar("", _TEXT)) if column.null_count else column


def _shared_names(readings: Numbered) -> list[dict[str, int]]:
    """For each reading: column of the raw frame -> its place in the list's table."""
    earlier: dict[str, str] = {}
    shared: list[dict[str, int]] = []
    for _, reading in readings:
        columns = _under_shared_names(_list_columns(reading), earlier)
        for name in columns:
            earlier.setdefault(header_key(name), name)
        shared.append(columns)
    return shared


def _list_columns(reading: Reading) -> dict[str, int]:
    """The list's columns under their frame names; those at the end without header and without text are left out.

    Only there: a person may name a column by its place.
    """
    width = len(reading.headers)
    while width and not reading.headers[width - 1].strip() and not _has_text(reading.table.column(width - 1)):
        width -= 1
    return {name: place for place, name in enumerate(frame_columns(reading.headers)[:width])}


def _has_text(column: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.not_equal(column, "")).as_py())


def _under_shared_names(columns: Mapping[str, int], earlier: Mapping[str, str]) -> dict[str, int]:
    """The columns, each under the name under which an earlier file carries the same header."""
    shared: dict[str, int] = {}
    for name, column in columns.items():
        known = earlier.get(header_key(name), name) if header_key(name) else name
        shared[name if known in shared else known] = column
    return shared


def _with_codes(rows: pa.Table, bad: pa.Table) -> pa.Table:
    """Rows that stand among the cells but cannot be trusted get their code."""
    marked = bad.filter(pc.equal(bad["text"], ""))
    blank = pa.repeat(pa.scalar("", _TEXT), rows.num_rows)
    if not marked.num_rows:
        return rows.append_column(BAD_CODE, blank).append_column(BAD_TEXT, blank)
    codes = np.full(rows.num_rows, "", dtype=object)
    codes[np.searchsorted(rows["line"].to_numpy(), marked["line"].to_numpy())] = marked["code"].to_pylist()
    return rows.append_column(BAD_CODE, pa.array(codes, _TEXT)).append_column(BAD_TEXT, blank)
