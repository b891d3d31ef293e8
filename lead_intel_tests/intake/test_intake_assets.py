"""Intake's assets in Dagster: a list in the bucket becomes frames, rows and a balance; a bad one a rejected upload."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import psycopg
import pytest

from lead_intel.automation.frame_io import FrameIO
from lead_intel.intake import assets
from lead_intel.partition import UPLOADS
from lead_intel.record import bucket, ingestions, upload_files
from lead_intel.record.frames import has_frame, read_frame
from lead_intel.settings import Settings
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import State

LISTS = Path(__file__).resolve().parent.parent / "data" / "lists"
CANARY = "canary.person@example.com"


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def received(database: psycopg.Connection, settings: Settings, instance: dg.DagsterInstance) -> Callable[[Path], str]:
    """Puts a file into the bucket and makes an upload of it, as the CLI does."""

    def receive(path: Path) -> str:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        upload = upload_files.accept(database, bucket.put_list(settings, path, "acme", digest), "acme").upload
        instance.add_dynamic_partitions(str(UPLOADS.name), [upload])
        return upload

    return receive


def materialize(instance: dg.DagsterInstance, upload: str) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [assets.raw_upload, assets.validated],
        instance=instance,
        partition_key=upload,
        resources={"surroundings": Surroundings(), "io_manager": FrameIO()},
        raise_on_error=False,
    )


@pytest.mark.parametrize("name", ["us500_leads.csv", "us500_leads.xlsx"])
def test_a_list_in_the_bucket_becomes_leads_and_a_balance(
    database: psycopg.Connection,
    settings: Settings,
    instance: dg.DagsterInstance,
    received: Callable[[Path], str],
    name: str,
) -> None:
    upload = received(LISTS / name)

    assert materialize(instance, upload).success

    row = ingestions.find(database, upload)
    assert (row.rows_file, row.rows_accepted, row.rows_quarantined, row.rows_duplicate) == (500, 454, 46, 0)
    assert row.mapping is not None
    assert row.mapping["phone"] == "phone"
    # The stages ran by themselves, not as the job that moves the upload on: it is where it was.
    assert row.state == State.RECEIVED
    frame = read_frame(settings.frames_dir, "valid_leads", upload)
    kept = database.execute(
        "select lead_id::text from lead_intel.upload_leads where upload = %s and not duplicate order by file_no, line",
        (upload,),
    ).fetchall()
    assert [lead_id for (lead_id,) in kept] == frame["lead_id"].tolist()
    assert len(read_frame(settings.frames_dir, "quarantined_rows", upload)) == 46
    (file,) = database.execute("select format, encoding, sheet from lead_intel.upload_files").fetchall()
    assert file == (("xlsx", None, "Leads") if name.endswith("xlsx") else ("csv", "utf-8", None))
    assert not list((settings.lead_intel_home / "tmp").iterdir())


def test_a_stage_run_again_changes_nothing(
    database: psycopg.Connection, settings: Settings, instance: dg.DagsterInstance, received: Callable[[Path], str]
) -> None:
    upload = received(LISTS / "us500_leads.csv")
    materialize(instance, upload)
    tables = (
        "leads",
        "upload_leads",
        "quarantined_rows",
        # When it was seen last may move.
        "(select supplier, header_fingerprint, mapping, confirmed_by, updated_at, headers from column_mappings) m",
    )

    def state() -> list[Any]:
        database.execute("set search_path to lead_intel")
        return [database.execute(f"select * from {table} order by 1, 2, 3").fetchall() for table in tables]

    before, frame = state(), read_frame(settings.frames_dir, "valid_leads", upload)

    assert materialize(instance, upload).success

    assert state() == before
    pd.testing.assert_frame_equal(read_frame(settings.frames_dir, "valid_leads", upload), frame)


def test_a_list_without_a_column_is_stored_as_read_and_then_rejected(
    database: psycopg.Connection,
    settings: Settings,
    instance: dg.DagsterInstance,
    received: Callable[[Path], str],
    tmp_path: Path,
) -> None:
    path = tmp_path / "no_consent.csv"
    path.write_text(f"phone,email\n2125550101,{CANARY}\n")
    upload = received(path)

    assert not materialize(instance, upload).success

    assert has_frame(settings.frames_dir, "raw_upload", upload)
    assert not has_frame(settings.frames_dir, "valid_leads", upload)
    row = ingestions.find(database, upload)
    assert (row.state, row.state_reason) == (State.REJECTED, "column_missing")
    assert "consent_source" in str(row.state_message)
    assert row.state_remedy


def test_a_file_that_is_no_list_rejects_the_upload(
    database: psycopg.Connection, instance: dg.DagsterInstance, received: Callable[[Path], str], tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"%PDF-1.7 not a list")

    upload = received(path)

    assert not materialize(instance, upload).success
    assert ingestions.find(database, upload).state_reason == "format_pdf"


def test_nothing_personal_reaches_dagster(
    instance: dg.DagsterInstance, received: Callable[[Path], str], tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        f"phone,email,consent_source\n212-555-0177,{CANARY},web_form\n212-555-0177,{CANARY},{CANARY}\n{CANARY}\n"
    )
    upload = received(path)

    result = materialize(instance, upload)

    assert result.success
    told = " ".join(repr(event) for event in result.all_events)
    assert "balance" in told
    assert CANARY not in told
    assert "5550177" not in told
    assert "555-0177" not in told
