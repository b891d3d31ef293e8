"""What the status page shows, read from the record. Shapes rows for people; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from lead_intel.guardrails.evaluate import GUARDRAILS
from lead_intel.record import api_uploads, database, guardrails, ingestions
from lead_intel.record.database import connected
from lead_intel.record.guardrails import GuardrailRow
from lead_intel.record.ingestions import Ingestion
from lead_intel.settings import Settings
from lead_intel.uploads import STAGE_LABELS, STAGES, WORKING

_UPLOADS_SHOWN = 50

# Tones of badges: colour is never the only sign, the word stands beside it.
_TONES = {
    "received": "neutral",
    "screening": "info",
    "screened": "success",
    "enriching": "info",
    "planned": "success",
    "awaiting_approval": "warning",
    "activating": "info",
    "activated": "success",
    "paused": "warning",
    "stopped": "neutral",
    "rejected": "danger",
    "failed": "danger",
    "passed": "success",
    "unverifiable": "warning",
    "not_applicable": "neutral",
}


@dataclass(frozen=True, slots=True)
class Badge:
    """A tone and a word."""

    tone: str
    text: str


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage of one upload; numbers are None where the stage has not said any."""

    label: str
    at_work: bool
    done: int | None
    total: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class UploadView:
    """One upload as the page shows it."""

    upload: str
    supplier: str
    badge: Badge
    reason: str
    remedy: str
    rows: dict[str, int] | None
    sample: str
    stages: list[StageView]
    received: datetime


@dataclass(frozen=True, slots=True)
class GuardrailView:
    """One pre-flight check: the newest result of any kind."""

    number: int
    label: str
    badge: Badge
    seen: str
    remedy: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Status:
    """Everything on the page, read at one moment."""

    embedded: bool
    uploads: list[UploadView]
    checks: list[GuardrailView]
    at: datetime


def read_status(settings: Settings) -> Status:
    """The newest uploads and the newest results of the checks that are everybody's.

    Raises:
        TransientError: the database does not answer.
    """
    with connected(settings) as connection, connection.transaction():
        now = database.now(connection)
        rows = ingestions.newest(connection, _UPLOADS_SHOWN)
        collected = api_uploads.rows_of_open(connection)
        checks = guardrails.latest(connection)
    return Status(
        embedded=settings.lead_intel_environment == "embedded",
        uploads=[_upload(row, collected.get(row.upload)) for row in rows],
        checks=[_check(row) for row in checks],
        at=now,
    )


def badge_of(word: str) -> Badge:
    """The badge of a state."""
    return Badge(_TONES.get(word, "neutral"), word.replace("_", " "))


def _upload(row: Ingestion, posted: int | None) -> UploadView:
    return UploadView(
        upload=row.upload,
        supplier=row.supplier,
        badge=badge_of(row.state),
        reason=row.state_message or row.state_reason or "",
        remedy=row.state_remedy or "",
        rows=_balance(row) if posted is None else {"posted so far": posted},
        sample=_percent(row.sample_percent),
        stages=[_stage(row, stage) for stage in STAGES],
        received=row.created_at,
    )


def _balance(row: Ingestion) -> dict[str, int] | None:
    counts = {
        "in the files": row.rows_file,
        "accepted": row.rows_accepted,
        "quarantined": row.rows_quarantined,
        "duplicate": row.rows_duplicate,
    }
    known = {label: count for label, count in counts.items() if count is not None}
    return known if len(known) == len(counts) else None


def _percent(percent: Decimal | None) -> str:
    return "not chosen" if percent is None else f"{percent.normalize():f} %"


def _stage(row: Ingestion, stage: str) -> StageView:
    at_work = row.stage == stage and row.run_id is not None and row.state in WORKING
    shown = row.stage == stage
    return StageView(
        label=STAGE_LABELS[stage],
        at_work=at_work,
        done=row.stage_done if shown else None,
        total=row.stage_total if shown else None,
        seconds=row.stage_seconds.get(stage),
    )


def _check(row: GuardrailRow) -> GuardrailView:
    badge = Badge("danger", "failed") if row.state == "failed" else badge_of(row.state)
    return GuardrailView(row.number, GUARDRAILS[row.number].title, badge, row.seen, row.remedy, row.since)
