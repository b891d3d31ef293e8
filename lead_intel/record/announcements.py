"""What the product tells the channel about an upload: its state, its progress, its sample.

Hints that may be lost: nothing waits for an answer, and nothing fails without one.
"""

from __future__ import annotations

import psycopg

from lead_intel.errors import LeadIntelError
from lead_intel.record import ingestions
from lead_intel.record.channel import is_sha256, list_digest, publish
from lead_intel.record.database import connected
from lead_intel.record.ingestions import Ingestion
from lead_intel.settings import Settings


def announce_state(settings: Settings, upload: str) -> Ingestion | None:
    """The upload's state as it is now; returns its row.

    None: it cannot be read, and is not announced; whoever works on it says why.
    """
    try:
        with connected(settings) as connection:
            row = ingestions.find(connection, upload)
    except (psycopg.Error, LeadIntelError):
        return None
    counts = {
        "file": row.rows_file,
        "accepted": row.rows_accepted,
        "quarantined": row.rows_quarantined,
        "duplicate": row.rows_duplicate,
    }
    publish(
        settings,
        "upload.state",
        {
            **_about(row),
            "supplier": row.supplier,
            "state": row.state.value,
            "reason": row.state_reason,
            "stage": row.stage,
            "rows": None if None in counts.values() else counts,
        },
    )
    return row


def announce_progress(settings: Settings, row: Ingestion, stage: str, done: int | None, total: int | None) -> None:
    """How far a stage is; at most two a second per upload."""
    publish(settings, "upload.progress", {**_about(row), "stage": stage, "done": done, "total": total})


def announce_sample(settings: Settings, row: Ingestion, leads: int | None = None) -> None:
    """The sample that a person chose; with `leads`, the sample that was drawn."""
    percent = float(row.sample_percent or 0)
    publish(settings, "upload.sample", {**_about(row), "percent": percent, "leads": leads})


def _about(row: Ingestion) -> dict[str, str | None]:
    return {"upload": row.upload, "list": list_digest(row.sha256) if is_sha256(row.sha256) else None}
