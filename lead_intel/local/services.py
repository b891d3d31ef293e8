"""The programs of the house: what each is called with, and how one knows that it is ready."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lead_intel.errors import SetupError
from lead_intel.local.binaries import SOURCES, Source
from lead_intel.local.environment import SANDBOX, loopback
from lead_intel.local.home import Home
from lead_intel.local.lease import Seen
from lead_intel.local.postgres import POSTGRES, Server, prepared_server
from lead_intel.local.programs import Program
from lead_intel.settings import REPOSITORY

GATEWAY = "gateway"
WEBSERVER = "dagster-webserver"
DAEMON = "dagster-daemon"
DAGSTER_PREFIX = "/dagster"
LOCATION = "lead_intel"

_ENDED_LAST = 9
_FIRST_CHOICE = {GATEWAY: 8321}
_NEEDED_DAEMONS = ("SENSOR", "SCHEDULER", "QUEUED_RUN_COORDINATOR")
_HEALTH = """
{ instance { daemonHealth { allDaemonStatuses { daemonType healthy lastHeartbeatTime } } }
  workspaceOrError { ... on Workspace { locationEntries { name
    locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""


@dataclass(frozen=True, slots=True)
class Service:
    """One program of the house: made anew for each start, and asked every `every` seconds whether it is ready."""

    name: str
    program: Callable[[], Program]
    is_ready: Callable[[Seen], bool]
    seconds: float = 30.0
    every: float = 0.03


def postgres_service(home: Home, sources: tuple[Source, ...] = SOURCES) -> Service:
    """PostgreSQL; ended last, and fast (SIGINT), by which every transaction that was answered is kept."""
    prepared: list[Server] = []

    def program() -> Program:
        server = prepared_server(home, sources=sources)
        prepared[:] = [server]
        account = server.account
        return Program(
            name=POSTGRES,
            command=server.command,
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            folder="/",
            log=str(home.logs / "postgres.log"),
            port=server.cluster.port,
            account=None if account is None else (account.uid, account.gid),
            stop_signal=int(signal.SIGINT),
            rank=_ENDED_LAST,
            grace=8.0,
        )

    # Recovery after a crash takes as long as it takes.
    return Service(POSTGRES, program, lambda seen: prepared[0].is_ready(seen.pid), seconds=300)


def sandbox_service(home: Home, environ: Mapping[str, str]) -> Service:
    """The stand-ins of everything outside."""

    def program() -> Program:
        port = home.port(SANDBOX)
        return Program(
            name=SANDBOX,
            command=[sys.executable, "-m", "lead_intel.sandbox", "--home", str(home.sandbox), "--port", str(port)],
            environment=dict(environ),
            folder=str(home.folder),
            log=str(home.logs / "sandbox.log"),
            port=port,
            rank=1,
            grace=2.0,
        )

    return Service(SANDBOX, program, lambda seen: _answers(f"{loopback(seen.port or 0)}/control/health"))


def gateway_service(home: Home, environ: Mapping[str, str], dagster_url: Callable[[], str | None]) -> Service:
    """The one web application; Dagster's web UI at `dagster_url` is shown under its /dagster."""

    def program() -> Program:
        address = dagster_url()
        shown = [] if address is None else ["--dagster-url", address]
        port = home.port(GATEWAY, first_choice=_FIRST_CHOICE[GATEWAY])
        return Program(
            name=GATEWAY,
            command=[sys.executable, "-m", "lead_intel.hub", "--port", str(port), *shown],
            environment=dict(environ),
            folder=str(home.folder),
            log=str(home.logs / "gateway.log"),
            port=port,
        )

    return Service(GATEWAY, program, lambda seen: _answers(f"{loopback(seen.port or 0)}/healthz"), seconds=60)


def webserver_service(home: Home, environ: Mapping[str, str]) -> Service:
    """Dagster's web UI on its own loopback port (it has no authentication: never on another interface)."""

    def program() -> Program:
        port = home.port(WEBSERVER)
        return Program(
            name=WEBSERVER,
            command=[
                *_script(WEBSERVER), "-h", "127.0.0.1", "-p", str(port), "--path-prefix", DAGSTER_PREFIX,
                "-w", str(REPOSITORY / "workspace.yaml"),
            ],
            environment=dict(environ),
            folder=str(home.dagster),
            log=str(home.logs / "dagster-webserver.log"),
            port=port,
        )  # fmt: skip

    def is_ready(seen: Seen) -> bool:
        return _answers(f"{loopback(seen.port or 0)}{DAGSTER_PREFIX}/server_info")

    return Service(WEBSERVER, program, is_ready, seconds=120, every=0.2)


def daemon_service(home: Home, environ: Mapping[str, str], started: float) -> Service:
    """Dagster's sensors, schedules and run queue; ready when each has given a sign of life since `started`."""

    def program() -> Program:
        return Program(
            name=DAEMON,
            command=[*_script(DAEMON), "run", "-w", str(REPOSITORY / "workspace.yaml")],
            environment=dict(environ),
            folder=str(home.dagster),
            log=str(home.logs / "dagster-daemon.log"),
        )

    def is_ready(_: Seen) -> bool:
        return _daemons_work(home.recorded_port(WEBSERVER) or 0, started)

    return Service(DAEMON, program, is_ready, seconds=120, every=0.2)


def prepare_dagster_home(home: Home) -> None:
    """Put the repository's dagster.yaml into the embedded DAGSTER_HOME; its values come from the environment."""
    source = REPOSITORY / "dagster.yaml"
    try:
        text = source.read_text(encoding="utf-8")
    except OSError:
        raise SetupError("dagster_yaml", f"{source} is missing.", "Work in a complete checkout.") from None
    target = home.dagster / "dagster.yaml"
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        partial = target.with_suffix(".new")
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)


def _daemons_work(webserver_port: int, started: float) -> bool:
    answer = _graphql(webserver_port)
    if answer is None:
        return False
    for entry in answer["workspaceOrError"].get("locationEntries", []):
        problem = entry.get("locationOrLoadError") or {}
        if problem.get("__typename") == "PythonError":
            first = str(problem["message"]).strip().splitlines()[0]
            raise SetupError(
                "definitions_broken",
                f"Dagster cannot load {entry['name']}: {first.rstrip('.')}.",
                "`dagster definitions validate -w workspace.yaml` shows the whole story.",
            )
    beats = {
        status["daemonType"]: float(status["lastHeartbeatTime"] or 0)
        for status in answer["instance"]["daemonHealth"]["allDaemonStatuses"]
    }
    return all(beats.get(name, 0.0) >= started for name in _NEEDED_DAEMONS)


def _graphql(port: int) -> dict[str, Any] | None:
    request = urllib.request.Request(  # noqa: S310  # loopback, http
        f"{loopback(port)}{DAGSTER_PREFIX}/graphql",
        json.dumps({"query": _HEALTH}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with _DIRECT.open(request, timeout=10) as answer:
            data: dict[str, Any] | None = json.load(answer).get("data")
    except (OSError, ValueError):
        return None
    return data


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _script(name: str) -> list[str]:
    """The console script `name` of this Python's environment."""
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if (folder / name).exists():
            return [str(folder / name)]
    found = shutil.which(name)
    if found is None:
        raise SetupError("program_missing", f"{name} is not installed.", "Run `pip install -e .` again.")
    return [found]


# A proxy from the environment must not be asked for loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
