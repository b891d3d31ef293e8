"""Shared surroundings of the tests: one PostgreSQL and one sandbox for the session, fresh contents per test.

Both end with pytest, however it ends.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import psycopg
import pytest
import yaml

from lead_intel.local.binaries import SOURCES
from lead_intel.local.environment import loopback
from lead_intel.local.home import Home
from lead_intel.local.postgres import Cluster, recorded_cluster
from lead_intel.local.supervisor import local_house
from lead_intel.policy import Policy, load_policy
from lead_intel.record.database import migrate
from lead_intel.sandbox.settings import environment as sandbox_settings
from lead_intel.settings import REPOSITORY, Settings, load_settings

IDENTITY_KEY = "test-identity-key-0123456789abcdef"
_SETTINGS = {name.upper() for name in Settings.model_fields}
_FOLDER = "lead-intel-tests-"
_MEMORY = Path("/dev/shm")
_ENOUGH_MEMORY = 4 * 2**30
_AUTOVACUUM_SECONDS = 30.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres-from",
        choices=[*SOURCES, "any"],
        default="any",
        help="where the tests' PostgreSQL comes from: the system, or the wheel",
    )
    parser.addoption("--backlog", type=int, default=100, help="how many uploads the test of scale_out works off")


@pytest.fixture(scope="session")
def plain_environment() -> dict[str, str]:
    """This process's environment without any setting of ours."""
    return {name: value for name, value in os.environ.items() if name not in _SETTINGS}


@pytest.fixture(scope="session")
def session_home() -> Iterator[Home]:
    _remove_left_by_killed_sessions()
    with reachable_folder() as folder:
        yield Home.at(folder)


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A place for homes that the database's account can reach, in memory where there is enough of it."""
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=_place_for_homes()))
    # As root the server's account has to pass through.
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _place_for_homes() -> Path:
    in_memory = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH_MEMORY
    return _MEMORY if in_memory else Path(tempfile.gettempdir())


def _remove_left_by_killed_sessions() -> None:
    for left in _place_for_homes().glob(f"{_FOLDER}*"):
        pid = left.name.removeprefix(_FOLDER).split("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


@pytest.fixture(scope="session")
def new_folder() -> Callable[[], AbstractContextManager[Path]]:
    """`reachable_folder`, for tests that make homes of their own."""
    return reachable_folder


@pytest.fixture(scope="session")
def cluster(session_home: Home, plain_environment: dict[str, str], pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """The session's PostgreSQL, without the sandbox."""
    wanted = pytestconfig.getoption("--postgres-from")
    brought = dict.fromkeys(sandbox_settings("http://unused"), "unused")
    with local_house(
        session_home.folder,
        sources=SOURCES if wanted == "any" else (wanted,),
        environ={**plain_environment, **brought},
    ):
        cluster = recorded_cluster(session_home)
        with psycopg.connect(cluster.superuser_url, autocommit=True) as connection:
            # Nobody keeps what the tests write.
            connection.execute("alter system set fsync = off")
            connection.execute("select pg_reload_conf()")
        yield cluster


@pytest.fixture(scope="session")
def _template(cluster: Cluster) -> str:
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as connection:
        connection.execute("create database lead_intel_template")
    with psycopg.connect(cluster.url_of("lead_intel_template"), autocommit=True) as connection:
        migrate(connection)
    return "lead_intel_template"


@pytest.fixture
def database(
    cluster: Cluster, _template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[psycopg.Connection]:
    """A connection (autocommit) to a fresh, migrated database, which DATABASE_URL names."""
    name = f"test_{tmp_path.parent.name[-8:]}_{time.monotonic_ns()}".replace("-", "_")
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as maintenance:
        maintenance.execute(f'create database "{name}" template {_template} strategy wal_log')
        monkeypatch.setenv("DATABASE_URL", cluster.url_of(name))
        monkeypatch.setenv("LEAD_INTEL_HOME", str(tmp_path))
        monkeypatch.setenv("LEAD_INTEL_ENVIRONMENT", "embedded")
        monkeypatch.setenv("LEAD_INTEL_IDENTITY_KEY", IDENTITY_KEY)
        with psycopg.connect(cluster.url_of(name), autocommit=True) as connection:
            yield connection
        _drop(maintenance, name)


def _drop(maintenance: psycopg.Connection, name: str) -> None:
    """Only the superuser may end an autovacuum worker, and one that is at work there ends by itself."""
    deadline = time.monotonic() + _AUTOVACUUM_SECONDS
    while True:
        try:
            maintenance.execute(f'drop database "{name}" with (force)')
        except psycopg.errors.InsufficientPrivilege:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


@dataclass(frozen=True)
class Sandbox:
    """The running sandbox, as a test sees it: from outside, over HTTP."""

    url: str

    def ledger(self) -> dict[str, Any]:
        """What it received, per service."""
        return self._get("/control/ledger")

    def calls(self, service: str) -> list[dict[str, Any]]:
        """The calls that `service` received, oldest first."""
        answer = self._get(f"/control/ledger/{service}")
        return answer if isinstance(answer, list) else answer["calls"]

    def fault(self, service: str, kind: str, **options: Any) -> None:
        """Switch the fault `kind` of `service` on."""
        self._post("/control/fault", {"service": service, "kind": kind, **options})

    def clear(self) -> None:
        """Switch all faults and trips off."""
        self._post("/control/clear", {})

    def reset(self) -> None:
        """Forget everything."""
        self._post("/control/reset", {})

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")


@pytest.fixture(scope="session")
def _running_sandbox(session_home: Home, cluster: Cluster, plain_environment: dict[str, str]) -> Iterator[Sandbox]:
    with local_house(session_home.folder, environ={**plain_environment, "DATABASE_URL": cluster.url}) as house:
        yield Sandbox(loopback(house.ports["sandbox"]))


@pytest.fixture
def sandbox(_running_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, emptied for this test; every vendor setting points to it."""
    _running_sandbox.reset()
    for name, value in sandbox_settings(_running_sandbox.url).items():
        monkeypatch.setenv(name, value)
    return _running_sandbox


@pytest.fixture
def settings(database: psycopg.Connection, sandbox: Sandbox) -> Settings:
    """Settings as the product reads them."""
    return load_settings()


@pytest.fixture
def policy() -> Policy:
    """The policy of the repository."""
    return load_policy(REPOSITORY / "data" / "policy")


@pytest.fixture(scope="session")
def channel_problems() -> Callable[[dict[str, Any]], list[str]]:
    """What is wrong with one websocket frame of the channel by docs/channel.asyncapi.yml; empty when nothing is."""
    document = yaml.safe_load((REPOSITORY / "docs" / "channel.asyncapi.yml").read_text())
    validators = {
        name: jsonschema.Draft7Validator(
            {**message["payload"], "components": document["components"]},
            format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER,
        )
        for name, message in document["components"]["messages"].items()
    }

    def problems(frame: dict[str, Any]) -> list[str]:
        name = frame["payload"]["event"] if frame["event"] == "broadcast" else frame["event"]
        if name not in validators:
            return [f"no such message: {name}"]
        return [f"{name}: {error.json_path} {error.message}" for error in validators[name].iter_errors(frame)]

    return problems
