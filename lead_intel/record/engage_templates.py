"""Rows of `engage_templates`: which Engage template or journey is fed by which audience, by its id in Segment.

Segment offers no way to ask which template uses an audience, so this registry is ours. The id is remembered when a
template is first seen: an audience that was deleted and made again under the same key is another audience.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class EngageTemplate:
    """One template and the audience that feeds it."""

    template: str
    space_id: str
    audience_id: str
    audience_key: str
    last_seen_status: str | None
    last_seen_at: datetime | None


def registered(connection: psycopg.Connection) -> dict[str, EngageTemplate]:
    """Every registered template by name."""
    with connection.cursor(row_factory=class_row(EngageTemplate)) as cursor:
        rows = cursor.execute(
            "select template, space_id, audience_id, audience_key, last_seen_status, last_seen_at "
            "from lead_intel.engage_templates order by template"
        ).fetchall()
    return {row.template: row for row in rows}


def register(connection: psycopg.Connection, template: str, space_id: str, audience_id: str, audience_key: str) -> None:
    """Remember the audience of `template`, in place of what was remembered before."""
    connection.execute(
        "insert into lead_intel.engage_templates (template, space_id, audience_id, audience_key) "
        "values (%s, %s, %s, %s) on conflict (template) do update set space_id = excluded.space_id, "
        "audience_id = excluded.audience_id, audience_key = excluded.audience_key, "
        "last_seen_status = null, last_seen_at = null",
        (template, space_id, audience_id, audience_key),
    )


def saw(connection: psycopg.Connection, template: str, status: str) -> None:
    """Note what the Public API said about the template's audience, now."""
    connection.execute(
        "update lead_intel.engage_templates set last_seen_status = %s, last_seen_at = now() where template = %s",
        (status, template),
    )
