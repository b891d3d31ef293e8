"""How often an accepted upload is launched whose runs end before any stage begins: three times, a minute apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
import psycopg

from lead_intel.record import ingestions

MOST_ATTEMPTS = 3
PAUSE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One launch of an upload. Dagster launches each run key once, so the key carries the number."""

    upload: str
    number: int

    @property
    def run_key(self) -> str:
        """The key of the run request."""
        return f"{self.upload}:{self.number}"


def attempts_due(
    connection: psycopg.Connection, instance: dg.DagsterInstance, uploads: Sequence[str], now: datetime
) -> list[Attempt]:
    """The next attempt of each of `uploads` that waits for one; an upload without any left is failed, with a reason."""
    due = []
    for upload in uploads:
        runs = instance.get_run_records(dg.RunsFilter(tags={"upload": upload}), limit=MOST_ATTEMPTS)
        if any(not run.dagster_run.is_finished for run in runs):
            continue
        if runs and now - max(run.create_timestamp for run in runs) < PAUSE:
            continue
        if len(runs) < MOST_ATTEMPTS:
            due.append(Attempt(upload, len(runs) + 1))
        else:
            ingestions.fail_if_never_begun(
                connection,
                upload,
                now.timestamp(),
                reason="never_begun",
                message=f"{MOST_ATTEMPTS} runs ended before a stage began.",
                remedy=f"See Dagster's runs of this upload; then `lead-intel resume {upload}`.",
            )
    return due
