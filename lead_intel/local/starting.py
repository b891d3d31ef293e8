"""Brings services up under a lease, and says in one sentence why one did not come up."""

from __future__ import annotations

import time
from pathlib import Path

from lead_intel.errors import SetupError
from lead_intel.local.home import Home, is_free
from lead_intel.local.lease import Lease, Seen
from lead_intel.local.postgres import trouble_in
from lead_intel.local.services import Service

_ATTEMPTS = 3
_LARGEST_LOG = 20 * 2**20


def bring_up(lease: Lease, home: Home, services: list[Service]) -> dict[str, int]:
    """Use or start `services`, side by side, and wait until each is ready. Returns their ports."""
    missing: list[tuple[Service, int]] = []
    ports: dict[str, int] = {}
    for service in services:
        seen = lease.join(service.name)
        if seen is None:
            size = _log_size(home, service.name)
            if size > _LARGEST_LOG:
                _log_path(home, service.name).rename(home.logs / f"{service.name}.log.1")
                size = 0
            seen = lease.start(service.program())
            missing.append((service, size))
        ports[service.name] = seen.port or 0
    for service, size in missing:
        ports[service.name] = _ready(lease, home, service, size).port or 0
        lease.settle(service.name)
    return ports


def _ready(lease: Lease, home: Home, service: Service, log_size: int) -> Seen:
    """Wait until the service is ready. One whose port somebody else took meanwhile gets another one."""
    for attempt in range(_ATTEMPTS):
        deadline = time.monotonic() + service.seconds
        while time.monotonic() < deadline:
            seen = lease.look(service.name)
            if not seen.pid:
                break
            if service.is_ready(seen):
                return seen
            time.sleep(service.every)
        else:
            raise _not_started(home, service, log_size, f"is not ready after {service.seconds:.0f} s")
        lost_port = seen.port is not None and not is_free(seen.port)
        if not lost_port or attempt == _ATTEMPTS - 1:
            break
        lease.drop(service.name)
        home.another_port(service.name)
        log_size = _log_size(home, service.name)
        lease.start(service.program())
    raise _not_started(home, service, log_size, "did not start")


def _not_started(home: Home, service: Service, log_size: int, how: str) -> SetupError:
    with _log_path(home, service.name).open("rb") as log:
        log.seek(log_size)
        said = log.read().decode(errors="replace")
    return trouble_in(said, f"{service.name} {how}")


def _log_path(home: Home, name: str) -> Path:
    return home.logs / f"{name}.log"


def _log_size(home: Home, name: str) -> int:
    path = _log_path(home, name)
    return path.stat().st_size if path.exists() else 0
