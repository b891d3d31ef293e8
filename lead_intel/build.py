"""Assembles the code location: collects the rooms' assets, checks, jobs, sensors. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

import lead_intel.activation.assets as activation
import lead_intel.dnc.assets as dnc
import lead_intel.enrichment.assets as enrichment
import lead_intel.intake.assets as intake
import lead_intel.lookup.assets as lookup
from lead_intel.automation import jobs, schedules, sensors
from lead_intel.automation.frame_io import FrameIO
from lead_intel.guardrails import checks, preflight_job
from lead_intel.surroundings import Surroundings

ROOMS = (intake, lookup, dnc, enrichment, activation)


def build_definitions(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The definitions; `resources` replaces the defaults by key, for tests and other surroundings."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules(ROOMS),
        asset_checks=checks.ALL,
        jobs=[*jobs.ALL, preflight_job.preflight],
        sensors=sensors.ALL,
        schedules=schedules.ALL,
        resources={"surroundings": Surroundings(), "io_manager": FrameIO(), **(resources or {})},
        executor=dg.in_process_executor,
    )
