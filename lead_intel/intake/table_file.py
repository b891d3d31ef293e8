"""A reading as a CSV file: the table as it was read, all text, before any rule; rows set aside stand in their places.

Cells are written as they are. The file is for comparing what was read, not for opening in a spreadsheet.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from lead_intel.intake.dialect import parsed_row
from lead_intel.intake.reading import Reading

_PLAIN = arrow_csv.WriteOptions(include_header=False)


def write_as_read(reading: Reading, target: Path) -> None:
    """Write the header, then every row in the order of the lines; a ragged row keeps its own number of cells."""
    with target.open("wb") as file:
        _write_rows(file, [list(reading.headers)])
        for rows, ragged in _pieces(reading):
            if rows.num_rows and rows.num_columns:
                arrow_csv.write_csv(rows, file, _PLAIN)
            _write_rows(file, [parsed_row(text, reading.delimiter or ",") for text in ragged])


def _pieces(reading: Reading) -> Iterator[tuple[pa.Table, list[str]]]:
    """The table cut where ragged rows stand, each piece with the texts that follow it."""
    apart = reading.bad.filter(pc.not_equal(reading.bad["text"], ""))
    cuts = np.searchsorted(reading.lines, apart["line"].to_numpy())
    texts = apart["text"].to_pylist()
    places, begins = np.unique(cuts, return_index=True)
    ends = np.append(begins[1:], len(texts))[: len(begins)]
    start = 0
    for place, first, last in zip(places, begins, ends, strict=True):
        yield reading.table.slice(start, int(place) - start), texts[int(first) : int(last)]
        start = int(place)
    yield reading.table.slice(start), []


def _write_rows(file: BinaryIO, rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    file.write(text.getvalue().encode("utf-8"))
