"""Rows of `guardrail_results`: what every pre-flight check said, when, and since when it has said so.

Appends and reads only. What a state means, and what it blocks, is decided in `lead_intel.guardrails`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True)
class GuardrailRow:
    """One stored result. `upload` is None where the condition is the same for every upload."""

    upload: str | None
    number: int
    state: str
    seen: str
    figures: dict[str, Any]
    blocks: str
    remedy: str
    rule_version: str
    since: datetime
    at: datetime


_COLUMNS: LiteralString = "upload, number, state, seen, figures, blocks, remedy, rule_version, since, at"


def append(
    connection: psycopg.Connection,
    *,
    upload: str | None,
    number: int,
    state: str,
    seen: str,
    figures: Mapping[str, float | str],
    blocks: str,
    remedy: str,
    rule_version: str,
) -> datetime:
    """Store one result and return `since`: when its present state began (an unbroken row of the same state)."""
    row: Any = connection.execute(
        "insert into lead_intel.guardrail_results "
        "(upload, number, state, seen, figures, blocks, remedy, rule_version, since) "
        "select %(upload)s, %(number)s, %(state)s, %(seen)s, %(figures)s, %(blocks)s, %(remedy)s, %(rule)s, "
        "coalesce((select newest.since from (select state, since from lead_intel.guardrail_results "
        "where number = %(number)s and upload is not distinct from %(upload)s "
        "order by at desc, result_id desc limit 1) newest where newest.state = %(state)s), now()) "
        "returning since",
        {
            "upload": upload,
            "number": number,
            "state": state,
            "seen": seen,
            "figures": Jsonb(dict(figures)),
            "blocks": blocks,
            "remedy": remedy,
            "rule": rule_version,
        },
    ).fetchone()
    return row[0]  # type: ignore[no-any-return]


def latest(connection: psycopg.Connection, upload: str | None = None) -> list[GuardrailRow]:
    """The newest result of each guardrail by number: the upload's own, and those that hold for every upload."""
    with connection.cursor(row_factory=class_row(GuardrailRow)) as cursor:
        return cursor.execute(
            f"select distinct on (number) {_COLUMNS} from lead_intel.guardrail_results "  # noqa: S608  # our own names
            "where upload is null or upload = %s order by number, at desc, result_id desc",
            (upload,),
        ).fetchall()


def history(
    connection: psycopg.Connection, number: int, upload: str | None = None, limit: int = 100
) -> list[GuardrailRow]:
    """Results of one guardrail, newest first."""
    with connection.cursor(row_factory=class_row(GuardrailRow)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from lead_intel.guardrail_results "  # noqa: S608  # our own names
            "where number = %s and upload is not distinct from %s order by at desc, result_id desc limit %s",
            (number, upload, limit),
        ).fetchall()
