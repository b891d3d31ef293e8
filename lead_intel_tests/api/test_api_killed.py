"""kill -9 of the server under load, and of whoever stores: what was answered 202 is there once, and nothing else is."""

from __future__ import annotations

import csv
import io
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from lead_intel.automation.posted import close_posted
from lead_intel.automation.sweep import accept_new_objects
from lead_intel.policy import load_policy
from lead_intel.record import bucket, upload_files
from lead_intel.settings import Settings, load_settings

Lead = Callable[..., dict[str, Any]]

CLOSE = """
from lead_intel.automation.posted import close_posted
from lead_intel.policy import load_policy
from lead_intel.record import bucket
from lead_intel.record.database import connected
from lead_intel.settings import load_settings

settings = load_settings()
limits = load_policy(settings.lead_intel_policy_dir).ingestion
list(bucket.list_objects(settings))  # loads the client: the kills shall fall into the work
with connected(settings) as connection:
    print("storing", flush=True)
    close_posted(connection, settings, limits)
print("stored", flush=True)
"""


def stored_emails(settings: Settings, database: psycopg.Connection, folder: Path) -> Counter[str]:
    """E-mails of every list in the bucket, read as an outsider reads CSV; one object per upload."""
    found: Counter[str] = Counter()
    uploads = database.execute("select upload from lead_intel.lead_ingestions").fetchall()
    for (upload,) in uploads:
        (pinned,) = upload_files.files_of(database, upload)
        bucket.fetch_object(settings, pinned, folder / "fetched")
        text = (folder / "fetched").read_bytes().decode()
        found.update(row["email"] for row in csv.DictReader(io.StringIO(text, newline="")))
    assert len(list(bucket.list_objects(settings))) == len(uploads)
    return found


def post_through_kills(hub: Any, key: str, lead: Lead, *, writers: int, posts: int, kills: int, seed: int) -> list[str]:
    """Post until each request is answered 202, while the server is killed again and again; returns the e-mails."""
    url, chance, accepted, logs = hub.start(), random.Random(seed), [], []
    failures: list[str] = []

    def write(number: int) -> None:
        with httpx.Client(headers={"authorization": f"Bearer {key}"}, timeout=10) as client:
            for post in range(posts):
                rows = [lead(1, email=f"w{number}p{post}r{row}@example.com") for row in range(1 + post % 3)]
                for _ in range(400):
                    try:
                        reply = client.post(
                            f"{url}/v1/leads", json=rows, headers={"idempotency-key": f"{number}-{post}"}
                        )
                    except httpx.TransportError:
                        time.sleep(0.05)
                        continue
                    if reply.status_code == 202:
                        accepted.extend(row["email"] for row in rows)
                        break
                    if reply.status_code not in (409, 429, 503):
                        failures.append(reply.text)
                        return
                    time.sleep(0.05)
                time.sleep(0.01)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for _ in range(kills):
        time.sleep(chance.uniform(0.1, 0.6))
        logs.append(hub.kill())
        hub.start()
    for thread in threads:
        thread.join(120)
    logs.append(hub.kill())
    assert failures == []
    assert "example.com" not in "".join(logs)
    assert key not in "".join(logs)
    return accepted


def check_posts(
    database: psycopg.Connection, settings: Settings, folder: Path, accepted: list[str], expected: int
) -> None:
    assert len(accepted) == len(set(accepted)) == expected
    while True:
        database.execute("update lead_intel.api_uploads set closes_at = now() where closed_at is null")
        limits = load_policy(settings.lead_intel_policy_dir).ingestion
        if not close_posted(database, settings, limits):
            break
    assert accept_new_objects(database, settings, 100) == []
    assert stored_emails(settings, database, folder) == Counter(accepted)


def test_what_a_killed_server_answered_is_there_once(
    with_limits: Callable[..., None],
    hub_process: Any,
    new_key: Callable[..., str],
    make_lead: Lead,
    database: psycopg.Connection,
    tmp_path: Path,
) -> None:
    with_limits(close_rows=40, rows_per_request=40)
    accepted = post_through_kills(hub_process, new_key(), make_lead, writers=3, posts=30, kills=1, seed=1)
    check_posts(database, load_settings(), tmp_path, accepted, expected=3 * 60)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(4))
def test_what_a_server_killed_many_times_answered_is_there_once(
    with_limits: Callable[..., None],
    hub_process: Any,
    new_key: Callable[..., str],
    make_lead: Lead,
    database: psycopg.Connection,
    tmp_path: Path,
    seed: int,
) -> None:
    with_limits(close_rows=100, rows_per_request=100, requests_per_second=2000)
    accepted = post_through_kills(hub_process, new_key(), make_lead, writers=8, posts=100, kills=8, seed=seed)
    check_posts(database, load_settings(), tmp_path, accepted, expected=8 * 199)


def store_through_kills(seed: int) -> int:
    chance, kills = random.Random(seed), 0
    while True:
        child = subprocess.Popen([sys.executable, "-c", CLOSE], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "storing\n"
        try:
            # Later each time, so that it comes to an end on a busy machine too.
            child.wait(chance.uniform(0, 0.1 * (kills + 1)))
        except subprocess.TimeoutExpired:
            child.kill()
        child.wait(10)
        ended = child.stdout.read() == "stored\n"
        child.stdout.close()
        if ended:
            return kills
        kills += 1
        assert kills < 40


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(4))
def test_storing_that_is_killed_at_any_point_loses_and_doubles_nothing(
    acme: Any,
    make_lead: Lead,
    new_key: Callable[..., str],
    database: psycopg.Connection,
    settings: Settings,
    sandbox: Any,
    tmp_path: Path,
    seed: int,
) -> None:
    emails = []
    for supplier in ("acme", "globex", "initech"):
        acme.key = new_key(supplier)
        for post in range(3):
            rows = [make_lead(1, email=f"{supplier}{post}r{row}@example.com") for row in range(20)]
            emails += [row["email"] for row in rows]
            assert acme.post(rows).status_code == 202
    database.execute("update lead_intel.api_uploads set closes_at = now()")
    sandbox.fault("supabase_storage", "slow", seconds=0.06)

    kills = store_through_kills(seed)

    assert kills >= 1
    sandbox.clear()
    assert accept_new_objects(database, settings, 100) == []
    assert stored_emails(settings, database, tmp_path) == Counter(emails)
    assert database.execute("select count(*) from lead_intel.lead_ingestions").fetchone() == (3,)
