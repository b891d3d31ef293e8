"""`lead-intel keys`: a key is printed once, listed without its text, and revoked for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lead_intel.record import api_keys
from lead_intel.settings import REPOSITORY, Settings


def lead_intel(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("lead-intel")), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ,
        cwd=REPOSITORY,
        check=False,
    )


def answer(*arguments: str) -> Any:
    done = lead_intel(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_key_is_printed_once_listed_and_revoked(settings: Settings, database: psycopg.Connection) -> None:
    made = answer("keys", "create", "--supplier", "acme", "--name", "crm export", "--days", "30")
    owner = api_keys.owner_of(database, made["key"])
    assert owner is not None
    assert (owner.supplier, owner.name, owner.valid) == ("acme", "crm export", True)

    listed = lead_intel("keys", "list", "--json").stdout
    assert made["key"].split("_", 2)[2] not in listed
    (shown,) = json.loads(listed)["keys"]
    assert (shown["key_id"], shown["state"]) == (made["key_id"], "valid")

    assert answer("keys", "revoke", made["key_id"])["state"] == "revoked"
    owner = api_keys.owner_of(database, made["key"])
    assert owner is not None
    assert not owner.valid
    assert lead_intel("keys", "revoke", "0123456789").returncode == 2


def test_an_impossible_supplier_is_a_usage_error(settings: Settings) -> None:
    refused = lead_intel("keys", "create", "--supplier", "a/b")
    assert (refused.returncode, refused.stdout) == (2, "")


def test_what_is_no_key_belongs_to_nobody(database: psycopg.Connection) -> None:
    for text in ("", "li_", "li_0123456789_short", "li_0123456789_" + "A" * 43, "'; drop table x"):
        assert api_keys.owner_of(database, text) is None
    _, text = api_keys.create(database, "acme", "", 1, "tester")
    assert api_keys.owner_of(database, text) is not None
    assert api_keys.owner_of(database, text[:-1] + ("A" if text[-1] != "A" else "B")) is None
