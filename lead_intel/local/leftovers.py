"""What happens when the guardian itself is killed: a sentinel, its only helper, ends what it left behind.

Direct children receive a signal from the kernel (Linux), but what those had started (Dagster's code servers,
run workers) would live on. The mark in their environment proves whose they are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

from lead_intel.local.home import Home
from lead_intel.local.processes import marked, send, wait_until
from lead_intel.local.programs import MARK

STATE = "state.json"
"""The guardian's record of what runs. It is there exactly while a guardian lives, or was killed."""

_POLITE_SECONDS = 3.0


def end_leftovers(home: Home) -> None:
    """End what a guardian that was killed has left running, and remove its record."""
    left = home.read(STATE)
    if not left:
        return
    _end_house(left["house"])
    socket_path = Path(left["socket"])
    socket_path.unlink(missing_ok=True)
    if socket_path.parent != home.folder:
        with contextlib.suppress(OSError):
            socket_path.parent.rmdir()
    (home.folder / STATE).unlink(missing_ok=True)


def _end_house(house: str) -> None:
    """Interrupt everything of `house` (PostgreSQL: a fast shutdown), then kill what has not ended."""
    everything, database = (f"{house}/",), (f"{house}/postgres/",)
    send(marked(MARK, everything), signal.SIGINT)
    wait_until(lambda: not marked(MARK, everything), _POLITE_SECONDS, step=0.1)
    # A database that is still ending is waited for by whoever starts it next; nothing else gets more time.
    ending = {process.pid for process in marked(MARK, database)}
    send([process for process in marked(MARK, everything) if process.pid not in ending], signal.SIGKILL)


def post_sentinel(home: Home, house: str) -> socket.socket:
    """Fork a process that waits for our end, and cleans up unless we said before that all has ended.

    It inherits the guardian's lock: the next guardian cannot start before it is through.
    """
    ours, its = socket.socketpair()
    if os.fork() != 0:
        its.close()
        return ours
    ours.close()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not its.recv(64):
        _end_house(house)
        end_leftovers(home)
    os._exit(0)
