"""A sandbox that a test may kill, and the control of the shared one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lead_intel.sandbox.client import Control
from lead_intel.sandbox.settings import SEGMENT_PROFILE_TOKEN, environment


def everything(url: str) -> dict[str, str]:
    """The product's settings, and those of the Profile API, of which the product asks nothing."""
    profile = {"SEGMENT_PROFILE_URL": f"{url}/segment-profiles", "SEGMENT_PROFILE_TOKEN": SEGMENT_PROFILE_TOKEN}
    return environment(url) | profile


class OwnSandbox:
    """A sandbox process on its own home, to be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "lead_intel.sandbox", "--home", str(self.home)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = json.loads(self.process.stdout.readline())["url"]
        self.control = Control(self.url)
        self.settings = everything(self.url)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=10)
        finally:
            self.process.stdout.close()


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[OwnSandbox]:
    own = OwnSandbox(tmp_path / "own")
    yield own
    own.end()


@pytest.fixture
def control(sandbox: Any) -> Control:
    return Control(sandbox.url)


@pytest.fixture
def vendor(sandbox: Any) -> dict[str, str]:
    """The settings that point at the shared sandbox."""
    return everything(sandbox.url)


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10) as client:
        yield client
