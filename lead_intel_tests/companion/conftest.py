"""The companion as it runs on a desktop: a process of its own, with a bucket and a channel and no database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from lead_intel.cli.main import app
from lead_intel.sandbox.client import Control
from lead_intel.sandbox.settings import environment
from lead_intel.settings import REPOSITORY

PATIENCE = 20.0


class Cloud:
    """Storage and Realtime, in a sandbox that a test may kill and start again at the same address."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "lead_intel.sandbox", "--home", str(self.home), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["url"]
        self.port = int(self.url.rpartition(":")[2])
        self.control = Control(self.url)
        self.settings = environment(self.url)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(timeout=10)

    def uploads(self) -> list[dict[str, Any]]:
        """Every request of a resumable upload, oldest first."""
        return [call for call in self.control.calls("supabase_storage") if call["operation"].startswith("tus_")]

    def bytes_announced(self) -> int:
        """How much clients wanted to send: more than the list's size is what was sent twice."""
        return sum(call["note"].get("announced") or 0 for call in self.uploads())

    def objects(self) -> dict[str, bytes]:
        """The bucket's objects and their bytes."""
        key = self.settings["SUPABASE_SERVICE_KEY"]
        with httpx.Client(
            base_url=f"{self.settings['SUPABASE_URL']}/storage/v1", headers={"Authorization": f"Bearer {key}"}
        ) as http:
            listed = http.post("/object/list-v2/lead-uploads", json={"limit": 1000}).json()["objects"]
            return {
                one["name"]: http.get(f"/object/authenticated/lead-uploads/{one['name']}").content for one in listed
            }

    def said(self) -> list[tuple[str, dict[str, Any]]]:
        """Every message that was said on the channel, with its event."""
        return [
            (message["event"], message["payload"])
            for call in self.control.calls("supabase_realtime")
            for message in call["note"].get("messages", ())
        ]

    def events(self) -> list[str]:
        return [event for event, _ in self.said()]


@dataclass
class Companion:
    """`lead-intel watch` on one folder, as a person runs it."""

    cloud: Cloud
    home: Path
    folder: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("LEAD_INTEL", "DATABASE"))}
        project = {name: value for name, value in self.cloud.settings.items() if name.startswith("SUPABASE_")}
        return {**plain, **project, "LEAD_INTEL_HOME": str(self.home), **self.more}

    def start(self, *options: str, settle: str = "0.3") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("lead-intel")),
                "watch",
                str(self.folder),
                "--settle",
                settle,
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
            cwd=REPOSITORY,
        )
        self.running.append(process)
        return process

    def once(self, *options: str, exit_code: int = 0) -> dict[str, Any]:
        """What `--once --json` answers; the command itself, without the start of a process."""
        without = {name: None for name in os.environ if name.startswith(("LEAD_INTEL", "DATABASE", "SUPABASE"))}
        words = ["watch", str(self.folder), "--settle", "0.2", "--once", "--json", *options]
        done = CliRunner().invoke(app, words, env={**without, **self.environment()})
        assert done.exit_code == exit_code, done.output
        return json.loads(done.stdout)

    def put(self, name: str, content: bytes) -> Path:
        """As a program puts a file there: under another name first."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        partial.write_bytes(content)
        return partial.rename(path)


def until(true: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)
    return value


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Wait until something is true."""
    return until


@pytest.fixture(scope="module")
def _shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.end()


@pytest.fixture
def cloud(_shared_cloud: Cloud) -> Cloud:
    _shared_cloud.control.reset()
    return _shared_cloud


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[Cloud]:
    """One that the test may kill."""
    cloud = Cloud(tmp_path / "cloud")
    yield cloud
    cloud.end()


@pytest.fixture
def companion_of(tmp_path: Path) -> Iterator[Callable[[Cloud], Companion]]:
    made: list[Companion] = []

    def make(cloud: Cloud) -> Companion:
        folder = tmp_path / "lists"
        folder.mkdir()
        made.append(Companion(cloud, tmp_path / "home", folder))
        return made[-1]

    yield make
    for companion in made:
        for process in companion.running:
            if process.poll() is None:
                process.kill()
            # Shown by pytest when the test failed.
            sys.stderr.write(process.communicate()[1] or "")


@pytest.fixture
def companion(cloud: Cloud, companion_of: Callable[[Cloud], Companion]) -> Companion:
    return companion_of(cloud)
