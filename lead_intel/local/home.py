"""The home: the folder that holds all local state of one embedded house, its locks, ports and secrets.

Files with secrets are readable by their owner only. Nothing here starts or stops anything.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lead_intel.errors import SetupError

_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Home:
    """One home. Two homes on one machine share nothing."""

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> Home:
        """The home in `folder`, made when it is missing.

        Raises:
            SetupError: the folder cannot be made or written.
        """
        home = cls(folder.expanduser().resolve())
        try:
            # As root the database's account must be able to pass through; it can list nothing.
            home.folder.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
            for private in (home.logs, home.dagster, home.sandbox, home.frames):
                private.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise SetupError(
                "home_unusable",
                f"{home.folder} cannot be used: {error.strerror}.",
                "Set LEAD_INTEL_HOME to a folder that you can write.",
            ) from None
        return home

    @property
    def logs(self) -> Path:
        """One log file per program."""
        return self.folder / "logs"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME of the embedded default."""
        return self.folder / "dagster"

    @property
    def sandbox(self) -> Path:
        """The sandbox's durable memory."""
        return self.folder / "sandbox"

    @property
    def frames(self) -> Path:
        """Frames between stages; holds personal data."""
        return self.folder / "frames"

    def read(self, name: str) -> dict[str, Any]:
        """The JSON object in the home's file `name`; empty when there is none or it is damaged."""
        try:
            content = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write the file `name` whole, readable by its owner only."""
        write_private(self.folder / name, json.dumps(content, indent=1, sort_keys=True) + "\n")

    @contextmanager
    def locked(self, name: str, seconds: float) -> Iterator[None]:
        """Hold the home's lock `name`; the kernel gives it back when the holder dies.

        Raises:
            SetupError: somebody else holds it for longer than `seconds`.
        """
        with (self.folder / name).open("a") as handle:
            os.fchmod(handle.fileno(), _PRIVATE)
            deadline = time.monotonic() + seconds
            while not _taken(handle.fileno()):
                if time.monotonic() > deadline:
                    raise SetupError(
                        "home_busy",
                        f"Another command has been starting or stopping {self.folder} for {seconds:.0f} s.",
                        "Wait for it, or stop it.",
                    )
                time.sleep(0.02)
            yield

    def identity_key(self) -> str:
        """The key of the sample order and of suppression digests: made once, then always the same."""
        path = self.folder / "identity.key"
        if not path.exists():
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
            except FileExistsError:
                return self.identity_key()
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32))
        return path.read_text(encoding="ascii").strip()

    def port(self, program: str, *, first_choice: int | None = None) -> int:
        """The loopback port of `program`: the recorded one while it is free, else another, recorded."""
        recorded = self.recorded_port(program)
        if recorded is not None and is_free(recorded):
            return recorded
        if recorded is None and first_choice is not None and is_free(first_choice):
            return self._recorded(program, first_choice)
        return self.another_port(program)

    def another_port(self, program: str) -> int:
        """A free loopback port for `program`, recorded."""
        return self._recorded(program, free_port(set(self.read("ports.json").values())))

    def _recorded(self, program: str, port: int) -> int:
        self.write("ports.json", {**self.read("ports.json"), program: port})
        return port

    def recorded_port(self, program: str) -> int | None:
        """The port that `program` had the last time, free or not."""
        recorded = self.read("ports.json").get(program)
        return recorded if isinstance(recorded, int) else None


def write_private(path: Path, text: str) -> None:
    """Write `path` whole or not at all, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def is_free(port: int) -> bool:
    """True when nothing listens on the loopback `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port(taken: set[int]) -> int:
    """A loopback port that nobody uses and that is not among `taken`."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
