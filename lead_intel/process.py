"""In which process a run inside `lead-intel` lives, so that the next command sees at once when that was killed.

Only ever proves death, and only on the same machine; everywhere else the heartbeat decides.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

TAG = "lead_intel/process"
"""Tag of a Dagster run that lives inside a process of ours."""

_NAMESPACE = Path("/proc/self/ns/pid")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> str:
    """Names this process: machine, process id, start."""
    return f"{_machine()}|{os.getpid()}|{psutil.Process().create_time():.2f}"


def is_gone(process: str) -> bool:
    """True when `process` (as `this_process` named it) ran on this machine and runs no more."""
    machine, pid, started = process.rsplit("|", 2)
    if machine != _machine():
        return False
    try:
        found = psutil.Process(int(pid))
        return found.status() == psutil.STATUS_ZOMBIE or f"{found.create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _machine() -> str:
    # Process ids mean nothing in another container, even where it shares the host's name; nor on another machine, and
    # cloned machines share their name too, but never a boot.
    namespace = str(_NAMESPACE.readlink()) if _NAMESPACE.is_symlink() else ""
    boot = _BOOT.read_text(encoding="ascii").strip() if _BOOT.exists() else ""
    return f"{socket.gethostname()} {boot} {namespace}"
