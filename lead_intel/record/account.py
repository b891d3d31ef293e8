"""The account of one upload: every figure that the CLI and the hub show, read from the tables. Computes sums only.

The rules of counting: rows in the files = accepted + quarantined + duplicate; accepted = send + hold + block;
send = sampled + not sampled; sampled = not planned + planned; planned = pushed + failed + pending. Parts of stages
that have not run are absent, not zero.
"""

from __future__ import annotations

from typing import Any

import psycopg

from lead_intel.record import estimates, forecasts, ingestions, layouts, members, outbox, plans, spend
from lead_intel.record.ingestions import Ingestion
from lead_intel.record.plans import Plan
from lead_intel.uploads import STAGES

_TOP_CARRIERS = 12


def account_of(connection: psycopg.Connection, upload: str) -> dict[str, Any]:
    """The JSON object of `status` and `run`. Raises UsageError when there is no such upload."""
    row = ingestions.find(connection, upload)
    account: dict[str, Any] = {
        "upload": upload,
        "supplier": row.supplier,
        "profile": row.profile,
        "source": row.source,
        "state": row.state.value,
        "state_reason": row.state_reason,
        "state_message": row.state_message,
        "state_remedy": row.state_remedy,
    }
    account |= _columns(connection, upload)
    if row.source == "api":
        account["posted"] = _posted(connection, upload)
    if row.rows_file is not None:
        account |= _rows(connection, row)
    verdicts = _counts(
        connection,
        "select verdict, count(*) from lead_intel.dnc_verdicts where upload = %s group by 1 order by 1 desc",
        upload,
    )
    if verdicts:
        account["verdicts"] = {name: verdicts.get(name, 0) for name in ("send", "hold", "block")}
        account["reasons"] = _counts(
            connection,
            "select reason, count(*) from lead_intel.dnc_verdicts, unnest(reasons) reason "
            "where upload = %s group by 1 order by 2 desc, 1",
            upload,
        )
    newest = plans.newest_or_none(connection, upload)
    if row.sample_percent is not None:
        account["sample"] = _sample(connection, row, newest)
    account["spend"] = spend.spend_of_upload(connection, upload)
    for name, told in (
        ("forecast", forecasts.newest_with_actual(connection, upload)),
        ("estimate", estimates.find(connection, upload)),
    ):
        if told is not None:
            account[name] = told
    if newest is not None:
        account |= _activation(connection, newest)
    if row.stage_seconds:
        account["seconds"] = {stage: row.stage_seconds[stage] for stage in STAGES if stage in row.stage_seconds}
    return account


def _sample(connection: psycopg.Connection, row: Ingestion, newest: Plan | None) -> dict[str, Any]:
    """The percent that was chosen, and its leads once they are drawn: a percent chosen anew has none yet."""
    sample: dict[str, Any] = {"percent": float(row.sample_percent or 0)}
    if newest is not None and newest.sample_percent == row.sample_percent:
        sample["leads"] = _one(connection, "select count(*) from lead_intel.lead_samples where upload = %s", row.upload)
    return sample


def _columns(connection: psycopg.Connection, upload: str) -> dict[str, Any]:
    """What may be meant by missing columns, and what changed since the supplier's list before; each only if so."""
    judged = layouts.judged_of(connection, upload)
    if judged is None:
        return {}
    return {
        **({"suggestions": judged.suggestions} if judged.suggestions else {}),
        **({"layout_changed": judged.changed} if judged.changed else {}),
    }


def _rows(connection: psycopg.Connection, row: Ingestion) -> dict[str, Any]:
    # A row counts once, under its first code, so that the codes sum to the quarantined rows.
    codes = _counts(
        connection,
        "select codes[1], count(*) from lead_intel.quarantined_rows where upload = %s and state = 'open' "
        "group by 1 order by 2 desc, 1",
        row.upload,
    )
    return {
        "rows": {
            "file": row.rows_file,
            "accepted": row.rows_accepted,
            "quarantined": row.rows_quarantined,
            "duplicate": row.rows_duplicate,
        },
        "quarantine": codes,
    }


def _posted(connection: psycopg.Connection, upload: str) -> dict[str, Any]:
    """Rows that suppliers posted into this upload, and when it closes or closed."""
    row = connection.execute(
        "select rows, closes_at, closed_at from lead_intel.api_uploads where upload = %s", (upload,)
    ).fetchone()
    assert row is not None  # noqa: S101  # both are written in one transaction
    return {"rows": row[0], "closes_at": row[1], "closed_at": row[2]}


def _activation(connection: psycopg.Connection, newest: Plan) -> dict[str, Any]:
    return {
        "plan": newest.plan,
        "personas": newest.personas,
        "not_planned": members.exclusion_counts(connection, newest.upload),
        "activation": outbox.lead_counts(connection, newest.upload),
        "messages": outbox.message_counts(connection, newest.upload),
    }


def breakout_of(connection: psycopg.Connection, upload: str) -> list[tuple[str, str, int, float]]:
    """The largest rows of the carrier breakout: carrier, line type, numbers, share."""
    return [
        (str(carrier), str(line_type), int(numbers), float(share))
        for carrier, line_type, numbers, share in connection.execute(
            "select carrier, line_type, numbers, share from lead_intel.carrier_breakouts where upload = %s "
            "order by numbers desc, carrier, line_type limit %s",
            (upload, _TOP_CARRIERS),
        ).fetchall()
    ]


def _counts(connection: psycopg.Connection, query: str, upload: str) -> dict[str, int]:
    return {str(name): int(n) for name, n in connection.execute(query, (upload,)).fetchall()}


def _one(connection: psycopg.Connection, query: str, upload: str) -> int:
    row = connection.execute(query, (upload,)).fetchone()
    return int(row[0]) if row else 0
