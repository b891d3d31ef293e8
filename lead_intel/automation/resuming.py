"""Which paused uploads can go on by themselves: those whose guardrail has stopped failing meanwhile.

Credentials, budgets and approvals are a person's affair. Launches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg

from lead_intel.guardrails.evaluate import evaluate
from lead_intel.guardrails.gate import holds
from lead_intel.guardrails.inputs import gather
from lead_intel.policy import Policy
from lead_intel.record import ingestions
from lead_intel.settings import Settings

PAUSE_SECONDS = 300.0
"""No upload is looked at again sooner than this after it was paused."""

MOST_RUNS_A_DAY = 6
"""An upload that was run so often within a day is a person's affair: each run may pay a vendor for nothing."""

_GUARDRAIL_OF = {"lookup": 3, "dnc": 4, "guardrail:1": 1, "guardrail:4": 4, "guardrail:8": 8, "guardrail:10": 10}
"""Reasons that pass without a person: a vendor that was silent, a bucket that was away, a fresher list, an audience
still computing, a replica behind."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that is over: the job that was paused, and in which run, so that each pause is ended once."""

    upload: str
    job: str
    run_id: str

    @property
    def run_key(self) -> str:
        """The key of the run request."""
        return f"{self.upload}:after:{self.run_id}"


def resumable(
    connection: psycopg.Connection, instance: dg.DagsterInstance, settings: Settings, policy: Policy
) -> list[Pause]:
    """The uploads that have waited for `PAUSE_SECONDS` and whose guardrail holds now."""
    ready = []
    for row in ingestions.paused_for(connection, list(_GUARDRAIL_OF), PAUSE_SECONDS):
        run = instance.get_run_by_id(row.run_id) if row.run_id else None
        if (
            run is None
            or not run.is_finished
            or not row.state_reason
            or _runs_of_a_day(instance, row.upload) >= MOST_RUNS_A_DAY
        ):
            continue
        results = evaluate((_GUARDRAIL_OF[row.state_reason],), gather(settings, policy, connection, row.upload))
        if all(holds(result, policy, settings) for result in results):
            ready.append(Pause(row.upload, run.job_name, run.run_id))
    return ready


def _runs_of_a_day(instance: dg.DagsterInstance, upload: str) -> int:
    since = datetime.now(UTC) - timedelta(days=1)
    return instance.get_runs_count(dg.RunsFilter(tags={"dagster/partition": upload}, created_after=since))
