"""One case, alone in its process; prints its answer as JSON. Started by `measure`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def product(list_path: str, database: str, index: str, folder: str) -> dict[str, Any]:
    from benchmarks.product import run

    started = time.perf_counter()
    found = run(Path(list_path), database, Path(index), Path(folder))
    return {"seconds": time.perf_counter() - started, **found}


def plain(list_path: str, database: str) -> dict[str, Any]:
    from benchmarks.lists import SEED
    from benchmarks.plain import run
    from benchmarks.registry import some_numbers

    do_not_call = {f"+1{number}" for number in some_numbers(SEED, 1_000_000).tolist()}
    stages = run(Path(list_path), database, do_not_call)
    return {"seconds": sum(stages.values()), **stages}


def workbook(list_path: str, folder: str) -> dict[str, Any]:
    from lead_intel.intake.reading import read_list

    started = time.perf_counter()
    reading = read_list(Path(list_path), lambda _: True, Path(folder))
    return {"seconds": time.perf_counter() - started, "rows": len(reading.lines)}


def fastexcel(list_path: str) -> dict[str, Any]:
    # Its import is not counted; that of our reading child is.
    import fastexcel

    started = time.perf_counter()
    table = fastexcel.read_excel(list_path).load_sheet(0, dtypes="string").to_arrow()
    return {"seconds": time.perf_counter() - started, "rows": table.num_rows}


def upsert(list_path: str, database: str, folder: str) -> dict[str, Any]:
    """A judged list into `leads` and its neighbours, then the same again, when nothing has changed."""
    from benchmarks.product import save_twice

    first, again = save_twice(Path(list_path), database, Path(folder))
    return {"seconds": first, "seconds, nothing changed": again}


def dagster_start() -> dict[str, Any]:
    """What a run waits for before its first step: imports, and the code location's definitions."""
    started = time.perf_counter()
    from lead_intel.definitions import defs

    defs.resolve_job_def("screen_upload")
    return {"seconds": time.perf_counter() - started}


def main() -> None:
    cases = (product, plain, workbook, fastexcel, upsert, dagster_start)
    case = {each.__name__: each for each in cases}[sys.argv[1]]
    print(json.dumps(case(**json.loads(sys.argv[2]))))


if __name__ == "__main__":
    main()
