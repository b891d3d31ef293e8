"""Lists in the bucket become uploads: each object version once, whoever puts it there and whoever sees it first."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from supabase import create_client

from lead_intel.automation.sweep import accept_new_objects, supplier_of
from lead_intel.errors import SetupError, TransientError
from lead_intel.record import bucket, ingestions
from lead_intel.settings import Settings

LIST = b"phone,email,consent_source\n2125550123,a@example.com,web_form\n"


def put(settings: Settings, path: str, content: bytes = LIST, *, upsert: bool = False) -> None:
    client = create_client(settings.supabase_url, settings.supabase_service_key.get_secret_value())
    options: Any = {"content-type": "text/csv", "upsert": "true" if upsert else "false"}
    client.storage.from_(settings.lead_intel_bucket).upload(path, content, options)


def sweep(database: psycopg.Connection, settings: Settings) -> list[str]:
    return accept_new_objects(database, settings, at_most=20)


def test_an_object_put_by_the_official_client_becomes_an_upload(
    database: psycopg.Connection, settings: Settings
) -> None:
    put(settings, "acme/leads.csv")

    (upload,) = sweep(database, settings)

    row = ingestions.find(database, upload)
    assert (row.supplier, row.state, row.sha256) == ("acme", "received", hashlib.sha256(LIST).hexdigest())


def test_an_object_put_by_plain_http_becomes_an_upload(database: psycopg.Connection, settings: Settings) -> None:
    key = settings.supabase_service_key.get_secret_value()
    httpx.post(
        f"{settings.supabase_url}/storage/v1/object/{settings.lead_intel_bucket}/acme/curl.csv",
        content=LIST,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "text/csv"},
    ).raise_for_status()

    assert len(sweep(database, settings)) == 1


def test_a_second_sweep_finds_nothing_new(database: psycopg.Connection, settings: Settings) -> None:
    put(settings, "acme/leads.csv")
    sweep(database, settings)

    assert sweep(database, settings) == []


def test_the_same_bytes_under_another_name_are_the_same_upload(
    database: psycopg.Connection, settings: Settings
) -> None:
    put(settings, "acme/leads.csv")
    put(settings, "acme/again.csv")

    assert len(sweep(database, settings)) == 1
    assert sweep(database, settings) == []


def test_other_bytes_under_the_same_name_are_another_upload(database: psycopg.Connection, settings: Settings) -> None:
    put(settings, "acme/leads.csv")
    first = sweep(database, settings)
    put(settings, "acme/leads.csv", LIST + b"2125550124,b@example.com,web_form\n", upsert=True)

    second = sweep(database, settings)

    assert len(second) == 1
    assert second != first


def test_a_missing_bucket_is_said_and_is_not_an_empty_one(
    database: psycopg.Connection, settings: Settings, sandbox: Any
) -> None:
    client = create_client(settings.supabase_url, settings.supabase_service_key.get_secret_value())
    client.storage.delete_bucket(settings.lead_intel_bucket)

    with pytest.raises(SetupError, match="does not exist"):
        sweep(database, settings)


def test_a_storage_that_is_down_is_transient(database: psycopg.Connection, settings: Settings, sandbox: Any) -> None:
    sandbox.fault("supabase_storage", "server_error")

    with pytest.raises(TransientError):
        sweep(database, settings)


def test_our_own_upload_never_overwrites_another_list_of_that_name(
    database: psycopg.Connection, settings: Settings, tmp_path: Path
) -> None:
    put(settings, "acme/leads.csv", b"other")
    file = tmp_path / "leads.csv"
    file.write_bytes(LIST)

    stored = bucket.put_list(settings, file, "acme", hashlib.sha256(LIST).hexdigest())

    assert stored.object_path != "acme/leads.csv"
    assert bucket.read_stored(settings, "acme/leads.csv").bytes == len(b"other")


def test_a_name_that_storage_refuses_is_kept_as_data(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "Kontakte für 客户 #1.csv"
    file.write_bytes(LIST)

    stored = bucket.put_list(settings, file, "acme", hashlib.sha256(LIST).hexdigest())

    assert stored.file_name == "Kontakte für 客户 #1.csv"
    assert stored.object_path.isascii()


@pytest.mark.parametrize(
    ("path", "supplier"),
    [("acme/x.csv", "acme"), ("x.csv", "unsorted"), ("a b;c/x.csv", "a-b-c"), ("acme/2026/x.csv", "acme")],
)
def test_the_supplier_is_the_first_folder(path: str, supplier: str) -> None:
    assert supplier_of(path) == supplier
