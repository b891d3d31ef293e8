"""One house for the tests of this folder: the real command line on a home of its own, started once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lead_intel.settings import REPOSITORY, Settings

_OURS = {name.upper() for name in Settings.model_fields}


@dataclass
class House:
    """Runs `lead-intel` as a person would."""

    home: Path

    def __post_init__(self) -> None:
        self.environment = {name: value for name, value in os.environ.items() if name.upper() not in _OURS}
        self.environment["LEAD_INTEL_HOME"] = str(self.home)

    def command(self, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("lead-intel")), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
            cwd=REPOSITORY,
            check=False,
        )

    def answer(self, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
        """The one JSON object that the command prints."""
        done = self.command(*arguments, "--json")
        assert done.returncode == exit_code, done.stderr[-2000:] + done.stdout[-2000:]
        return json.loads(done.stdout)

    def ledger(self) -> dict[str, dict[str, int]]:
        return self.answer("sandbox", "ledger")

    def paid(self) -> dict[str, int]:
        return {service: counts["paid_calls"] for service, counts in self.ledger().items()}


@pytest.fixture(scope="session")
def house_at() -> type[House]:
    """A house on a home of the test's own, with nothing started yet."""
    return House


@pytest.fixture(scope="module")
def house(new_folder: Callable[[], AbstractContextManager[Path]]) -> Iterator[House]:
    """PostgreSQL, the sandbox and the hub, up for all tests of a module."""
    with new_folder() as home:
        house = House(home)
        started = house.command("up", "--without-dagster", "--detach")
        assert started.returncode == 0, started.stderr
        yield house
        house.command("down")
