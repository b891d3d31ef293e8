"""What the ingestion API says about itself: the traffic of a supplier, and the counts of one upload. Reads only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

from lead_intel.errors import UsageError
from lead_intel.record import api_traffic, api_uploads, database, ingestions
from lead_intel.record.account import account_of

_SHOWN = ("rows", "quarantine", "verdicts")


def status_of(connection: psycopg.Connection, supplier: str) -> dict[str, Any]:
    """Counts per minute over the last hour, p95, errors, the last event and the open upload."""
    with connection.transaction():
        now = database.now(connection)
        traffic = api_traffic.traffic_of(connection, supplier)
        open_upload = api_uploads.open_of(connection, supplier)
    event = traffic["last_event"]
    return {
        "supplier": supplier,
        "at": now.isoformat(),
        **traffic,
        "per_minute": [{**figures, "minute": figures["minute"].isoformat()} for figures in traffic["per_minute"]],
        "last_event": None if event is None else {**event, "at": event["at"].isoformat()},
        "open_upload": None
        if open_upload is None
        else {
            "upload": open_upload.upload,
            "rows": open_upload.rows,
            "opened_at": open_upload.opened_at.isoformat(),
            "closes_at": open_upload.closes_at.isoformat(),
        },
    }


def upload_of(connection: psycopg.Connection, supplier: str, upload: str) -> dict[str, Any] | None:
    """The counts of one upload; None unless it is the supplier's. Parts of stages that have not run are absent."""
    try:
        row = ingestions.find(connection, upload)
    except UsageError:
        return None
    if row.supplier != supplier:
        return None
    account = account_of(connection, upload)
    content = {
        "upload": upload,
        "state": row.state.value,
        "state_reason": row.state_reason,
        "received_at": row.created_at.isoformat(),
        **{name: account[name] for name in _SHOWN if name in account},
    }
    posted = api_uploads.find(connection, upload)
    if posted is not None:
        content["posted"] = {
            "rows": posted.rows,
            "opened_at": posted.opened_at.isoformat(),
            "closes_at": posted.closes_at.isoformat(),
            "closed_at": _text(posted.closed_at),
        }
    return content


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
