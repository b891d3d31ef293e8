"""The DNC assets in Dagster: the registry's facts, verdicts with their counts, and no personal data in metadata."""

from typing import Any

import dagster as dg
import pandas as pd
import psycopg
import pytest

from lead_intel.build import build_definitions
from lead_intel.dnc.snapshots import ensure_snapshot
from lead_intel.partition import UPLOADS
from lead_intel.record import frames, ingestions
from lead_intel.settings import Settings
from lead_intel.uploads import State

UPLOAD = "upl_20261124_0123456789"


@pytest.fixture
def instance(database: psycopg.Connection, settings: Settings) -> Any:
    database.execute(
        "insert into lead_intel.lead_ingestions (upload, supplier, sha256) values (%s, 'acme', 'x')", (UPLOAD,)
    )
    phones = [1_212_555_0100 + number for number in range(40)]
    texts = ("email", "first_name", "last_name", "city", "state", "postal_code", "consent_url", "consent_ip")
    more = ("consent_purpose", "certificate_type", "certificate_url", "email_flags")
    leads = pd.DataFrame({"lead_id": [f"00000000-0000-0000-0000-{n:012d}" for n in range(40)], "phone": phones})
    leads = leads.assign(**dict.fromkeys(texts + more, ""), region="US", consent_source="web_form")
    leads = leads.assign(consent_at="2026-10-01", consent_text="yes", consent_seller="Acme", consent_channel="sms")
    leads = leads.assign(attributes="{}", file_no=1, line=range(1, 41), shared_phone=False)
    lookups = pd.DataFrame({"phone": phones, "outcome": "ok", "valid": True, "line_type": "mobile"})
    frames.write_frame(settings.frames_dir, "valid_leads", UPLOAD, leads)
    lookups = lookups.assign(carrier_name="Carrier", error_code=0)
    frames.write_frame(settings.frames_dir, "phone_lookups", UPLOAD, lookups)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(UPLOADS.name), [UPLOAD])
        yield instance


def materialized(
    instance: dg.DagsterInstance, asset: str, *, partition: str | None = UPLOAD
) -> dg.ExecuteInProcessResult:
    everything = build_definitions()
    part = dg.Definitions(
        assets=everything.assets,
        asset_checks=everything.asset_checks,
        resources=everything.resources,
        jobs=[dg.define_asset_job("part", selection=dg.AssetSelection.assets(asset))],
    )
    job = part.resolve_job_def("part")
    return job.execute_in_process(partition_key=partition, instance=instance, raise_on_error=False)


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def test_verdicts_are_counted_and_the_upload_is_screened(
    instance: dg.DagsterInstance, database: psycopg.Connection, settings: Settings
) -> None:
    result = materialized(instance, "dnc_verdicts")
    assert result.success
    metadata = metadata_of(result, "dnc_verdicts")
    assert metadata["send"] + metadata["hold"] + metadata["block"] == 40
    assert metadata["list_version"] != "none"
    row = ingestions.find(database, UPLOAD)
    assert (row.state, row.profile_screened) == (State.SCREENED, "strict")
    assert "2125550101" not in " ".join(str(event) for event in result.all_events)
    assert len(metadata["reasons"]) < 1000


def test_without_a_list_everybody_is_held_and_the_guardrail_says_so(
    instance: dg.DagsterInstance,
    database: psycopg.Connection,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEAD_INTEL_ENVIRONMENT", "production")
    assert not materialized(instance, "dnc_verdicts").success
    row = ingestions.find(database, UPLOAD)
    assert (row.state, row.state_reason) == (State.PAUSED, "guardrail:4")
    frame = frames.read_frame(settings.frames_dir, "dnc_verdicts", UPLOAD)
    assert set(frame["verdict"]) == {"hold"}


def test_the_registry_is_verified_and_a_damaged_one_is_found(
    instance: dg.DagsterInstance, database: psycopg.Connection, settings: Settings
) -> None:
    snapshot = ensure_snapshot(database, settings)
    assert snapshot is not None
    result = materialized(instance, "dnc_registry", partition=None)
    assert metadata_of(result, "dnc_registry")["area_codes"] == 375
    index = settings.lead_intel_home / snapshot.path
    content = bytearray(index.read_bytes())
    content[-100] ^= 1
    index.write_bytes(content)
    assert not materialized(instance, "dnc_registry", partition=None).success
