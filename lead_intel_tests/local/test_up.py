"""A day's work: `lead-intel up` with everything, and how it ends. Real Dagster, real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from lead_intel.local.home import Home
from lead_intel.local.leftovers import STATE
from lead_intel.local.processes import wait_until
from lead_intel.settings import REPOSITORY

pytestmark = pytest.mark.slow

SECONDS_TO_VANISH = 6.0
_LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } }
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }
"""
_CANARY = "canary-0f9d2c"


@dataclass
class Up:
    """`lead-intel up` at work."""

    process: subprocess.Popen[str]
    home: Path
    said: str

    def address(self, name: str) -> str:
        """The address that it printed for `name`."""
        found = re.search(rf"^{name}: +(\S+)$", self.said, flags=re.MULTILINE)
        assert found, self.said
        return found.group(1)

    def everything(self) -> list[psutil.Process]:
        """Its guardian and all that runs below."""
        guardian = psutil.Process(Home(self.home).read(STATE)["pid"])
        return [guardian, *guardian.children(recursive=True)]

    def dagster(self) -> dict:
        """What Dagster says through the gateway."""
        request = urllib.request.Request(
            f"{self.address('Dagster')}/graphql",
            json.dumps({"query": _LOCATIONS}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)["data"]


def _started(home: Path, environment: dict[str, str], *options: str) -> Up:
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("lead-intel")), "up", *options],
        env=environment | {"LEAD_INTEL_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if line.startswith("Settings"):
            return Up(process, home, said)
    process.wait()
    pytest.fail(f"up did not start: {process.stderr.read()[-3000:]}")


@pytest.fixture
def start_up(home: Path, plain_environment: dict[str, str]) -> Iterator:
    started: list[Up] = []

    def start(*options: str, **settings: str) -> Up:
        started.append(_started(home, plain_environment | settings, *options))
        return started[-1]

    yield start
    for up in started:
        up.process.kill()
        up.process.communicate()
    wait_until(lambda: not (home / STATE).exists(), 15)


def _gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_everything_answers_and_no_secret_stands_on_a_command_line(start_up):
    up = start_up(TRESTLE_API_KEY=f"{_CANARY}-vendor")
    with urllib.request.urlopen(up.address("Hub"), timeout=20) as page:
        assert page.status == 200
    with urllib.request.urlopen(f"{up.address('Dagster')}/", timeout=20) as page:
        assert b"Dagster" in page.read()
    dagster = up.dagster()
    assert dagster["workspaceOrError"]["locationEntries"] == [
        {"name": "lead_intel", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
    ]
    beating = {s["daemonType"] for s in dagster["instance"]["daemonHealth"]["allDaemonStatuses"] if s["healthy"]}
    assert {"SENSOR", "SCHEDULER", "QUEUED_RUN_COORDINATOR"} <= beating

    secrets = [_CANARY, *json.loads((up.home / "postgres.json").read_text()).values()]
    secrets = [secret for secret in secrets if not secret.startswith("/")]
    secrets.append((up.home / "identity.key").read_text())
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert any("dagster api grpc" in line for line in lines)
    assert not [line for line in lines for secret in secrets if secret in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_up_ends_with_all_that_it_started(start_up, number):
    up = start_up()
    everything = up.everything()
    assert len(everything) >= 6
    os.kill(up.process.pid, number)
    if number != signal.SIGKILL:
        up.process.communicate(timeout=SECONDS_TO_VANISH + 4)
        assert up.process.returncode == 0
    assert wait_until(lambda: all(_gone(process) for process in everything), SECONDS_TO_VANISH, step=0.05), [
        process for process in everything if not _gone(process)
    ]


def test_up_that_was_killed_starts_again_at_the_same_addresses(start_up):
    first = start_up()
    first.process.kill()
    second = start_up()
    assert second.said == first.said


def test_dagster_dev_works_beside_up_without_dagster(start_up, plain_environment):
    before = sorted(path.name for path in REPOSITORY.iterdir())
    up = start_up("--without-dagster")
    script = 'eval "$("$1" env)" && exec "$2" dev -w workspace.yaml -h 127.0.0.1 -p "$3"'
    programs = [str(Path(sys.executable).with_name(name)) for name in ("lead-intel", "dagster")]
    port = str(Home(up.home).another_port("dagster-dev"))
    dev = subprocess.Popen(
        ["bash", "-c", script, "bash", *programs, port],
        env=plain_environment | {"LEAD_INTEL_HOME": str(up.home)},
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        up.said += f"Dagster:    http://127.0.0.1:{port}\n"
        deadline = time.monotonic() + 90
        while True:
            try:
                entries = up.dagster()["workspaceOrError"]["locationEntries"]
                break
            except OSError:
                assert dev.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.5)
        assert [(entry["name"], entry["locationOrLoadError"]["__typename"]) for entry in entries] == [
            ("lead_intel", "RepositoryLocation")
        ]
    finally:
        children = psutil.Process(dev.pid).children(recursive=True)
        dev.terminate()
        dev.wait(30)
        for child in children:
            if child.is_running():
                child.kill()
    assert sorted(path.name for path in REPOSITORY.iterdir()) == before
