"""Intake's speed against the plain script: `python -m benchmarks.intake --rows 1000000`.

From a list's bytes to frames on disk and rows in PostgreSQL, the registry of 250 million numbers asked on the way.
Both ways run by turns on one machine at one time; medians count. The plain script may run on a part of the rows and
is then scaled (its stages cost the same for each row). A table for people on standard error, JSON on standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.lists import write_list
from benchmarks.measure import Measured, measured, postmaster_of
from benchmarks.registry import made_index
from benchmarks.workbook import write_workbook
from lead_intel.local.home import Home
from lead_intel.local.postgres import recorded_cluster
from lead_intel.local.supervisor import local_house
from lead_intel.sandbox.settings import environment as vendors


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intake", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--plain-rows", type=int, default=50_000, help="rows for the plain script; it is scaled")
    parser.add_argument("--registry", type=int, default=250_000_000, help="numbers on the Do-Not-Call registry")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--grow-to", type=int, help="also run so many rows once: growth of time and memory")
    parser.add_argument("--workbook-rows", type=int, help="also read a workbook of so many rows, beside fastexcel")
    parser.add_argument("--folder", type=Path, help="where to work; lists and registry are kept there for the next run")
    asked = parser.parse_args()
    if asked.folder is not None:
        print(json.dumps(_all(asked, asked.folder.resolve())))
        return
    with tempfile.TemporaryDirectory(prefix="lead-intel-benchmark-") as folder:
        print(json.dumps(_all(asked, Path(folder))))


def _all(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    # As root the database's account has to pass through.
    folder.chmod(0o711)
    brought = dict.fromkeys(vendors("http://unused"), "unused")
    with local_house(folder / "home", environ={**os.environ, **brought}) as house:
        database = house.environment["DATABASE_URL"]
        server = postmaster_of(recorded_cluster(Home.at(folder / "home")).data)
        index = str(made_index(folder / "registry", asked.registry))
        work = folder / "work"
        work.mkdir(exist_ok=True)

        def product(rows: int) -> Measured:
            arguments = {"database": database, "index": index, "folder": str(work)}
            return measured("product", {"list_path": _list(folder, rows), **arguments}, server)

        plain_rows = min(asked.plain_rows, asked.rows)
        plain_list = {"list_path": _list(folder, plain_rows), "database": database}
        pairs = [(product(asked.rows), measured("plain", plain_list, server)) for _ in range(asked.repeat)]
        found = {"rows": asked.rows, "registry": asked.registry, "repeat": asked.repeat}
        found |= _compared(pairs, asked.rows, plain_rows)
        upserted = {"list_path": _list(folder, asked.rows), "database": database, "folder": str(work)}
        upsert = measured("upsert", upserted, None).answer
        found["beside"] = {
            "upsert of the leads, seconds": upsert["seconds"],
            "the same, nothing changed": upsert["seconds, nothing changed"],
            "Dagster's start, seconds": measured("dagster_start", {}, None).answer["seconds"],
        }
        if asked.grow_to:
            found["growth"] = _growth(found["product"], asked.rows, product(asked.grow_to), asked.grow_to)
        if asked.workbook_rows:
            found["workbook"] = _workbook(folder, asked.workbook_rows, asked.repeat)
    _say(found)
    return found


def _list(folder: Path, rows: int) -> str:
    path = folder / f"{rows}.csv"
    if not path.exists():
        write_list(path, rows)
    return str(path)


def _compared(pairs: list[tuple[Measured, Measured]], rows: int, plain_rows: int) -> dict[str, Any]:
    ours, plain = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    scale = rows / plain_rows
    product = _summary(ours)
    base = _summary(plain) | {"rows": plain_rows, "seconds scaled": _median(plain, "seconds") * scale}
    return {
        "product": product,
        "plain": base,
        "ratio": base["seconds scaled"] / product["seconds"],
        "ratio of each pair": [p.answer["seconds"] * scale / o.answer["seconds"] for o, p in pairs],
    }


def _summary(runs: list[Measured]) -> dict[str, Any]:
    stages = {name: _median(runs, name) for name in runs[0].answer}
    return {
        **stages,
        "client CPU seconds": median(run.cpu_seconds for run in runs),
        "peak MiB": max(run.client.all + run.server.all for run in runs),
        "peak MiB, PostgreSQL's part": max(run.server.all for run in runs),
        "peak MiB, own memory": max(run.client.own for run in runs),
    }


def _median(runs: list[Measured], name: str) -> float:
    return median(run.answer[name] for run in runs)


def _growth(small: dict[str, Any], rows: int, big: Measured, big_rows: int) -> dict[str, float]:
    more = big_rows - rows
    return {
        "rows": big_rows,
        "seconds": big.answer["seconds"],
        "client CPU seconds": big.cpu_seconds,
        "time ratio": big.answer["seconds"] / small["seconds"],
        "CPU ratio": big.cpu_seconds / small["client CPU seconds"],
        "own bytes per further row": (big.client.own - small["peak MiB, own memory"]) * 2**20 / more,
        "peak MiB, own memory": big.client.own,
    }


def _workbook(folder: Path, rows: int, repeat: int) -> dict[str, float]:
    path = folder / f"{rows}.xlsx"
    if not path.exists():
        write_workbook(path, rows)
    names = {"list_path": str(path)}
    pairs = [
        (measured("workbook", names | {"folder": str(folder / "work")}, None), measured("fastexcel", names, None))
        for _ in range(repeat)
    ]
    ours, alone = [ours for ours, _ in pairs], [alone for _, alone in pairs]
    return {
        "rows": rows,
        "product seconds": _median(ours, "seconds"),
        "fastexcel seconds": _median(alone, "seconds"),
        "ratio": median(o.answer["seconds"] / a.answer["seconds"] for o, a in pairs),
        "CPU ratio": median(o.cpu_seconds / a.cpu_seconds for o, a in pairs),
    }


def _say(found: dict[str, Any]) -> None:
    for name, values in found.items():
        if isinstance(values, dict):
            sys.stderr.write(f"\n{name}\n")
            for key, value in values.items():
                sys.stderr.write(f"  {key:<32}{value:>14,.2f}\n")
        elif isinstance(values, list):
            sys.stderr.write(f"{name}: {', '.join(f'{value:.1f}' for value in values)}\n")
        else:
            sys.stderr.write(f"{name}: {values:,.1f}\n")


if __name__ == "__main__":
    main()
