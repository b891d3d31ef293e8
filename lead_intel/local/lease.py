"""A command's side of the guardian: a lease on the programs of a home. Whoever dies loses the lease."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from lead_intel.errors import SetupError
from lead_intel.local.home import Home
from lead_intel.local.leftovers import STATE
from lead_intel.local.programs import MARK, Program, State

_ANSWER_SECONDS = 30.0


class GuardianGone(Exception):
    """The guardian ended while we spoke with it: take a new lease."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A program as its guardian sees it. `settled`: somebody found it ready before."""

    state: State
    pid: int
    port: int | None
    settled: bool
    exit: int | None


@dataclass
class Lease:
    """A connection to the guardian of a home. Not for several threads."""

    home: Home
    connection: socket.socket
    child: subprocess.Popen[bytes] | None = None
    _received: bytes = b""
    _events: list[dict[str, Any]] = field(default_factory=list)

    def start(self, program: Program) -> Seen:
        """Want `program`; it is started unless it runs already."""
        answer = self._ask({"do": "start", "program": asdict(program)})
        if "error" in answer:
            raise SetupError("program_missing", f"{answer['error']}.", "Reinstall lead-intel or the program.")
        return _seen(answer)

    def join(self, name: str) -> Seen | None:
        """Want the program if somebody has it running and ready; None when nobody has."""
        seen = _seen(self._ask({"do": "join", "name": name}))
        return seen if seen.settled and seen.state != "failed" else None

    def settle(self, name: str) -> None:
        """Say that the program is ready: from now on it is started again when it dies."""
        self._ask({"do": "settle", "name": name})

    def look(self, name: str) -> Seen:
        """How the program is."""
        return _seen(self._ask({"do": "look", "name": name}))

    def drop(self, name: str) -> None:
        """End a program that did not get ready."""
        self._ask({"do": "drop", "name": name})

    def pin(self) -> None:
        """Let the programs of this lease run on without it, until `down`."""
        self._ask({"do": "pin"})

    def release(self) -> None:
        """Give the lease back; returns when what only this lease wanted has ended."""
        with contextlib.suppress(GuardianGone):
            self._send({"do": "release"})
            while "released" not in self._read_line():
                pass
        self.connection.close()
        # A guardian that nobody else needs ends now, and is our child; a shared one goes on without us.
        if self.child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(0.5)

    def end_everything(self) -> None:
        """End the house for everybody; returns when all has ended."""
        with contextlib.suppress(GuardianGone):
            self._send({"do": "end"})
            while True:
                self._read_line()

    def events(self) -> Iterator[dict[str, Any]]:
        """What the guardian says unasked, until it has gone."""
        self.connection.settimeout(None)
        try:
            while True:
                while self._events:
                    yield self._events.pop(0)
                self._events.append(self._read_line())
        except GuardianGone:
            return
        finally:
            self.connection.settimeout(_ANSWER_SECONDS)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self._send(question)
        while True:
            answer = self._read_line()
            if "event" not in answer:
                return answer
            self._events.append(answer)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self.connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            raise GuardianGone from None

    def _read_line(self) -> dict[str, Any]:
        while b"\n" not in self._received:
            try:
                received = self.connection.recv(1 << 16)
            except TimeoutError:
                raise SetupError(
                    "guardian_silent",
                    f"The guardian of {self.home.folder} has not answered for {_ANSWER_SECONDS:.0f} s.",
                    "See logs/guardian.log in the home.",
                ) from None
            except OSError:
                raise GuardianGone from None
            if not received:
                raise GuardianGone
            self._received += received
        line, self._received = self._received.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message


def running_lease(home: Home) -> Lease | None:
    """A lease from the guardian that is up, None when there is none."""
    path = home.read(STATE).get("socket")
    if path is None:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_ANSWER_SECONDS)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    return Lease(home, connection)


def taken_lease(home: Home) -> Lease:
    """A lease from the guardian that is up, else from a new one. Call under the home's start lock.

    Raises:
        SetupError: the guardian cannot be started.
    """
    lease = running_lease(home)
    return lease if lease is not None else _first_lease(home)


def _first_lease(home: Home) -> Lease:
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    log = home.logs / "guardian.log"
    with log.open("ab") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "lead_intel.local.guardian", str(home.folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    with child.stdout or contextlib.nullcontext(None) as output:
        said = b"" if output is None else output.readline()
    if said.strip() != b"ready":
        child.wait(5)
        reason = said.decode(errors="replace").strip().rstrip(".") or "it said nothing"
        raise SetupError(
            "guardian_failed",
            f"The guardian of {home.folder} did not start: {reason}.",
            f"See {log}.",
        )
    lease = running_lease(home)
    if lease is None:
        raise SetupError("guardian_failed", f"The guardian of {home.folder} ended at once.", f"See {log}.")
    lease.child = child
    return lease


def _seen(answer: dict[str, Any]) -> Seen:
    return Seen(answer["state"], answer["pid"], answer["port"], answer["settled"], answer["exit"])
