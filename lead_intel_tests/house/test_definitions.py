"""The code location as Dagster sees it: complete, explained, partitioned, checked."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest

from lead_intel.build import build_definitions
from lead_intel.settings import REPOSITORY

UNPARTITIONED = {"dnc_registry", "segment_audiences"}
LINEAGE = {
    "raw_upload": set(),
    "valid_leads": {"raw_upload"},
    "quarantined_rows": {"raw_upload"},
    "phone_lookups": {"valid_leads"},
    "carrier_breakout": {"phone_lookups"},
    "dnc_verdicts": {"valid_leads", "phone_lookups"},
    "lead_sample": {"valid_leads", "phone_lookups", "dnc_verdicts"},
    "enrichment/people_data_labs": {"lead_sample"},
    "enrichment/zerobounce": {"lead_sample"},
    "enrichment/never_bounce": {"lead_sample"},
    "enrichment/trestle": {"lead_sample"},
    "enriched_leads": {
        "enrichment/people_data_labs",
        "enrichment/zerobounce",
        "enrichment/never_bounce",
        "enrichment/trestle",
    },
    "persona_members": {"enriched_leads"},
    "activation_plan": {"persona_members"},
    "activation_receipts": {"activation_plan"},
    "audience_exits": set(),
    "dnc_registry": set(),
    "segment_audiences": set(),
}


@pytest.fixture(scope="module")
def graph() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in build_definitions().resolve_all_asset_specs()}


def test_a_fresh_interpreter_loads_the_code_location_without_any_setting() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "from lead_intel.definitions import defs"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
        cwd=REPOSITORY,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_every_stage_is_an_asset_and_nothing_else_is(graph: dict[str, dg.AssetSpec]) -> None:
    assert set(graph) == set(LINEAGE)


@pytest.mark.parametrize("asset", sorted(LINEAGE))
def test_lineage_follows_the_way_of_a_lead(graph: dict[str, dg.AssetSpec], asset: str) -> None:
    upstream = {dep.asset_key.to_user_string() for dep in graph[asset].deps}
    assert upstream >= LINEAGE[asset]


@pytest.mark.parametrize("asset", sorted(LINEAGE))
def test_each_asset_is_explained_and_partitioned_by_upload(graph: dict[str, dg.AssetSpec], asset: str) -> None:
    spec = graph[asset]
    assert spec.description
    assert spec.kinds
    assert spec.group_name in {"validation", "lookup", "dnc", "enrichment", "activation"}
    assert (spec.partitions_def is None) == (asset in UNPARTITIONED)


def test_every_check_is_partition_aware() -> None:
    # A check without partitions loads the frames of every upload (dagster issue 27747).
    checks = [spec for checks in build_definitions().asset_checks or [] for spec in checks.check_specs]
    assert len(checks) == 10
    assert [spec.name for spec in checks if spec.partitions_def is None] == []


def test_sensors_and_schedules_are_on() -> None:
    definitions = build_definitions()
    repository = definitions.get_repository_def()
    assert {s.name for s in repository.sensor_defs} == {
        "lists_in_bucket",
        "posted_leads",
        "paused_uploads",
        "interrupted_uploads",
        "failed_uploads",
    }
    assert [s.name for s in repository.sensor_defs if s.default_status != dg.DefaultSensorStatus.RUNNING] == []
    assert [s.default_status for s in repository.schedule_defs] == [dg.DefaultScheduleStatus.RUNNING]
