"""The guardian: a process of its own that starts, watches and ends the programs of one home.

Commands hold *leases*: connections to its socket. A program runs as long as a lease wants it; the kernel closes a
lease when its holder dies, however it dies, and then the guardian ends what nobody wants any more, PostgreSQL
last. It knows no program by name and imports little, so that it starts at once and survives everything else.

One JSON object a line. Asked: start, join, settle, look, drop, pin, release, end. Told unasked: `{"event": ...}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from lead_intel.errors import LeadIntelError
from lead_intel.local.home import Home
from lead_intel.local.leftovers import STATE, end_leftovers, post_sentinel
from lead_intel.local.processes import adopt_orphans, wait_until, woken_by_signals
from lead_intel.local.programs import Life, Program, end_marked

LOCK = "guardian.lock"
_FIRST_LEASE_SECONDS = 10.0
_LONGEST_SOCKET_PATH = 100


@dataclass(eq=False)
class _Lease:
    connection: socket.socket | None
    wants: set[str] = field(default_factory=set)
    received: bytes = b""

    def tell(self, message: dict[str, Any]) -> None:
        """Send without waiting: a client that does not read must not stop the house."""
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.sendall(json.dumps(message).encode() + b"\n")


class Guardian:
    """The guardian of one home, from its first lease to its last."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._house = f"{os.getpid()}-{time.time_ns()}"
        self._lives: dict[str, Life] = {}
        self._leases: list[_Lease] = []
        self._selector = selectors.DefaultSelector()
        self._ending: str | None = None
        self._socket_path = _socket_path(home)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sentinel: socket.socket | None = None

    def run(self) -> None:
        """Listen, say so, and work until nobody holds a lease."""
        end_leftovers(self._home)
        self._sentinel = post_sentinel(self._home, self._house)
        wakeup = woken_by_signals(self._on_signal)
        self._socket_path.unlink(missing_ok=True)
        self._listener.bind(str(self._socket_path))
        self._listener.listen(16)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(wakeup, selectors.EVENT_READ, wakeup)
        self._record()
        _say(f"up, process {os.getpid()}")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdout.close()
        try:
            self._work()
        finally:
            self._close()

    def _work(self) -> None:
        alone_since = time.monotonic()
        had_lease = False
        while self._ending is None:
            for key, _ in self._selector.select(self._next_timeout()):
                self._serve(key)
            self._reap()
            self._restart_due()
            if self._leases:
                had_lease = True
            elif had_lease or time.monotonic() - alone_since > _FIRST_LEASE_SECONDS:
                self._ending = "nobody needs it any more"

    def _serve(self, key: selectors.SelectorKey) -> None:
        if key.data is None:
            connection, _ = self._listener.accept()
            connection.settimeout(1.0)
            lease = _Lease(connection)
            self._leases.append(lease)
            self._selector.register(connection, selectors.EVENT_READ, lease)
        elif isinstance(key.data, _Lease):
            self._hear(key.data)
        else:
            with contextlib.suppress(BlockingIOError):
                key.data.recv(4096)

    def _hear(self, lease: _Lease) -> None:
        if lease.connection is None:
            return
        try:
            received = lease.connection.recv(1 << 20)
        except OSError:
            received = b""
        if not received:
            self._end_lease(lease)
            return
        *lines, lease.received = (lease.received + received).split(b"\n")
        for line in lines:
            self._answer(lease, json.loads(line))

    def _answer(self, lease: _Lease, asked: dict[str, Any]) -> None:
        name = asked.get("name", "")
        match asked["do"]:
            case "start":
                self._start(lease, Program.from_json(asked["program"]))
            case "join":
                if self._lives.get(name) is not None and self._lives[name].settled:
                    lease.wants.add(name)
                lease.tell(self._seen(name))
            case "settle":
                life = self._lives[name]
                life.settled, life.state = True, "running" if life.state == "starting" else life.state
                self._record()
                lease.tell(self._seen(name))
            case "look":
                self._reap()
                lease.tell(self._seen(name))
            case "drop":
                for other in self._leases:
                    other.wants.discard(name)
                self._end_unwanted()
                lease.tell({"ok": True})
            case "pin":
                self._leases.append(_Lease(None, set(lease.wants)))
                lease.tell({"ok": True})
            case "release":
                lease.wants.clear()
                self._end_unwanted()
                lease.tell({"released": True})
                self._end_lease(lease)
            case "end":
                self._ending = "asked to"

    def _start(self, lease: _Lease, program: Program) -> None:
        life = self._lives.get(program.name)
        if life is None or life.state in ("ended", "failed"):
            life = Life(program, f"{self._house}/{program.name}/")
            self._lives[program.name] = life
            try:
                life.start()
            except OSError as error:
                del self._lives[program.name]
                lease.tell({"error": f"{program.command[0]} cannot be started: {error.strerror}"})
                return
            _say(f"{program.name} started, process {life.pid}")
            self._record()
        lease.wants.add(program.name)
        lease.tell(self._seen(program.name))

    def _seen(self, name: str) -> dict[str, Any]:
        life = self._lives.get(name)
        if life is None:
            return {"name": name, "state": "ended", "pid": 0, "port": None, "settled": False, "exit": None}
        return {
            "name": name,
            "state": life.state,
            "pid": life.pid,
            "port": life.program.port,
            "settled": life.settled,
            "exit": life.exit_code,
        }

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for life in self._lives.values():
                if life.pid == pid:
                    life.reaped(os.waitstatus_to_exitcode(status))
                    self._after_end(life)

    def _after_end(self, life: Life) -> None:
        if not life.settled or self._ending is not None:
            return
        name, how = life.program.name, life.said_end()
        if life.plan_restart(time.monotonic()):
            self._tell_holders(name, {"event": "restarted", "name": name, "how": how})
        else:
            self._tell_holders(name, {"event": "failed", "name": name, "how": how})
        self._record()

    def _restart_due(self) -> None:
        now = time.monotonic()
        for life in self._lives.values():
            if life.state == "waiting" and life.restart_at <= now:
                try:
                    life.restart()
                except OSError as error:
                    life.state = "failed"
                    how = f"cannot be started again ({error.strerror})"
                    self._tell_holders(life.program.name, {"event": "failed", "name": life.program.name, "how": how})
                _say(f"{life.program.name} {life.state}, process {life.pid}")
                self._record()

    def _next_timeout(self) -> float:
        now = time.monotonic()
        waiting = [life.restart_at - now for life in self._lives.values() if life.state == "waiting"]
        return max(0.0, min([1.0, *waiting]))

    def _tell_holders(self, name: str, message: dict[str, Any]) -> None:
        _say(json.dumps(message))
        for lease in self._leases:
            if name in lease.wants:
                lease.tell(message)

    def _end_lease(self, lease: _Lease) -> None:
        if lease.connection is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(lease.connection)
            lease.connection.close()
        if lease in self._leases:
            self._leases.remove(lease)
        if self._leases:
            self._end_unwanted()

    def _end_unwanted(self) -> None:
        wanted: set[str] = set().union(*(lease.wants for lease in self._leases))
        self._end([life for name, life in self._lives.items() if name not in wanted])

    def _end(self, lives: list[Life]) -> None:
        """End `lives` rank by rank: the polite signal, the grace, then the kill, descendants included."""
        for _, group in groupby(sorted(lives, key=lambda life: life.program.rank), lambda life: life.program.rank):
            together = list(group)
            for life in together:
                life.settled = False
                if life.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(life.pid, life.program.stop_signal)
            wait_until(partial(self._all_ended, together), max(life.program.grace for life in together))
            for life in together:
                if life.pid:
                    _say(f"{life.program.name} does not end; killed")
                    os.kill(life.pid, signal.SIGKILL)
            end_marked([life.mark for life in together])
            for life in together:
                self._lives.pop(life.program.name, None)
        self._reap()
        self._record()

    def _all_ended(self, lives: list[Life]) -> bool:
        self._reap()
        return not any(life.pid for life in lives)

    def _on_signal(self, number: int) -> None:
        if number != signal.SIGCHLD:
            self._ending = f"signal {number}"

    def _close(self) -> None:
        why = self._ending or "a defect of the guardian"
        self._ending = why
        _say(f"ending: {why}")
        self._listener.close()
        self._socket_path.unlink(missing_ok=True)
        self._end(list(self._lives.values()))
        for lease in list(self._leases):
            lease.tell({"event": "ending", "how": why})
        (self._home.folder / STATE).unlink(missing_ok=True)
        if self._socket_path.parent != self._home.folder:
            self._socket_path.parent.rmdir()
        if self._sentinel is not None:
            self._sentinel.sendall(b"ended in order")
        _say("ended")

    def _record(self) -> None:
        """Write what runs, for the next command and for people."""
        state = {
            "house": self._house,
            "pid": os.getpid(),
            "socket": str(self._socket_path),
            "programs": {name: self._seen(name) for name in self._lives},
        }
        try:
            self._home.write(STATE, state)
        except OSError as error:
            # A full disk or a deleted home must not end the house; what was recorded before still leads to us.
            _say(f"{STATE} cannot be written: {error.strerror}")


def _socket_path(home: Home) -> Path:
    inside = home.folder / "guardian.sock"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
        return inside
    return Path(tempfile.mkdtemp(prefix="lead-intel-")) / "guardian.sock"


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {line}\n")
        sys.stderr.flush()


def main() -> int:
    """`python -m lead_intel.local.guardian HOME`: started by the first lease, never by hand."""
    os.umask(0o077)
    adopt_orphans()
    home = Home.at(Path(sys.argv[1]))
    try:
        with home.locked(LOCK, 20):
            Guardian(home).run()
    except LeadIntelError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
