"""The Dagster face: blocking, partition-aware checks on real assets, and what a failure makes of the upload."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import dagster as dg
import pandas as pd
import psycopg
import pytest

from lead_intel.automation.frame_io import FrameIO
from lead_intel.guardrails import checks
from lead_intel.guardrails.evaluate import GUARDRAILS
from lead_intel.guardrails.preflight_job import PreflightConfig, preflight
from lead_intel.partition import UPLOADS
from lead_intel.record import dnc, ingestions, upload_files
from lead_intel.record import guardrails as history
from lead_intel.record.ingestions import Ingestion
from lead_intel.record.upload_files import StoredObject
from lead_intel.settings import Settings
from lead_intel.surroundings import Surroundings


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def upload(database: psycopg.Connection, settings: Settings, instance: dg.DagsterInstance) -> str:
    stored = StoredObject("lead-uploads", "acme/list.csv", "v1", "list.csv", 10, "sha")
    upload = upload_files.accept(database, stored, "acme").upload
    instance.add_dynamic_partitions(str(UPLOADS.name), [upload])
    return upload


def _chain(first: str, frame: pd.DataFrame) -> list[dg.AssetsDefinition]:
    """An asset named as a real one, and one downstream of it that must not run when a check blocks."""

    @dg.asset(name=first, partitions_def=UPLOADS)
    def guarded() -> pd.DataFrame:
        return frame

    @dg.asset(name="downstream", deps=[first], partitions_def=UPLOADS)
    def downstream() -> pd.DataFrame:
        return pd.DataFrame({"ran": [1]})

    return [guarded, downstream]


class Run:
    """One in-process run of a guarded asset, its checks and what lies downstream."""

    def __init__(
        self, instance: dg.DagsterInstance, asset: str, upload: str, frame: pd.DataFrame | None = None
    ) -> None:
        table = pd.DataFrame({"line": [1]}) if frame is None else frame
        (guard,) = [guard for guard in checks.ALL if guard.node_def.name == f"{asset}_guardrails"]
        result = dg.materialize(
            [*_chain(asset, table), guard],
            instance=instance,
            partition_key=upload,
            resources={"surroundings": Surroundings(), "io_manager": FrameIO()},
            raise_on_error=False,
        )
        self.success = result.success
        self.checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
        self.went_on = any(
            event.asset_key == dg.AssetKey("downstream") for event in result.get_asset_materialization_events()
        )


def _row(connection: psycopg.Connection, upload: str) -> Ingestion:
    return ingestions.find(connection, upload)


GOOD = pd.DataFrame({"file_no": [1], "line": [1], "phone": ["x"], "email": ["x"], "consent_source": ["x"]})
BAD = pd.DataFrame({"file_no": [1], "line": [1], "phone": ["x"], "mail": ["x"], "email_address": ["x"]})


def test_every_guardrail_is_checked_once_blocking_and_per_upload() -> None:
    specs = [spec for guard in checks.ALL for spec in guard.check_specs]
    assert sorted(spec.name for spec in specs) == sorted(guardrail.name for guardrail in GUARDRAILS.values())
    for spec in specs:
        assert spec.partitions_def == UPLOADS
        assert spec.blocking is (spec.name != "enrichment_sla")
        assert spec.description


def test_a_list_in_order_goes_on(database: psycopg.Connection, instance: dg.DagsterInstance, upload: str) -> None:
    run = Run(instance, "raw_upload", upload, GOOD)
    assert run.success
    assert run.went_on
    assert {name: check.passed for name, check in run.checks.items()} == {"bucket": True, "schema": True}
    assert {check.partition for check in run.checks.values()} == {upload}
    assert [row.number for row in history.latest(database, upload)] == [1, 2]


def test_a_list_without_its_columns_is_rejected_with_one_sentence(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str, sandbox: Any
) -> None:
    run = Run(instance, "raw_upload", upload, BAD)
    assert not run.success
    assert not run.went_on
    assert not run.checks["schema"].passed
    row = _row(database, upload)
    assert (row.state, row.state_reason) == ("rejected", "column_ambiguous")
    assert "mail, email_address" in (row.state_message or "")
    assert row.state_remedy
    assert all(counts["paid_calls"] == 0 for counts in sandbox.ledger().values())


def test_a_public_bucket_parks_the_upload_and_clears_by_itself(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str, sandbox: Any
) -> None:
    sandbox.fault("supabase_storage", "bucket_public")
    run = Run(instance, "raw_upload", upload, GOOD)
    assert not run.went_on
    check = run.checks["bucket"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert check.description == "Failed: The bucket 'lead-uploads' is public: anyone could read the lists."
    remedy = check.metadata["remedy"].value
    assert "Make it private" in str(remedy)
    assert "Blocks" in str(remedy)
    row = _row(database, upload)
    assert (row.state, row.state_reason) == ("paused", "guardrail:1")
    sandbox.clear()
    assert Run(instance, "raw_upload", upload, GOOD).went_on


def test_a_refused_credential_parks_the_upload_as_such(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str, sandbox: Any
) -> None:
    sandbox.fault("twilio_lookup", "unauthorized")
    run = Run(instance, "phone_lookups", upload)
    assert not run.went_on
    assert run.checks["lookup_credentials"].metadata["twilio_code"].value == 20003
    assert (_row(database, upload).state, _row(database, upload).state_reason) == ("paused", "credentials")


def test_another_upload_goes_on_meanwhile(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    stored = StoredObject("lead-uploads", "other/list.csv", "v1", "list.csv", 10, "other")
    other = upload_files.accept(database, stored, "other").upload
    instance.add_dynamic_partitions(str(UPLOADS.name), [other])
    assert not Run(instance, "raw_upload", upload, BAD).went_on
    assert Run(instance, "raw_upload", other, GOOD).went_on
    assert _row(database, other).state == "received"


def test_a_state_that_is_neither_is_a_warning_and_never_passed(instance: dg.DagsterInstance, upload: str) -> None:
    run = Run(instance, "enriched_leads", upload)
    assert run.success
    check = run.checks["enrichment_sla"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description == "Not applicable: No enrichment call was made yet."
    assert check.metadata["state"].value == "not_applicable"


def test_without_a_list_the_verdicts_are_not_handed_on(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str
) -> None:
    assert not Run(instance, "dnc_verdicts", upload).went_on
    assert _row(database, upload).state_reason == "guardrail:4"
    dnc.add_snapshot(
        database,
        digest="d",
        source="test",
        jurisdiction="US",
        version_date=dnc.today(database),
        numbers=1,
        area_codes=[212],
        path="dnc/d",
    )
    run = Run(instance, "dnc_verdicts", upload)
    assert run.went_on
    assert run.checks["dnc_freshness"].metadata["list_age_days"].value == 0


def test_a_dry_run_is_warned_but_not_stopped(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str, sandbox: Any
) -> None:
    sandbox.fault("segment_public", "source_disabled")
    run = Run(instance, "activation_plan", upload)
    assert run.success
    check = run.checks["write_key"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert _row(database, upload).state == "received"


def test_marked_ready_the_same_stops_before_anything_is_pushed(
    database: psycopg.Connection, instance: dg.DagsterInstance, upload: str, sandbox: Any
) -> None:
    ingestions.set_activation_ready(database, upload, ready=True)
    ingestions.set_sample_percent(database, upload, Decimal(0))
    run = Run(instance, "activation_plan", upload)
    assert not run.went_on
    assert run.checks["write_key"].passed
    assert (_row(database, upload).state, _row(database, upload).state_reason) == ("paused", "guardrail:9")
    ingestions.set_sample_percent(database, upload, Decimal(5))
    sandbox.fault("segment_public", "write_keys_hidden")
    run = Run(instance, "activation_plan", upload)
    assert not run.went_on
    assert run.checks["write_key"].description.startswith("Unverifiable: ")
    assert _row(database, upload).state_reason == "guardrail:7"
    assert sandbox.ledger()["segment_tracking"]["calls"] == 0


def test_the_preflight_job_shows_the_ten_and_fails_on_one(
    database: psycopg.Connection, settings: Settings, upload: str, instance: dg.DagsterInstance
) -> None:
    config = dg.RunConfig(ops={"ten_guardrails": PreflightConfig(upload=upload)})
    result = preflight.execute_in_process(
        run_config=config,
        instance=instance,
        resources={"surroundings": Surroundings()},
        raise_on_error=False,
    )
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "guardrail 4 (dnc_freshness)" in str(failure.step_failure_data.user_failure_data)
    assert len(history.latest(database, upload)) == 10
