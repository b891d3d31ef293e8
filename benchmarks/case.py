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


def main() -> None:
    case = {"product": product, "plain": plain, "workbook": workbook, "fastexcel": fastexcel}[sys.argv[1]]
    print(json.dumps(case(**json.loads(sys.argv[2]))))


if __name__ == "__main__":
    main()
