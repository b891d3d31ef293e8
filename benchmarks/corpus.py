"""Every file of a folder through `lead-intel check`, beside what other readers saw in it.

    python benchmarks/corpus.py FOLDER CENSUS.tsv RESULTS.tsv

CENSUS.tsv has the columns path (relative to FOLDER), verdict (`agree-NofM`, `disagree`, `all-refuse`, ...) and detail
(JSON: reader -> {rows, cols, sha} of text, {first, sheets} of a workbook, or {err}). Each file gets a process of its
own, forked after the imports, with wall clock and the largest resident memory of it and of its reading child taken. A
file that was read is read again here by the standard library or openpyxl (install it for workbooks) and compared cell
by cell. RESULTS.tsv has one line a file; the summary goes to stdout.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lead_intel.intake.check  # noqa: F401  # imported before the forks: each would pay for it
from lead_intel.cli import main as lead_intel_main
from lead_intel.intake.reading import read_list  # noqa: F401

HANGS_FROM = 60.0
SHOWN = ("read", "verdict", "code", "encoding", "delimiter", "rows", "blank_rows", "sheet")
CELL = 60
csv.field_size_limit(1 << 30)

Rows = list[list[str]]


@dataclass(frozen=True)
class Checked:
    """What one run of `check` came to."""

    exit_code: int
    seconds: float
    cpu_seconds: float
    memory_mib: int
    reader_mib: int
    answer: dict[str, Any]


def check(path: Path, table: Path, scratch: Path) -> Checked:
    answer, memory = scratch / "answer.json", scratch / "memory"
    for left in (table, answer, memory):
        left.unlink(missing_ok=True)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _checking(path, table, answer, memory)
    status, used = _waited(child, started)
    seconds = time.monotonic() - started
    own, reader = (int(word) >> 10 for word in memory.read_text().split()) if memory.exists() else (0, 0)
    try:
        said = json.loads(answer.read_text())
    except (ValueError, OSError):
        said = {}
    cpu = used.ru_utime + used.ru_stime
    return Checked(os.waitstatus_to_exitcode(status), seconds, cpu, own, reader, said)


def _checking(path: Path, table: Path, answer: Path, memory: Path) -> None:
    """In the fork: the command as a person types it, its answer in a file."""
    os.dup2(os.open(answer, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(os.open(answer.with_suffix(".err"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    sys.argv = ["lead-intel", "check", str(path), "--json", "--table", str(table)]
    code = 1
    try:
        lead_intel_main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        used = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        memory.write_text(" ".join(map(str, used)))
        os._exit(code)


def _waited(child: int, started: float) -> tuple[int, resource.struct_rusage]:
    """Its status and what it used, its own children's included."""
    while True:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            return status, used
        if time.monotonic() - started > HANGS_FROM:
            os.kill(child, 9)
        time.sleep(0.005)


# What other readers see ---------------------------------------------------------------------------


def compared(path: Path, checked: Checked, table: Path, detail: dict[str, Any]) -> str:
    """Blank when the table is what the agreeing readers saw, else what differs."""
    ours = list(csv.reader(table.open(encoding="utf-8", newline="")))
    try:
        if checked.answer["format"] == "xlsx":
            return _same_cells(_filled(ours), _sheet_cells(path, checked.answer["sheet"]))
        return _same_shape(ours, detail) or _same_rows(ours, _text_rows(path, checked.answer))
    except Exception as error:  # noqa: BLE001  # the other reader's trouble is its answer
        return f"other reader: {type(error).__name__}"


def _bare(rows: Rows) -> Rows:
    """Rows with text, without blank cells at their ends: what all readers can agree on."""
    bare = []
    for row in rows:
        cells = list(row)
        while cells and not cells[-1].strip():
            cells.pop()
        if cells:
            bare.append(cells)
    return bare


def _same_shape(ours: Rows, detail: dict[str, Any]) -> str:
    groups = Counter((seen["sha"], seen["rows"], seen["cols"]) for seen in detail.values() if "rows" in seen)
    votes = max(groups.values(), default=0)
    agreed = {(rows, cols) for (_, rows, cols), count in groups.items() if count == votes}
    bare = _bare(ours)
    width = max(map(len, ours), default=0)
    mine = {(count, wide) for count in (len(ours), len(bare)) for wide in (width, max(map(len, bare), default=0))}
    if votes > 1 and not mine & agreed:
        return f"shape: {len(bare)} x {width}, {votes} readers {sorted(agreed)}"
    return ""


def _text_rows(path: Path, answer: dict[str, Any]) -> Rows:
    encoding = {"utf-16-le": "utf-16", "utf-16-be": "utf-16", "utf-32-le": "utf-32", "utf-32-be": "utf-32"}.get(
        answer["encoding"], answer["encoding"]
    )
    content = path.read_bytes()
    if encoding in ("utf-16", "utf-32") and content[:2] not in (b"\xff\xfe", b"\xfe\xff", b"\x00\x00"):
        encoding = answer["encoding"]
    text = content.decode(encoding, "replace").replace("\x00", "")
    rows = list(csv.reader(_lines(text), delimiter=answer["delimiter"] or ","))
    return rows[1:] if rows and "".join(rows[0]).lower().startswith("sep=") else rows


