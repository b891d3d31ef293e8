"""The product's way from a list's bytes to frames on disk and rows in PostgreSQL, with the product's own functions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pyarrow as pa

from lead_intel.columns import judge
from lead_intel.dnc.registry import open_verified
from lead_intel.intake.raw import raw_columns, raw_frame, raw_pieces
from lead_intel.intake.reading import read_list
from lead_intel.intake.validation import JudgedList, judged_list, occurrences, validate
from lead_intel.policy import load_policy
from lead_intel.record import leads
from lead_intel.record.copying import copy_tables
from lead_intel.record.database import migrate
from lead_intel.record.frames import write_tables
from lead_intel.record.upload_files import StoredObject, accept
from lead_intel.settings import REPOSITORY

_TYPES = {pa.int64(): "bigint", pa.bool_(): "boolean"}


def run(path: Path, database_url: str, index: Path, folder: Path) -> dict[str, float]:
    """Seconds of each stage, and counts."""
    clock, seconds = time.perf_counter(), {}
    policy = load_policy(REPOSITORY / "data" / "policy")
    readings = [(1, read_list(path, lambda _: True, folder))]
    seconds["read"], clock = time.perf_counter() - clock, time.perf_counter()
    rows = sum(len(reading.lines) + reading.bad.num_rows for _, reading in readings)
    verdict = judge(raw_columns(readings), policy, "benchmark")
    with (
        psycopg.connect(database_url, autocommit=True) as connection,
        judged_list(raw_pieces(readings), rows, verdict, policy, "benchmark", folder) as found,
    ):
        seconds["judge"], clock = time.perf_counter() - clock, time.perf_counter()
        # PostgreSQL is at work on one core; frames and the registry are on the other.
        with ThreadPoolExecutor(1) as beside:
            listed = beside.submit(_frames_and_registry, found, index, folder)
            with connection.transaction():
                _copy(connection, "product_accepted", (leads.drop_columns(["consent"]) for leads in found.accepted()))
                _copy(connection, "product_quarantined", found.quarantined())
            seconds["copy"] = time.perf_counter() - clock
            on_registry = listed.result()
        seconds["copy, frames and registry"] = time.perf_counter() - clock
        backend = Path(f"/proc/{connection.info.backend_pid}/stat").read_text().rsplit(") ", 1)[1].split()
        counts = {
            "rows": found.balance.file,
            "accepted": found.balance.accepted,
            "quarantined": found.balance.quarantined,
            "duplicate": found.balance.duplicate,
            "on the registry": on_registry,
            "server CPU seconds": (int(backend[11]) + int(backend[12])) / 100,
        }
    return {**seconds, **counts}


def _frames_and_registry(found: JudgedList, index: Path, folder: Path) -> int:
    listed = 0
    registry = open_verified(index)

    def looked_up() -> Iterator[pa.Table]:
        nonlocal listed
        for table in found.accepted():
            listed += int(registry.look_up(table["phone"].to_numpy()).listed.sum())
            yield table.drop_columns(["consent"])

    write_tables(folder, "valid_leads", "benchmark", looked_up())
    write_tables(folder, "quarantined_rows", "benchmark", found.quarantined())
    return listed


def _copy(connection: psycopg.Connection, name: str, tables: Iterator[pa.Table]) -> None:
    first = next(tables)
    columns = ", ".join(f'"{field.name}" {_TYPES.get(field.type, "text")}' for field in first.schema)
    connection.execute(f"drop table if exists {name}")
    connection.execute(f"create table {name} ({columns})")
    copy_tables(connection, [name], [first])
    copy_tables(connection, [name], tables)


def save_twice(path: Path, database_url: str, folder: Path) -> tuple[float, float]:
    """Seconds that the record takes for a judged list: the first time, and again when nothing has changed."""
    policy = load_policy(REPOSITORY / "data" / "policy")
    frame = raw_frame([(1, read_list(path, lambda _: True, folder))])
    found = validate(frame, judge(list(frame.columns), policy, "benchmark"), policy, "benchmark", folder)
    rows, seconds = occurrences(found), []
    with psycopg.connect(database_url, autocommit=True) as connection:
        migrate(connection)
        stored = StoredObject("benchmark", path.name, uuid4().hex, path.name, path.stat().st_size, uuid4().hex)
        upload = accept(connection, stored, "benchmark").upload
        for _ in range(2):
            clock = time.perf_counter()
            leads.save(connection, upload, rows, found.quarantined)
            seconds.append(time.perf_counter() - clock)
    return seconds[0], seconds[1]
