"""Readings of one upload's files -> the raw frame: where each row stands, and every column of the list as text.

Columns: `file_no`, `line`, `_bad_code`, `_bad_text` (see `columns.FRAME_COLUMNS`), then the list's own under the names
that `columns.frame_columns` gives them. A row that did not fit the columns has blank cells and its text in `_bad_text`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lead_intel.columns import BAD_CODE, BAD_TEXT, FRAME_COLUMNS, frame_columns, header_key
from lead_intel.intake.reading import Reading

_TEXT = pa.large_string()


def raw_frame(readings: Sequence[tuple[int, Reading]]) -> pd.DataFrame:
    """The raw frame of an upload from (file_no, reading) of its files, in the order of file and line.

    Later files may write a header in another case or spacing; it then stands in the first file's column.
    """
    earlier: dict[str, str] = {}
    parts: list[pa.Table] = []
    for file_no, reading in readings:
        columns = _under_shared_names(_list_columns(reading), earlier)
        for name in columns:
            earlier.setdefault(header_key(name), name)
        parts.append(_part(file_no, reading, columns))
    table = pa.concat_tables(parts, promote_options="default")
    frame: pd.DataFrame = pa.table({name: _filled(table[name]) for name in table.column_names}).to_pandas()
    return frame


def _filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column, pa.scalar("", _TEXT)) if column.null_count else column


def _part(file_no: int, reading: Reading, columns: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    own = {name: column.cast(_TEXT) for name, column in columns.items()}
    rows = pa.table({"line": pa.array(reading.lines, pa.int64()), **own})
    coded = _with_codes(rows, reading.bad)
    apart = reading.bad.filter(pc.not_equal(reading.bad["text"], ""))
    without_cells = pa.table(
        {
            "line": apart["line"],
            BAD_CODE: apart["code"].cast(_TEXT),
            BAD_TEXT: apart["text"].cast(_TEXT),
        }
    )
    whole = pa.concat_tables([coded, without_cells], promote_options="default")
    if without_cells.num_rows:
        whole = whole.take(pc.sort_indices(whole["line"]))
    places = pa.array(np.full(whole.num_rows, file_no, np.int64))
    ordered = [*FRAME_COLUMNS[1:], *own]
    return pa.table({"file_no": places, **{name: whole[name] for name in ordered}})


def _list_columns(reading: Reading) -> dict[str, pa.ChunkedArray]:
    """The list's columns under their frame names; those at the end without header and without text are left out.

    Only there: a person may name a column by its place.
    """
    width = len(reading.headers)
    while width and not reading.headers[width - 1].strip() and not _has_text(reading.table.column(width - 1)):
        width -= 1
    return dict(zip(frame_columns(reading.headers)[:width], reading.table.columns[:width], strict=True))


def _has_text(column: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.not_equal(column, "")).as_py())


def _under_shared_names(
    columns: Mapping[str, pa.ChunkedArray], earlier: Mapping[str, str]
) -> dict[str, pa.ChunkedArray]:
    """The columns, each under the name under which an earlier file carries the same header."""
    shared: dict[str, pa.ChunkedArray] = {}
    for name, column in columns.items():
        known = earlier.get(header_key(name), name) if header_key(name) else name
        shared[name if known in shared else known] = column
    return shared


def _with_codes(rows: pa.Table, bad: pa.Table) -> pa.Table:
    """Rows that stand among the cells but cannot be trusted get their code."""
    marked = bad.filter(pc.equal(bad["text"], ""))
    codes = np.full(rows.num_rows, "", dtype=object)
    places = np.searchsorted(rows["line"].to_numpy(), marked["line"].to_numpy())
    codes[places] = marked["code"].to_pylist()
    blank = pa.repeat(pa.scalar("", _TEXT), rows.num_rows)
    coded = pa.array(codes, _TEXT) if marked.num_rows else blank
    return rows.append_column(BAD_CODE, coded).append_column(BAD_TEXT, blank)
