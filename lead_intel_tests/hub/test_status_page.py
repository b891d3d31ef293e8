"""The status page: what the record says, said honestly, and nothing that a list could smuggle in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import httpx
import psycopg
import pytest
import uvicorn

from lead_intel.hub.app import create_app
from lead_intel.record import guardrails, ingestions, upload_files
from lead_intel.record.upload_files import StoredObject
from lead_intel.settings import Settings
from lead_intel.uploads import State


@contextmanager
def _serving() -> Iterator[str]:
    """The hub's application on a free port; it reads its settings from the environment at each request."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(5)
    listening.close()


@pytest.fixture
def hub(settings: Settings) -> Iterator[str]:
    with _serving() as url:
        yield url


def _upload(connection: psycopg.Connection, supplier: str = "acme") -> str:
    stored = StoredObject("lead-uploads", f"{supplier}/list.csv", "v1", "list.csv", 10, f"sha-{supplier}")
    return upload_files.accept(connection, stored, supplier).upload


def test_an_empty_home_says_what_will_appear(hub: str) -> None:
    page = httpx.get(hub).text
    assert "No list yet" in page
    assert "Embedded sandbox" in page


def test_an_upload_shows_state_reason_balance_stage_and_sample(database: psycopg.Connection, hub: str) -> None:
    upload = _upload(database)
    ingestions.set_row_balance(database, upload, file=1234, accepted=1200, quarantined=30, duplicate=4)
    ingestions.set_sample_percent(database, upload, Decimal("12.50"))
    ingestions.hold_for_run(database, upload, "run", ended_holder=None, stale_seconds=0)
    ingestions.beat(database, upload, "run", "lookup", 100, 1200)
    ingestions.set_state(database, upload, State.SCREENING)
    page = httpx.get(hub).text
    assert upload in page
    assert "screening" in page
    assert "1,234" in page
    assert "100 of 1,200" in page
    assert "12.5 %" in page
    ingestions.set_state(
        database, upload, State.PAUSED, reason="credentials", message="Twilio refuses the key.", remedy="Set it."
    )
    page = httpx.get(hub).text
    assert "Twilio refuses the key." in page
    assert "Set it." in page
    assert "100 of 1,200" not in page


def test_names_from_outside_are_escaped(database: psycopg.Connection, hub: str) -> None:
    upload = _upload(database, "<script>alert(1)</script>")
    ingestions.set_state(database, upload, State.FAILED, message="<img src=x onerror=alert(1)>")
    page = httpx.get(hub).text
    assert "<script>alert" not in page
    assert "<img" not in page


def test_checks_show_their_own_states(database: psycopg.Connection, hub: str) -> None:
    for number, state in ((1, "passed"), (8, "unverifiable"), (10, "not_applicable"), (4, "failed")):
        guardrails.append(
            database,
            upload=None,
            number=number,
            state=state,
            seen=f"Seen {number}.",
            figures={},
            blocks="-",
            remedy="",
            rule_version="1",
        )
    page = httpx.get(hub).text
    for word, tone in (
        ("passed", "success"),
        ("unverifiable", "warning"),
        ("not applicable", "neutral"),
        ("failed", "danger"),
    ):
        assert f'<span class="badge" data-tone="{tone}">{word}</span>' in page
    assert "Seen 8." in page


def test_the_page_forbids_foreign_and_inline_script(hub: str) -> None:
    reply = httpx.get(hub)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert " style=" not in reply.text
    assert "http://" not in reply.text.replace("http://www.w3.org", "")
    assert len(reply.content) < 100_000


def test_a_database_that_is_down_is_said_in_a_sentence(
    database: psycopg.Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret-word@127.0.0.1:1/none")
    with _serving() as url:
        reply = httpx.get(url, timeout=20)
    assert reply.status_code == 503
    assert "PostgreSQL does not answer" in reply.text
    assert "secret-word" not in reply.text
