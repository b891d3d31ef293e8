"""Houses for the tests of this folder: in this process, and in one of their own that can be killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from lead_intel.local.home import Home
from lead_intel.local.leftovers import STATE
from lead_intel.local.supervisor import House, local_house
from lead_intel.sandbox.settings import environment as sandbox_settings

_COMMAND = """
import json, os, sys
from pathlib import Path
from lead_intel.local.supervisor import local_house
from lead_intel.sandbox.settings import environment

environ = dict(os.environ)
if sys.argv[2] == "database":
    environ |= dict.fromkeys(environment("http://unused"), "unused")
with local_house(Path(sys.argv[1]), environ=environ) as house:
    print(json.dumps({"environment": house.environment, "ports": house.ports}), flush=True)
    sys.stdin.read()
"""


NewFolder = Callable[[], AbstractContextManager[Path]]


@pytest.fixture
def folder(new_folder: NewFolder) -> Iterator[Path]:
    """A place for new homes."""
    with new_folder() as place:
        yield place


@pytest.fixture(scope="module")
def home(new_folder: NewFolder) -> Iterator[Path]:
    """A home that the tests of a module use one after the other: each leaves it with nothing running."""
    with new_folder() as place:
        yield place


@pytest.fixture
def database_only(plain_environment: dict[str, str]) -> dict[str, str]:
    """The environment of a person who brings every vendor but no database."""
    return plain_environment | dict.fromkeys(sandbox_settings("http://unused"), "unused")


DatabaseHouse = Callable[..., AbstractContextManager[House]]


@pytest.fixture
def database_house(database_only: dict[str, str]) -> DatabaseHouse:
    """Opens a house that consists of PostgreSQL alone."""
    return partial(local_house, environ=database_only)


@dataclass
class Command:
    """A command at work in a process of its own, with its house open until `end` or a kill."""

    process: subprocess.Popen[str]
    home: Home
    environment: dict[str, str]
    ports: dict[str, int]
    state: dict[str, Any] = field(default_factory=dict)

    def processes(self) -> list[psutil.Process]:
        """Everything that its guardian runs, the guardian first."""
        guardian = psutil.Process(self.home.read(STATE)["pid"])
        return [guardian, *guardian.children(recursive=True)]

    def end(self) -> None:
        """Let the command end in order."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        assert self.process.wait(20) == 0

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)


OpenCommand = Callable[..., Command]


@pytest.fixture
def open_command(plain_environment: dict[str, str]) -> Iterator[OpenCommand]:
    """Starts a command that opens a house: `what` is `database` or `everything`."""
    opened: list[Command] = []

    def start(home: Path, what: str = "database", prefix: tuple[str, ...] = ()) -> Command:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-c", _COMMAND, str(home), what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=plain_environment,
        )
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, "the command did not open its house"
        command = Command(process, Home(home.resolve()), **json.loads(said))
        opened.append(command)
        return command

    yield start
    for command in opened:
        command.process.send_signal(signal.SIGKILL)
        command.process.wait(10)
        for pipe in (command.process.stdin, command.process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
