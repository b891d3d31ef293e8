"""A file -> its table, read in a child process under limits; or a refusal by name. Content decides, not the extension.

The parent opens nothing but the Arrow files that its child wrote. Everything is text, blanks are ''.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lead_intel.errors import LeadIntelError, RejectedInput
from lead_intel.intake import tables
from lead_intel.intake.recognise import unsafe
from lead_intel.intake.tables import TableFiles

_MIB = 1 << 20
_BASE_MEMORY = 400 * _MIB
_BASE_CPU_SECONDS = 6
_BYTES_PER_CPU_SECOND = 4 * _MIB
_WALL_PER_CPU = 4
"""Other programs share the machine: the wall limit is for a child that waits, not for one that works."""
_PANIC = "PanicException"
_DAMAGED = frozenset({_PANIC, "ArrowInvalid", "FastExcelError"})


@dataclass(frozen=True)
class Reading:
    """One list as read.

    `table` holds the rows below the header that have any text (columns c0, c1, ...); `lines` their line numbers
    (CSV: the line on which the row begins; XLSX: the sheet's row; both from 1, header included), ascending.
    `bad` (line, code, text) are rows set aside: with their text where they did not fit the columns, with blank text
    where the row stands in `table` too and only cannot be trusted.
    """

    headers: tuple[str, ...]
    table: pa.Table
    lines: np.ndarray[Any, np.dtype[np.int64]]
    bad: pa.Table
    format: str
    encoding: str | None
    delimiter: str | None
    sheet: str | None
    blank_rows: int
    batches: Callable[[], Iterator[pa.RecordBatch]]
    """The rows of `table` again, piece by piece, each read when it is asked for and forgotten with it."""

    @property
    def how(self) -> dict[str, str | None]:
        """How the file was read, as `upload_files` stores it."""
        return {
            "format": self.format,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "sheet": self.sheet,
        }


Prefers = Callable[[Sequence[str]], bool]
"""Whether the headers of a sheet are those of a lead list: decides between several visible sheets."""


def read_list(
    path: Path, prefers: Prefers, scratch_parent: Path | None = None, header_row: int | None = None
) -> Reading:
    """Read the list in `path`.

    Args:
        path: the file; its name is not looked at.
        prefers: chooses between several visible sheets of a workbook.
        scratch_parent: where the child may write for the time of the call; the system's folder by default.
        header_row: the line (XLSX: the sheet's row) on which a person says that the header stands, 0 for a list
            without one; by default the first row with text is the header.

    Raises:
        RejectedInput: the file is refused; the code says why (`file_*`, `format_*`, `password_protected`,
            `encoding_unknown`, `quoting_broken`, `header_too_long`, `header_row_missing`, `too_many_columns`,
            `sheet_ambiguous`).
    """
    with tempfile.TemporaryDirectory(prefix="reading-", dir=scratch_parent) as folder:
        scratch = Path(folder)
        found = _run_child(path, scratch, header_row)
        return loaded(_chosen(found, prefers), scratch)


def _run_child(path: Path, scratch: Path, header_row: int | None) -> list[TableFiles]:
    size = _bytes_to_parse(path)
    cpu = _BASE_CPU_SECONDS + size // _BYTES_PER_CPU_SECOND
    job = {
        "path": str(path.resolve()),
        "scratch": str(scratch),
        "header_row": header_row,
        "memory": _BASE_MEMORY + 6 * size,
        "cpu": cpu,
        "disk": 64 * _MIB + 6 * size,
    }
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "lead_intel.intake.reading_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        # A parser's last words may quote cells.
        stderr=subprocess.DEVNULL,
        cwd=scratch,
        # Nothing of the product's environment: a parser that is taken over finds no secret.
        env={
            "PYTHONPATH": ":".join(entry for entry in sys.path if entry),
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "ARROW_DEFAULT_MEMORY_POOL": "system",
            "MALLOC_ARENA_MAX": "2",
        },
    )
    with child:
        assert child.stdin is not None  # noqa: S101  # it was asked for
        try:
            child.stdin.write(json.dumps(job).encode() + b"\n")
            child.stdin.flush()
            # The pipe stays open while the child works: its end tells the child that we are gone.
            child.wait(timeout=cpu * _WALL_PER_CPU)
        except subprocess.TimeoutExpired:
            raise _too_slow(cpu * _WALL_PER_CPU) from None
        except BrokenPipeError:
            child.wait(timeout=cpu * _WALL_PER_CPU)
        finally:
            child.kill()
    return _outcome(scratch, child.returncode)


def _too_slow(seconds: int) -> RejectedInput:
    why = f"to read it took longer than {seconds} seconds"
    return unsafe(why)


def _bytes_to_parse(path: Path) -> int:
    """What the child has to go through: the file, or a workbook's parts as their directory promises."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            inflated = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, EOFError, OSError):
        return size
    # A lying directory must buy no more than a packed file can honestly hold.
    return min(inflated, 100 * size) + size


def _outcome(scratch: Path, returncode: int) -> list[TableFiles]:
    path = scratch / "outcome.json"
    if not path.exists():
        raise unsafe("to read it needs more memory or time than a list of its size may") from None
    outcome = json.loads(path.read_text(encoding="utf-8"))
    if "refused" in outcome:
        raise RejectedInput(**outcome["refused"])
    if outcome.get("crash") == "MemoryError":
        raise unsafe("to read it needs more memory than a list of its size may")
    if outcome.get("crash") in _DAMAGED:
        raise RejectedInput("file_damaged", "The file is damaged and cannot be read.", "Save it again and upload it.")
    if "crash" in outcome:
        raise LeadIntelError("reader_failed", f"The reader failed ({outcome['crash']}, {returncode}).")
    return [TableFiles.from_json(table) for table in outcome["tables"]]


def _chosen(found: list[TableFiles], prefers: Prefers) -> TableFiles:
    if len(found) == 1:
        return found[0]
    preferred = [table for table in found if prefers(table.headers)]
    if len(preferred) != 1:
        names = len(preferred) or len(found)
        raise RejectedInput(
            "sheet_ambiguous",
            f"{names} visible sheets could be the list.",
            "Keep the sheet with the list and delete or hide the others.",
        )
    return preferred[0]


def loaded(files: TableFiles, scratch: Path) -> Reading:
    """The table that the child wrote, rows in order; its files may be removed then: they are open and mapped."""
    cells = tables.part(scratch, files.name, "cells")
    table = tables.read_table(cells)
    bad = tables.read_table(tables.part(scratch, files.name, "bad"))
    lines = tables.read_table(tables.part(scratch, files.name, "lines"))["line"].to_numpy()
    order = np.argsort(lines, kind="stable") if np.any(np.diff(lines) < 0) else None
    if order is not None:
        lines, table = lines[order], table.take(pa.array(order))
    above = int(np.searchsorted(lines, files.header_line, side="right"))
    rows = table.slice(above)
    reader = pa.ipc.open_file(pa.OSFile(str(cells)))

    def batches() -> Iterator[pa.RecordBatch]:
        if order is not None:
            yield from rows.to_batches(max_chunksize=tables.BATCH_ROWS)
            return
        yield from _of_size(map(reader.get_batch, range(reader.num_record_batches)), above)

    return Reading(
        headers=files.headers,
        table=rows,
        lines=lines[above:],
        bad=bad,
        format=files.format,
        encoding=files.encoding,
        delimiter=files.delimiter,
        sheet=files.sheet,
        blank_rows=files.blank_rows,
        batches=batches,
    )


def _of_size(batches: Iterable[pa.RecordBatch], above: int) -> Iterator[pa.RecordBatch]:
    """The batches without the first `above` rows, small ones joined to BATCH_ROWS at most."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        rows = batch.slice(min(above, batch.num_rows))
        above -= batch.num_rows - rows.num_rows
        if waiting and sum(each.num_rows for each in waiting) + rows.num_rows > tables.BATCH_ROWS:
            yield pa.concat_batches(waiting)
            waiting = []
        waiting.append(rows)
    if waiting:
        yield pa.concat_batches(waiting)
