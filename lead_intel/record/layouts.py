"""What people said of columns, and the layouts of each supplier: `column_choices`, `column_mappings`, `upload_layouts`.

SQL, and the one call (`verdict_on`) by which intake and guardrail 2 judge an upload's headers with all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from lead_intel.columns import ColumnVerdict, confirmed, header_fingerprint, judge
from lead_intel.layouts import Layout, LayoutChange, changed, layout_of
from lead_intel.policy import Policy


@dataclass(frozen=True, slots=True)
class Said:
    """What a person says of one list: our column -> header (or `#3`, or blank), and the line of the header."""

    columns: dict[str, str] = field(default_factory=dict)
    header_row: int | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """Stored beside an upload for `status`: the mapping, what may be meant, what changed since the list before."""

    mapping: dict[str, str]
    suggestions: dict[str, list[str]]
    changed: dict[str, Any] | None


def say(connection: psycopg.Connection, upload: str, said: Said, by: str) -> bool:
    """Store what a person says, in the place of what was said before; False when that was the same."""
    row = connection.execute(
        "insert into lead_intel.column_choices as known (upload, columns, header_row, chosen_by) "
        "values (%s, %s, %s, %s) on conflict (upload) do update set columns = excluded.columns, "
        "header_row = excluded.header_row, chosen_by = excluded.chosen_by, chosen_at = now(), applied_at = null "
        "where (known.columns, known.header_row) is distinct from (excluded.columns, excluded.header_row) "
        "returning upload",
        (upload, Jsonb(said.columns), said.header_row, by),
    ).fetchone()
    return row is not None


def said_of(connection: psycopg.Connection, upload: str) -> Said:
    """What a person said of the upload's list; empty when nobody did."""
    row = connection.execute(
        "select columns, header_row from lead_intel.column_choices where upload = %s", (upload,)
    ).fetchone()
    return Said() if row is None else Said(dict(row[0]), row[1])


def is_unused(connection: psycopg.Connection, upload: str) -> bool:
    """True when something was said that no screening has used yet."""
    row = connection.execute(
        "select 1 from lead_intel.column_choices where upload = %s and applied_at is null", (upload,)
    ).fetchone()
    return row is not None


def verdict_on(
    connection: psycopg.Connection, policy: Policy, upload: str, supplier: str, headers: Sequence[str]
) -> ColumnVerdict:
    """Judge the columns of an upload's raw frame with what was said, confirmed and seen before."""
    remembered = remembered_mapping(connection, supplier, header_fingerprint(headers))
    former = None if remembered else former_layout(connection, upload, supplier, headers)
    return judge(
        headers,
        policy,
        supplier,
        remembered,
        said=said_of(connection, upload).columns,
        former=former.mapping if former else None,
    )


def former_layout(connection: psycopg.Connection, upload: str, supplier: str, headers: Sequence[str]) -> Layout | None:
    """The supplier's latest other layout; None when it has delivered in this one before, or never."""
    fingerprint = header_fingerprint(headers)
    rows = connection.execute(
        "select header_fingerprint, first_upload, headers, mapping from lead_intel.column_mappings "
        "where supplier = %s and headers is not null and first_upload <> %s order by last_seen_at desc",
        (supplier, upload),
    ).fetchall()
    if not rows or fingerprint in {row[0] for row in rows}:
        return None
    return Layout(tuple(rows[0][2]), dict(rows[0][3]))


def note(
    connection: psycopg.Connection, upload: str, supplier: str, headers: Sequence[str], verdict: ColumnVerdict
) -> LayoutChange | None:
    """Store how the columns were judged, and return what changed since the supplier's list before.

    Of a list that has no header nothing is stored: its first row is a person.
    """
    former = None if verdict.code == "no_header" else former_layout(connection, upload, supplier, headers)
    change = None if former is None else changed(former, layout_of(headers, verdict))
    connection.execute(
        "insert into lead_intel.upload_layouts as known (upload, mapping, suggestions, changed) "
        "values (%s, %s, %s, %s) on conflict (upload) do update set mapping = excluded.mapping, "
        "suggestions = excluded.suggestions, changed = excluded.changed, judged_at = now()",
        (
            upload,
            Jsonb(layout_of(headers, verdict).mapping if verdict.code != "no_header" else {}),
            Jsonb({ours: list(headers) for ours, headers in verdict.suggestions.items()}),
            None if change is None else Jsonb(change.as_json()),
        ),
    )
    return change


def judged_of(connection: psycopg.Connection, upload: str) -> Judged | None:
    """How the upload's columns were judged; None until they were."""
    row = connection.execute(
        "select mapping, suggestions, changed from lead_intel.upload_layouts where upload = %s", (upload,)
    ).fetchone()
    return None if row is None else Judged(dict(row[0]), dict(row[1]), row[2])


def keep(
    connection: psycopg.Connection, upload: str, supplier: str, headers: Sequence[str], verdict: ColumnVerdict
) -> None:
    """Remember the layout of a list that was accepted; as confirmed by a person where one chose its columns."""
    fingerprint, layout = header_fingerprint(headers), layout_of(headers, verdict)
    chosen = connection.execute(
        "update lead_intel.column_choices set applied_at = now() where upload = %s returning chosen_by, columns",
        (upload,),
    ).fetchone()
    by = str(chosen[0]) if chosen and chosen[1] else None
    mapping = confirmed(headers, verdict) if by else layout.mapping
    remember_mapping(connection, supplier, fingerprint, mapping, by)
    connection.execute(
        "update lead_intel.column_mappings set headers = %s, first_upload = coalesce(first_upload, %s), "
        "last_seen_at = now() where supplier = %s and header_fingerprint = %s",
        (list(layout.headers), upload, supplier, fingerprint),
    )


def remembered_mapping(connection: psycopg.Connection, supplier: str, header_fingerprint: str) -> dict[str, str]:
    """What a person confirmed for this supplier's layout: column key -> our column; empty when nobody did."""
    row = connection.execute(
        "select mapping from lead_intel.column_mappings "
        "where supplier = %s and header_fingerprint = %s and confirmed_by is not null",
        (supplier, header_fingerprint),
    ).fetchone()
    return dict(row[0]) if row else {}


def remember_mapping(
    connection: psycopg.Connection,
    supplier: str,
    header_fingerprint: str,
    mapping: Mapping[str, str],
    confirmed_by: str | None = None,
) -> None:
    """Remember how a layout was mapped; what a person confirmed is applied again, and only a person replaces it."""
    connection.execute(
        "insert into lead_intel.column_mappings as known (supplier, header_fingerprint, mapping, confirmed_by) "
        "values (%s, %s, %s, %s) on conflict (supplier, header_fingerprint) do update "
        "set mapping = excluded.mapping, confirmed_by = excluded.confirmed_by, updated_at = now() "
        "where excluded.confirmed_by is not null or "
        "(known.confirmed_by is null and known.mapping is distinct from excluded.mapping)",
        (supplier, header_fingerprint, Jsonb(dict(mapping)), confirmed_by),
    )
