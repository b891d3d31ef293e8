"""A list that is given again: the same upload, and its bytes lie in the bucket again if they were gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from supabase import create_client

from lead_intel.automation.desk import Desk
from lead_intel.automation.receiving import receive
from lead_intel.policy import Policy
from lead_intel.record import bucket, upload_files
from lead_intel.settings import Settings

LIST = "phone,email,consent_source\n2125550123,a@example.com,web_form\n"


@pytest.fixture
def desk(database: psycopg.Connection, settings: Settings, policy: Policy) -> Iterator[Desk]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Desk(settings, policy, database, instance, dg.Definitions, lambda sentence: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "leads.csv"
    path.write_text(LIST)
    return path


@pytest.fixture
def objects(settings: Settings):  # type: ignore[no-untyped-def]  # the client's own type
    client = create_client(settings.supabase_url, settings.supabase_service_key.get_secret_value())
    return client.storage.from_(settings.lead_intel_bucket)


def content(desk: Desk, upload: str, folder: Path) -> str:
    (pinned,) = upload_files.files_of(desk.connection, upload)
    bucket.fetch_object(desk.settings, pinned, folder / "fetched")
    return (folder / "fetched").read_text()


def test_known_bytes_that_are_still_there_are_left_alone(desk: Desk, file: Path) -> None:
    first = receive(desk, file, "acme", None)
    before = upload_files.files_of(desk.connection, first.upload)

    again = receive(desk, file, "acme", None)

    assert (again.upload, again.created) == (first.upload, False)
    assert upload_files.files_of(desk.connection, first.upload) == before


def test_a_list_that_is_gone_from_the_bucket_is_put_there_again(
    desk: Desk,
    file: Path,
    tmp_path: Path,
    objects,  # type: ignore[no-untyped-def]
) -> None:
    upload = receive(desk, file, "acme", None).upload
    (before,) = upload_files.files_of(desk.connection, upload)
    objects.remove([before.object_path])

    assert receive(desk, file, "acme", None).upload == upload

    (after,) = upload_files.files_of(desk.connection, upload)
    assert after.object_version != before.object_version
    assert content(desk, upload, tmp_path) == LIST
    assert upload_files.object_seen(desk.connection, after.bucket, after.object_path, after.object_version)


def test_a_list_that_was_overwritten_is_put_beside_the_other(
    desk: Desk,
    file: Path,
    tmp_path: Path,
    objects,  # type: ignore[no-untyped-def]
) -> None:
    upload = receive(desk, file, "acme", None).upload
    objects.upload("acme/leads.csv", b"other bytes", {"content-type": "text/csv", "upsert": "true"})

    assert receive(desk, file, "acme", None).upload == upload

    assert content(desk, upload, tmp_path) == LIST
    assert objects.download("acme/leads.csv") == b"other bytes"


def test_a_large_list_goes_in_parts_over_a_line_that_breaks(desk: Desk, file: Path, tmp_path: Path, sandbox) -> None:  # type: ignore[no-untyped-def]
    file.write_text(LIST * 110_000)
    sandbox.fault("supabase_storage", "cut", bytes=1_000_000, count=1, match="tus_append")

    received = receive(desk, file, "acme", None)

    assert received.created
    assert content(desk, received.upload, tmp_path) == LIST * 110_000
    appended = [
        call["note"]["offset"] for call in sandbox.calls("supabase_storage") if call["operation"] == "tus_append"
    ]
    assert appended[:2] == [0, 1_000_000]
