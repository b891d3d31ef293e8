"""Who a process is, and how to end one that is proven to be ours. A pid alone proves nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def runs_in(pid: int, program: str, folder: Path) -> bool:
    """True when `pid` is a living process of the executable named `program` whose working folder is `folder`."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return Path(process.exe()).name == program and Path(process.cwd()).resolve() == folder.resolve()
    except (psutil.Error, OSError):
        return False


def marked(name: str, beginnings: Collection[str]) -> list[psutil.Process]:
    """Every living process in whose environment `name` begins with one of `beginnings`, except this one."""
    found, wanted = [], tuple(beginnings)
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(name, "").startswith(wanted) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_until(condition: Callable[[], bool], seconds: float, step: float = 0.02) -> bool:
    """True as soon as `condition` holds, False when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send `number` to those that still are who they were (psutil compares their start)."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def woken_by_signals(on_signal: Callable[[int], None]) -> socket.socket:
    """A socket that becomes readable when a signal arrives, so that a `select` loop wakes up; call it once."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda received, _: on_signal(received))
    return reader


def adopt_orphans() -> None:
    """Let descendants whose parent dies become our children (Linux), so that none gets out of sight."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int, number: signal.Signals) -> None:
    """Called in a fresh child: receive `number` when `parent` dies (Linux)."""
    _prctl(_PR_SET_PDEATHSIG, number)
    if sys.platform == "linux" and os.getppid() != parent:
        os._exit(1)


def _prctl(option: int, value: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


# Loaded at import: a fresh child between fork and exec must not load libraries.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
