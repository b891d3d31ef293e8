"""Judging beside this process: the same answer as in it, nothing left behind, no waiting for the dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from lead_intel.columns import ColumnVerdict, judge
from lead_intel.errors import LeadIntelError
from lead_intel.intake import judges
from lead_intel.intake.validation import judged_list
from lead_intel.policy import Policy

COLUMNS = ["file_no", "line", "_bad_code", "_bad_text", "phone", "email", "consent_source", "note"]
PIECES, ROWS = 6, 40


def piece(number: int) -> pa.Table:
    lines = range(2 + number * ROWS, 2 + (number + 1) * ROWS)
    text = pa.large_string()
    columns = {
        "file_no": pa.array([1] * ROWS),
        "line": pa.array(lines),
        "_bad_code": pa.array(["row_ragged" if n % 11 == 0 else "" for n in lines], text),
        "_bad_text": pa.array(["1,2" if n % 11 == 0 else "" for n in lines], text),
        # The same people occur in several pieces.
        "phone": pa.array([f"212-555-{100 + n % 90:04}" for n in lines], text),
        "email": pa.array(["" if n % 5 == 0 else f"p{n % 90}@example.com" for n in lines], text),
        "consent_source": pa.array(["bought" if n % 13 == 0 else "web_form" for n in lines], text),
        "note": pa.array(['said "no"\n' for _ in lines], text),
    }
    return pa.table(columns)


def pieces() -> Iterator[pa.Table]:
    return (piece(number) for number in range(PIECES))


@pytest.fixture
def verdict(policy: Policy) -> ColumnVerdict:
    return judge(COLUMNS, policy, "acme")


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "lead_intel.intake.judging_child" in child.cmdline()]


def test_beside_this_process_and_in_it_give_the_same(policy: Policy, verdict: ColumnVerdict, tmp_path: Path) -> None:
    found = []
    for told in (PIECES * ROWS, judges.ROWS_FOR_CHILDREN):  # the number of rows decides who judges
        with judged_list(pieces(), told, verdict, policy, "acme", tmp_path) as screen:
            tables = [pa.concat_tables(part()) for part in (screen.accepted, screen.quarantined, screen.duplicates)]
            found.append((screen.balance, screen.by_code, [table.to_pydict() for table in tables]))

    assert found[0] == found[1]
    assert found[0][0].file == PIECES * ROWS
    assert found[0][0].duplicate > 0
    assert not children()
    assert not list(tmp_path.iterdir())


def test_a_judge_that_is_killed_is_an_error_and_no_wait(policy: Policy, verdict: ColumnVerdict, tmp_path: Path) -> None:
    def and_then_a_killed_judge() -> Iterator[pa.Table]:
        yield from pieces()
        for child in children():
            os.kill(child.pid, signal.SIGKILL)
        yield from pieces()

    with (
        pytest.raises(LeadIntelError, match="ended by itself"),
        judged_list(and_then_a_killed_judge(), judges.ROWS_FOR_CHILDREN, verdict, policy, "acme", tmp_path),
    ):
        pass

    assert not children()
    assert not list(tmp_path.iterdir())


def test_an_error_while_rows_are_read_ends_the_judges(policy: Policy, verdict: ColumnVerdict, tmp_path: Path) -> None:
    def broken() -> Iterator[pa.Table]:
        yield piece(0)
        raise OSError("the disk is gone")

    started, before = time.monotonic(), threading.active_count()
    with (
        pytest.raises(OSError, match="the disk is gone"),
        judged_list(broken(), judges.ROWS_FOR_CHILDREN, verdict, policy, "acme", tmp_path),
    ):
        pass

    assert time.monotonic() - started < 30
    assert not children()
    assert threading.active_count() == before


WAITS_FOR_A_PIECE = """
import sys, time
from pathlib import Path
from lead_intel.intake.judges import ROWS_FOR_CHILDREN, judged_parts
from lead_intel.intake.judging import Rules

def pieces():
    print("waiting", flush=True)
    time.sleep(120)
    yield from ()

judged_parts(pieces(), ROWS_FOR_CHILDREN, Rules({}, {}, {}, (), (), (), "2026-11-24", "_bad_code"), Path(sys.argv[1]))
"""


def test_the_judges_of_a_killed_process_end(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WAITS_FOR_A_PIECE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "waiting\n"
        orphans = psutil.Process(parent.pid).children()
        parent.kill()

    assert len(orphans) >= 2
    _, alive = psutil.wait_procs(orphans, timeout=30)
    assert not alive
