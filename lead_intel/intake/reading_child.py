"""The reading child: one file in, Arrow files and `outcome.json` out, under limits on memory, processor and disk.

Started by `reading`, never imported by the product. It reads one line of JSON from its input (paths and limits); when
that pipe closes, its parent is gone and it ends at once. Whatever kills it, kills only it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from lead_intel.errors import RejectedInput
from lead_intel.intake.reading_csv import read_csv
from lead_intel.intake.reading_xlsx import read_xlsx
from lead_intel.intake.recognise import kind_of

OUTCOME = "outcome.json"


def main() -> None:
    """Read the file that the first line of standard input names."""
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    scratch = Path(job["scratch"])
    sys.excepthook = _report_crash_to(scratch)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit(job)
    try:
        outcome: dict[str, Any] = {
            "tables": [table.as_json() for table in _read(Path(job["path"]), scratch, job["header_row"])]
        }
    except RejectedInput as error:
        outcome = {"refused": error.as_json()}
    except MemoryError:
        outcome = {"crash": "MemoryError"}
    _write(scratch, outcome)


def _read(path: Path, scratch: Path, header_row: int | None) -> list[Any]:
    if kind_of(path) == "csv":
        return [read_csv(path, scratch, header_row)]
    return read_xlsx(path, scratch, header_row)


def _write(scratch: Path, outcome: dict[str, Any]) -> None:
    (scratch / OUTCOME).write_text(json.dumps(outcome), encoding="utf-8")


def _report_crash_to(scratch: Path) -> Any:
    def report(kind: type[BaseException], _: BaseException, __: TracebackType | None) -> None:
        # The type only: messages of parsers carry cells.
        _write(scratch, {"crash": kind.__name__})

    return report


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(3)


def _limit(job: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["disk"], job["disk"]))
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu"], job["cpu"] + 1))
    statm = Path("/proc/self/statm")
    if statm.exists():
        # What the libraries themselves have mapped differs between machines; the limit is for what the file costs.
        mapped = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + job["memory"], mapped + job["memory"]))


if __name__ == "__main__":
    main()
