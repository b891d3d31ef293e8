"""One case in a process of its own: its wall time, the processor time and the peak memory of all its processes."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SECONDS_BETWEEN_LOOKS = 0.2


@dataclass
class Peak:
    """MiB. `all` are proportional shares, file pages among them; `own` only what the processes allocated."""

    all: float = 0.0
    own: float = 0.0

    def look(self, processes: Iterable[int]) -> None:
        every, own = 0, 0
        for process in processes:
            try:
                rollup = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
                sizes = {line.split()[0]: int(line.split()[1]) for line in rollup}
            except (OSError, ValueError):
                continue
            every += sizes.get("Pss:", 0)
            own += sizes.get("Pss_Anon:", 0)
        self.all, self.own = max(self.all, every / 1024), max(self.own, own / 1024)


@dataclass(frozen=True)
class Measured:
    """What the case printed, and what it took."""

    answer: dict[str, Any]
    cpu_seconds: float
    client: Peak
    server: Peak


def measured(case: str, arguments: dict[str, str], postmaster: int | None) -> Measured:
    """Run `benchmarks.case` with `case` and `arguments`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.case", case, json.dumps(arguments)], stdout=subprocess.PIPE, text=True
    )
    client, server, ended = Peak(), Peak(), threading.Event()
    watching = threading.Thread(target=_watch, args=(ended, [(client, child.pid), (server, postmaster)]))
    watching.start()
    try:
        output, _ = child.communicate()
    finally:
        ended.set()
        watching.join()
    if child.returncode:
        sys.exit(f"the case {case} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(json.loads(output.splitlines()[-1]), cpu, client, server)


def _watch(ended: threading.Event, watched: list[tuple[Peak, int | None]]) -> None:
    while not ended.wait(_SECONDS_BETWEEN_LOOKS):
        for peak, pid in watched:
            if pid is not None:
                peak.look(_tree(pid))


def _tree(pid: int) -> list[int]:
    """The process and its descendants, as the kernel lists them: to go through all processes would disturb."""
    found = [pid]
    for process in found:
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def postmaster_of(data: Path) -> int:
    """The server's process id, from its data folder."""
    return int((data / "postmaster.pid").read_text().splitlines()[0])
