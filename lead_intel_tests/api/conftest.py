"""The hub with its ingestion API, as a supplier's program sees it: over HTTP, with a key."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
import yaml

from lead_intel.hub.app import create_app
from lead_intel.record import api_keys
from lead_intel.settings import REPOSITORY, Settings


@dataclass
class Supplier:
    """A program that posts leads under one key."""

    url: str
    key: str
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))

    def headers(self, **more: str) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        return {"authorization": f"Bearer {self.key}", "content-type": "application/json", **named}

    def post(self, rows: Any, **headers: str) -> httpx.Response:
        content = rows if isinstance(rows, (bytes, str)) else json.dumps(rows)
        return self.client.post(f"{self.url}/v1/leads", content=content, headers=self.headers(**headers))

    def get(self, path: str) -> httpx.Response:
        return self.client.get(self.url + path, headers=self.headers())


def lead(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "phone": f"212555{number:04d}",
        "email": f"person{number}@example.com",
        "consent_source": "web_form",
        **fields,
    }


@pytest.fixture
def with_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Chooses limits of ingestion.yml, before the server starts."""

    def choose(**limits: Any) -> None:
        folder = tmp_path / "policy"
        if not folder.exists():
            shutil.copytree(REPOSITORY / "data" / "policy", folder)
        path = folder / "ingestion.yml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | limits))
        monkeypatch.setenv("LEAD_INTEL_POLICY_DIR", str(folder))

    return choose


@contextmanager
def serving() -> Iterator[str]:
    """The hub's application on a free port; it reads its settings from the environment at the first request."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(), log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listening.close()


@pytest.fixture
def server(settings: Settings) -> Callable[[], AbstractContextManager[str]]:
    """Starts the hub in this process."""
    return serving


@pytest.fixture
def new_key(database: psycopg.Connection) -> Callable[..., str]:
    def create(supplier: str = "acme", days: float = 1) -> str:
        return api_keys.create(database, supplier, "test", days, "tester")[1]

    return create


@pytest.fixture
def acme(server: Callable[[], AbstractContextManager[str]], new_key: Callable[..., str]) -> Iterator[Supplier]:
    with server() as url:
        yield Supplier(url, new_key())


@dataclass
class HubProcess:
    """The hub as it is started for real; can be killed and started again on its port."""

    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def start(self) -> str:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lead_intel.hub", "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read().decode()
        url: str = json.loads(line)["url"]
        self.port = int(url.rsplit(":", 1)[1])
        return url

    def kill(self) -> str:
        """kill -9; returns what it wrote to stderr."""
        assert self.process is not None
        self.process.kill()
        return self.process.communicate(timeout=10)[1].decode()


@pytest.fixture
def hub_process(settings: Settings) -> Iterator[HubProcess]:
    hub = HubProcess()
    yield hub
    if hub.process is not None and hub.process.poll() is None:
        hub.kill()


@pytest.fixture
def make_lead() -> Callable[..., dict[str, Any]]:
    return lead
