"""A program of the house and its life as a process: started, reaped, ended together with all it has started.

Descendants are known by a mark in their environment, which every child inherits: pids are reused, marks are not.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lead_intel.local.processes import die_with, marked, send, wait_until

MARK = "LEAD_INTEL_PROGRAM"
"""Environment variable of everything that a guardian started: `<house>/<program>/`."""

RESTARTS = 3
"""How often a program that dies is started again within RESTART_WINDOW seconds."""

RESTART_WINDOW = 60.0
_KILLED_BY_US_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. No secret in `command`: everybody can read it; `environment` is the owner's alone.

    `rank`: programs of a higher rank are ended later. `grace`: seconds between the polite signal and the kill.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    folder: str
    log: str
    port: int | None = None
    account: tuple[int, int] | None = None
    stop_signal: int = int(signal.SIGTERM)
    rank: int = 0
    grace: float = 3.0

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Program:
        """The program that a client asked for."""
        account = content.pop("account", None)
        return cls(**content, account=None if account is None else (account[0], account[1]))


State = Literal["starting", "running", "waiting", "ended", "failed"]


@dataclass
class Life:
    """A program's life under one guardian. `settled` once its client found it ready: from then on it is restarted."""

    program: Program
    mark: str
    state: State = "ended"
    process: subprocess.Popen[bytes] | None = None
    settled: bool = False
    exit_code: int | None = None
    restart_at: float = 0.0
    restarts: list[float] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """The pid of the process, 0 when there is none."""
        return self.process.pid if self.process is not None and self.state in ("starting", "running") else 0

    def start(self) -> None:
        """Start the process: own session, SIGINT restored, dies with the guardian."""
        program, parent = self.program, os.getpid()
        credentials: dict[str, Any] = {}
        if program.account is not None:
            credentials = {"user": program.account[0], "group": program.account[1], "extra_groups": []}

        def in_child() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            die_with(parent, signal.Signals(program.stop_signal))

        with Path(program.log).open("ab") as log:
            self.process = subprocess.Popen(
                program.command,
                cwd=program.folder,
                env={**program.environment, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=in_child,  # safe: the guardian has one thread
                **credentials,
            )
        self.state = "running" if self.settled else "starting"
        self.exit_code = None

    def reaped(self, code: int) -> None:
        """The kernel said that the process has ended with `code` (negative: the signal)."""
        if self.process is not None:
            self.process.returncode = code
        self.exit_code, self.state = code, "ended"

    def plan_restart(self, now: float) -> bool:
        """Plan to start again after an unexpected end; False when it has died too often."""
        self.restarts = [at for at in self.restarts if now - at < RESTART_WINDOW]
        if len(self.restarts) >= RESTARTS:
            self.state = "failed"
            return False
        self.restart_at = now + 0.2 * 2 ** len(self.restarts)
        self.restarts.append(now)
        self.state = "waiting"
        return True

    def restart(self) -> None:
        """Start again, after what the dead process left behind is gone."""
        end_marked([self.mark])
        self.start()

    def said_end(self) -> str:
        """How it ended, in words."""
        code = self.exit_code or 0
        return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"


def end_marked(marks: Collection[str]) -> None:
    """Kill whatever still carries one of `marks` (a PostgreSQL session ends by itself when its server is gone)."""
    if not marks or wait_until(lambda: not marked(MARK, marks), 0.3, step=0.1):
        return
    send(marked(MARK, marks), signal.SIGKILL)
    wait_until(lambda: not marked(MARK, marks), _KILLED_BY_US_SECONDS, step=0.1)
