"""A list judged piece by piece, in this process or in several beside it, onto disk.

Judging is Python and Arrow in turn, so that threads would wait for each other: pieces go to child processes as Arrow
files, and come back as such. A child ends when its pipe closes, also when this process was killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lead_intel.errors import LeadIntelError
from lead_intel.intake.judging import Rules, judged
from lead_intel.intake.tables import read_table, write_table

ROWS_FOR_CHILDREN = 60_000
"""Below, starting processes costs more than it saves."""

_FEWEST_CHILDREN, _MOST_CHILDREN = 2, 4
"""Two even on one core: one judges while the other is handed a piece."""


@dataclass(frozen=True)
class Part:
    """One judged piece at rest; see `judging.Judged`."""

    leads_file: Path
    quarantined_file: Path

    def leads(self) -> pa.Table:
        """Mapped into memory for as long as it is used."""
        return read_table(self.leads_file)

    def quarantined(self) -> pa.Table:
        """Mapped into memory for as long as it is used."""
        return read_table(self.quarantined_file)


def judged_parts(pieces: Iterable[pa.Table], rows: int, rules: Rules, scratch: Path) -> list[Part]:
    """Judge `pieces` (`rows` in all) into `scratch`; the parts are in the order of the pieces.

    Raises:
        LeadIntelError: `judge_failed`: a child ended before its work was done.
    """
    queue = _Queue(iter(pieces), scratch)
    if rows < ROWS_FOR_CHILDREN:
        return [_judged_here(piece, part, rules) for _, piece, part in queue]
    count = min(_MOST_CHILDREN, max(_FEWEST_CHILDREN, len(os.sched_getaffinity(0))))
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(count))
        # Left before the threads are waited for: an ended child ends the thread that waits for its answer.
        children = [stack.enter_context(_child(scratch, rules)) for _ in range(count)]
        working = [threads.submit(_let_judge, child, queue) for child in children]
        # All of them, or those up to the first that failed.
        ended, _ = wait(working, return_when=FIRST_EXCEPTION)
        done = [numbered for thread in ended for numbered in thread.result()]
    return [part for _, part in sorted(done, key=lambda numbered: numbered[0])]


class _Queue:
    """The pieces with their numbers and places, handed out to whoever is free; one thread at a time reads on."""

    def __init__(self, pieces: Iterator[pa.Table], scratch: Path) -> None:
        self._numbered = enumerate(pieces)
        self._scratch = scratch
        self._turn = threading.Lock()

    def __iter__(self) -> Iterator[tuple[int, pa.Table, Part]]:
        while True:
            with self._turn:
                number, piece = next(self._numbered, (0, None))
            if piece is None:
                return
            places = [self._scratch / f"{number}.{which}.arrow" for which in ("leads", "quarantined")]
            yield number, piece, Part(*places)


def _judged_here(piece: pa.Table, part: Part, rules: Rules) -> Part:
    leads, quarantined = judged(piece, rules)
    write_table(part.leads_file, leads)
    write_table(part.quarantined_file, quarantined)
    return part


def _let_judge(child: subprocess.Popen[str], queue: _Queue) -> list[tuple[int, Part]]:
    assert child.stdin is not None  # noqa: S101  # both were asked for
    assert child.stdout is not None  # noqa: S101
    done: list[tuple[int, Part]] = []
    for number, piece, part in queue:
        handed = part.leads_file.with_suffix(".piece")
        write_table(handed, piece)
        job = {"piece": str(handed), "leads": str(part.leads_file), "quarantined": str(part.quarantined_file)}
        try:
            child.stdin.write(json.dumps(job) + "\n")
            child.stdin.flush()
        except BrokenPipeError:
            raise _failed(child) from None
        if not child.stdout.readline():
            raise _failed(child)
        done.append((number, part))
    return done


def _failed(child: subprocess.Popen[str]) -> LeadIntelError:
    return LeadIntelError("judge_failed", f"A process that judges rows ended by itself ({child.wait()}).")


@contextmanager
def _child(scratch: Path, rules: Rules) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "lead_intel.intake.judging_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # What a library says last may quote cells.
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=scratch,
        # Nothing of the product's environment: rows are judged without secrets.
        env={
            "PYTHONPATH": ":".join(entry for entry in sys.path if entry),
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert child.stdin is not None  # noqa: S101  # it was asked for
    try:
        child.stdin.write(json.dumps(rules.as_json()) + "\n")
        child.stdin.flush()
        yield child
    except BrokenPipeError:
        raise _failed(child) from None
    finally:
        child.kill()
        with child, suppress(BrokenPipeError):
            child.stdin.close()
