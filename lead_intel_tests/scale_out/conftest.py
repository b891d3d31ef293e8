"""A small cluster on one machine: Redis, Dagster's daemon, Celery workers, each in a session of its own.

What is missing is a failure that says how to install it: these tests are asked for by name only.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import pytest

from lead_intel.local.processes import die_with
from lead_intel.settings import REPOSITORY, Settings

SCALE_OUT = REPOSITORY / "deploy" / "scale-out"
SLOTS = 2
_READY_SECONDS = 90.0
_END_SECONDS = 10.0


@dataclass
class Program:
    """A started program, its log, and all that it starts: they end together."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def says(self, pattern: str) -> int:
        """How often its log says `pattern`."""
        return len(re.findall(pattern, self.log.read_text(errors="replace")))

    def wait_for(self, pattern: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self.says(pattern):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """`kill -9`, with its children, as when the machine loses its power."""
        family = [self.process, *psutil.Process(self.process.pid).children(recursive=True)]
        for member in family:
            member.send_signal(signal.SIGSTOP)
        for member in family:
            member.kill()
        self.process.wait()

    def end(self) -> None:
        if self.process.poll() is not None:
            return
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for member in family:
            if member.is_running():
                member.kill()


@dataclass
class Cluster:
    """Starts the programs; every one has the test's environment, as on machines of one installation."""

    folder: Path
    programs: list[Program] = field(default_factory=list)

    def worker(self, name: str) -> Program:
        worker = self.start(
            name,
            [
                *_script("celery"), "--workdir", str(SCALE_OUT), "-A", "lead_intel_worker", "worker",
                "--hostname", f"{name}@%h", "--concurrency", str(SLOTS), "--queues", "dagster", "--loglevel", "INFO",
            ],
        )  # fmt: skip
        worker.wait_for(r"ready\.")
        return worker

    def daemon(self) -> Program:
        return self.start("daemon", [*_script("dagster-daemon"), "run", "-w", str(REPOSITORY / "workspace.yaml")])

    def start(self, name: str, command: list[str]) -> Program:
        parent, log = os.getpid(), self.folder / f"{name}.log"

        def in_child() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            die_with(parent, signal.SIGTERM)

        with log.open("ab") as output:
            process = subprocess.Popen(
                command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=in_child,
            )  # fmt: skip
        program = Program(name, process, log)
        self.programs.append(program)
        return program


@pytest.fixture(scope="session")
def what_it_needs() -> None:
    if importlib.util.find_spec("dagster_celery") is None or importlib.util.find_spec("redis") is None:
        pytest.fail("dagster-celery and Redis' client are not installed: pip install -e '.[scale-out]'")
    if shutil.which("redis-server") is None:
        pytest.fail("redis-server is not installed: apt-get install redis-server")


@pytest.fixture
def start_cluster(
    what_it_needs: None,
    settings: Settings,
    database: psycopg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], Cluster]]:
    """Redis is up; the rest is started by the test, once it has set what they shall find in the environment."""
    port = _free_port()
    dagster_home = tmp_path / "dagster"
    dagster_home.mkdir()
    shutil.copy(SCALE_OUT / "dagster.yaml", dagster_home)
    for name, value in {
        "DAGSTER_PG_URL": settings.dagster_storage_url,
        "DAGSTER_HOME": str(dagster_home),
        "LEAD_INTEL_DAGSTER_DIR": str(dagster_home),
        "LEAD_INTEL_BROKER_URL": f"redis://127.0.0.1:{port}/0",
        "LEAD_INTEL_RUNS_AT_ONCE": str(2 * SLOTS),
    }.items():
        monkeypatch.setenv(name, value)
    cluster = Cluster(tmp_path)

    def start() -> Cluster:
        cluster.start(
            "redis",
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        ).wait_for("Ready to accept connections")
        return cluster

    yield start
    for program in reversed(cluster.programs):
        program.end()


def _script(name: str) -> list[str]:
    return [str(Path(sys.executable).with_name(name))]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
