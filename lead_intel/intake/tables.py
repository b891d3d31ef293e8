"""What the reading child hands to its parent: Arrow files of one table, and the JSON that names them.

Shared by both sides of the process border; holds no reading and no rule.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

ROW_CODES = {
    "row_ragged": "The row has more or fewer cells than the header.",
    "row_quoting": "A quotation mark joins several lines into one row.",
    "row_encoding": "The row holds bytes that are not text.",
    "cell_too_long": "A cell is longer than 100,000 bytes.",
}
"""Codes of rows that the reader itself sets aside."""

MAX_CELL_BYTES = 100_000

BATCH_ROWS = 100_000
"""Rows that are in memory together where a table is gone through piece by piece."""

BAD_SCHEMA = pa.schema([("line", pa.int64()), ("code", pa.string()), ("text", pa.string())])


@dataclass(frozen=True, slots=True)
class TableFiles:
    """One table as the child wrote it, beside each other in the scratch folder.

    `<name>.cells.arrow`: the rows below the header, columns c0, c1, ..., all text. `<name>.lines.arrow`: their line
    numbers. `<name>.bad.arrow`: rows set aside (line, code, text); a row with blank text is among the cells too.
    """

    name: str
    headers: tuple[str, ...]
    header_line: int
    format: str
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    blank_rows: int = 0

    def as_json(self) -> dict[str, Any]:
        """For the outcome file."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TableFiles:
        """Back from the outcome file."""
        return cls(**{**value, "headers": tuple(value["headers"])})


def part(scratch: Path, name: str, which: str) -> Path:
    """Where a part of the table `name` lies."""
    return scratch / f"{name}.{which}.arrow"


def write_lines(scratch: Path, name: str, lines: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    """Write the line numbers of the cells' rows."""
    write_table(part(scratch, name, "lines"), pa.table({"line": pa.array(lines, pa.int64())}))


def write_bad(scratch: Path, name: str, bad: list[tuple[int, str, str]]) -> None:
    """Write the rows that were set aside, in the order of their lines."""
    columns = list(zip(*sorted(bad), strict=True)) or [(), (), ()]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, BAD_SCHEMA, strict=True)]
    write_table(part(scratch, name, "bad"), pa.Table.from_arrays(arrays, schema=BAD_SCHEMA))


def write_table(path: Path, table: pa.Table) -> None:
    """Write `table` as an Arrow file."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=BATCH_ROWS)


def read_table(path: Path) -> pa.Table:
    """Map an Arrow file into memory."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