def _lines(text: str) -> list[str]:
    import io

    return list(io.StringIO(text, newline=""))


def _same_rows(ours: Rows, theirs: Rows) -> str:
    mine, other = _bare(ours), _bare(theirs)
    if len(mine) != len(other):
        return f"rows: {len(mine)}, stdlib {len(other)}"
    for number, (a, b) in enumerate(zip(mine, other, strict=True), 1):
        if a != b:
            return f"cells differ in row {number} ({len(a)} and {len(b)} cells)"
    return ""


Cells = dict[tuple[int, int], Any]


def _filled(rows: Rows) -> list[list[tuple[int, str]]]:
    return [cells for row in rows if (cells := [(x, cell) for x, cell in enumerate(row) if cell.strip()])]


def _sheet_cells(path: Path, sheet: str) -> list[list[tuple[int, Any]]]:
    import openpyxl

    with path.open("rb") as content:
        book = openpyxl.load_workbook(content, data_only=True)
        rows = list(book[sheet].iter_rows(values_only=True))
    found = [[(x, cell) for x, cell in enumerate(row) if cell is not None and str(cell).strip()] for row in rows]
    return [row for row in found if row]


def _same_cells(ours: list[list[tuple[int, str]]], theirs: list[list[tuple[int, Any]]]) -> str:
    mine, other = sum(map(len, ours)), sum(map(len, theirs))
    if mine != other:
        return f"cells: {mine}, openpyxl {other}"
    # A reader may begin at the first used column; the distance must then be the same in every row.
    shifts = {b[0] - a[0] for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=False)}
    if len(shifts) > 1:
        return f"columns: distances {sorted(shifts)[:5]}"
    for x, y in zip(ours, theirs, strict=True):
        for (_, text), (_, value) in zip(x, y, strict=True):
            if not _same_value(text, value):
                return f"value: {text[:CELL]!r}, openpyxl {str(value)[:CELL]!r} ({type(value).__name__})"
    return ""


def _same_value(text: str, value: Any) -> bool:
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, (int, float)):
        try:
            return abs(float(text) - value) <= 1e-9 * max(1.0, abs(value))
        except ValueError:
            return False
    if isinstance(value, str):
        return (
            text.replace("\r\n", "\n").replace("_x000D_", "\r").strip()
            == value.replace("\r\n", "\n").replace("_x000D_", "\r").strip()
        )
    return str(value)[:10] in text or text in str(value)


def guarded(work: Callable[[], str]) -> str:
    """`work` in a fork under limits: other readers may be killed by the file."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (20, 21))
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        try:
            os.write(write, work().encode()[:4000] or b"-")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return {"": "other reader: killed by the file", "-": ""}.get(said, said)


def main() -> None:
    folder, census, results = (Path(argument) for argument in sys.argv[1:4])
    only = sys.argv[4:]
    known = {row["path"]: row for row in csv.DictReader(census.open(), delimiter="\t", quoting=csv.QUOTE_NONE)}
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    paths = [path for path in paths if not only or any(str(path).find(part) >= 0 for part in only)]
    counts: Counter[str] = Counter()
    worst: dict[str, tuple[float, str]] = {}
    with tempfile.TemporaryDirectory() as temporary, results.open("w") as out:
        scratch = Path(temporary)
        table = scratch / "table.csv"
        for path in paths:
            name = str(path.relative_to(folder))
            row = known.get(name)
            if row is None:
                continue
            detail = json.loads(row["detail"] or "{}")
            checked = check(path, table, scratch)
            verdict, differs = _verdict(path, checked, table, detail)
            line = {
                "path": name,
                "result": verdict,
                "census": row["verdict"],
                "differs": differs,
                "seconds": round(checked.seconds, 2),
                "cpu_seconds": round(checked.cpu_seconds, 2),
                "mib": checked.memory_mib,
                "reader_mib": checked.reader_mib,
                "answer": {key: checked.answer.get(key) for key in SHOWN},
                "detail": detail if differs or verdict != "read" else None,
            }
            out.write(json.dumps(line) + "\n")
            out.flush()
            counts[f"{verdict} | {row['verdict'].split('-')[0]}{' | differs' if differs else ''}"] += 1
            for what in ("seconds", "cpu_seconds", "mib", "reader_mib"):
                worst[what] = max(worst.get(what, (0.0, "")), (float(line[what]), name))
    for key, count in sorted(counts.items()):
        print(f"{count:5}  {key}")
    for what, (value, name) in worst.items():
        print(f"largest {what}: {value} ({name})")


def _verdict(path: Path, checked: Checked, table: Path, detail: dict[str, Any]) -> tuple[str, str]:
    if checked.seconds > HANGS_FROM:
        return "HANG", ""
    if checked.exit_code not in (0, 3) or "read" not in checked.answer:
        return f"CRASH exit {checked.exit_code} {checked.answer.get('error', {}).get('code')}", ""
    if checked.answer["read"] == "refused":
        return f"refused {checked.answer['code']}", ""
    return "read", guarded(lambda: compared(path, checked, table, detail))


if __name__ == "__main__":
    main()
