"""Rows of quarantine and what people did about them: corrections, releases, the layout of an export. SQL only.

`quarantined_rows` is written by `record.leads`; here its states follow from what people did. A place is (file, line).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
import psycopg
from psycopg.types.json import Jsonb

from lead_intel.errors import UsageError
from lead_intel.record import evidence
from lead_intel.record.upload_files import StoredObject

_ROWS = 0x4C51  # the class of our advisory locks, apart from those of `turns`

Place = tuple[int, int]
"""Where a row stands in its upload: file number and line."""

Outcome = Literal["corrects", "unchanged", "correction_unknown", "correction_repeated", "correction_closed"]


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A row in quarantine that nobody has corrected or released. `original`: label of the layout -> text."""

    place: Place
    codes: tuple[str, ...]
    original: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CorrectionRow:
    """One row of a corrected file: what it is, and which row it speaks of; `content` is a digest of its cells."""

    place: Place
    outcome: Outcome
    of: Place | None
    content: bytes


@dataclass(frozen=True)
class Settled:
    """What people said about an upload's rows: settled once, applied by every screening."""

    corrections: tuple[CorrectionRow, ...] = ()
    columns: Mapping[int, Sequence[str | None]] = field(default_factory=dict)
    """Correction's file number -> the raw frame's column for each of its columns."""
    releases: Mapping[Place, tuple[str, ...]] = field(default_factory=dict)

    def among(self, files: Iterable[int]) -> Settled:
        """Without the corrections in other files: a screening that has not read a file knows nothing of it."""
        read = set(files)
        return Settled(
            tuple(row for row in self.corrections if row.place[0] in read),
            {file_no: columns for file_no, columns in self.columns.items() if file_no in read},
            self.releases,
        )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the list: its name in the raw frame, and its key in the originals of quarantined rows."""

    name: str
    label: str


def open_rows(connection: psycopg.Connection, upload: str, limit: int | None = None) -> list[OpenRow]:
    """The upload's open rows in the order of the files."""
    rows = connection.execute(
        "select file_no, line, codes, original from lead_intel.quarantined_rows "
        "where upload = %s and state = 'open' order by file_no, line limit %s",
        (upload, limit),
    )
    return [OpenRow((file_no, line), tuple(codes), original) for file_no, line, codes, original in rows]


def accepted_among(connection: psycopg.Connection, upload: str, places: Iterable[Place]) -> set[Place]:
    """Those of `places` that are leads, or repeats of one."""
    files, lines = zip(*places, strict=True) if (places := set(places)) else ((), ())
    rows = connection.execute(
        "select file_no, line from lead_intel.upload_leads join unnest(%s::int[], %s::bigint[]) named (file_no, line) "
        "using (file_no, line) where upload = %s",
        (list(files), list(lines), upload),
    )
    return {(int(file_no), int(line)) for file_no, line in rows}


def open_counts(connection: psycopg.Connection, upload: str) -> dict[str, int]:
    """Open rows by their first code, most first."""
    rows = connection.execute(
        "select codes[1], count(*) from lead_intel.quarantined_rows where upload = %s and state = 'open' "
        "group by 1 order by 2 desc, 1",
        (upload,),
    )
    return {str(code): int(count) for code, count in rows}


def uploads_with_open_rows(connection: psycopg.Connection) -> list[str]:
    """Every upload that has rows in quarantine, oldest first."""
    rows = connection.execute(
        "select upload from lead_intel.lead_ingestions i where exists (select 1 from lead_intel.quarantined_rows q "
        "where q.upload = i.upload and q.state = 'open') order by created_at, upload"
    )
    return [str(row[0]) for row in rows]


def layout_of(connection: psycopg.Connection, upload: str) -> list[Column]:
    """The list's columns in their order; empty when it was never validated."""
    row = connection.execute(
        "select columns from lead_intel.quarantine_layouts where upload = %s", (upload,)
    ).fetchone()
    return [Column(**column) for column in row[0]] if row else []


def set_layout(connection: psycopg.Connection, upload: str, columns: Iterable[Column]) -> None:
    """Remember the list's columns."""
    connection.execute(
        "insert into lead_intel.quarantine_layouts as kept (upload, columns) values (%s, %s) "
        "on conflict (upload) do update set columns = excluded.columns where kept.columns <> excluded.columns",
        (upload, Jsonb([{"name": column.name, "label": column.label} for column in columns])),
    )


def settled(connection: psycopg.Connection, upload: str) -> Settled:
    """What people said so far."""
    corrections = tuple(
        CorrectionRow((file_no, line), outcome, None if of_file is None else (of_file, of_line), bytes(content))
        for file_no, line, outcome, of_file, of_line, content in connection.execute(
            "select file_no, line, outcome, of_file_no, of_line, content from lead_intel.correction_rows "
            "where upload = %s order by file_no, line",
            (upload,),
        )
    )
    columns = {
        int(file_no): list(names)
        for file_no, names in connection.execute(
            "select file_no, columns from lead_intel.corrections where upload = %s", (upload,)
        )
    }
    releases = {
        (int(file_no), int(line)): tuple(codes)
        for file_no, line, codes in connection.execute(
            "select file_no, line, codes from lead_intel.quarantine_releases where upload = %s", (upload,)
        )
    }
    return Settled(corrections, columns, releases)


def has_unscreened(connection: psycopg.Connection, upload: str) -> bool:
    """True when a person corrected or released rows and no screening has taken them in since."""
    row = connection.execute(
        "select exists (select 1 from lead_intel.corrections where upload = %(upload)s and screened_at is null) "
        "or exists (select 1 from lead_intel.quarantine_releases where upload = %(upload)s and screened_at is null)",
        {"upload": upload},
    ).fetchone()
    return row is not None and bool(row[0])


def lock(connection: psycopg.Connection, upload: str) -> None:
    """Inside a transaction: no screening stores its rows, and nobody else corrects any, until it ends.

    Not the upload's own row, which heartbeats and stops must reach however long the rows take to store.
    """
    connection.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", (_ROWS, upload))


def correction_known(connection: psycopg.Connection, upload: str, sha256: str) -> bool:
    """True when a file of these bytes was resubmitted before."""
    row = connection.execute(
        "select 1 from lead_intel.upload_files where upload = %s and sha256 = %s and kind = 'correction'",
        (upload, sha256),
    ).fetchone()
    return row is not None


def next_file_no(connection: psycopg.Connection, upload: str) -> int:
    """The number that the upload's next file gets; hold `lock`."""
    row = connection.execute(
        "select max(file_no) + 1 from lead_intel.upload_files where upload = %s", (upload,)
    ).fetchone()
    return int(row[0]) if row and row[0] is not None else 1


def add_correction(
    connection: psycopg.Connection,
    upload: str,
    stored: StoredObject,
    rows: Sequence[CorrectionRow],
    columns: Sequence[str | None],
    by: str,
) -> None:
    """Let a corrected file join its upload, with what each of its rows is. All rows stand in one file; hold `lock`."""
    file_no = rows[0].place[0]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            "insert into lead_intel.upload_files (upload, file_no, kind, bucket, object_path, object_version, "
            "file_name, bytes, sha256) values (%s, %s, 'correction', %s, %s, %s, %s, %s, %s)",
            (
                upload,
                file_no,
                stored.bucket,
                stored.object_path,
                stored.object_version,
                stored.file_name,
                stored.bytes,
                stored.sha256,
            ),
        )
        cursor.execute(
            "insert into lead_intel.bucket_objects (bucket, object_path, object_version, upload) "
            "values (%s, %s, %s, %s) on conflict do nothing",
            (stored.bucket, stored.object_path, stored.object_version, upload),
        )
        cursor.execute(
            "insert into lead_intel.corrections (upload, file_no, columns, resubmitted_by) values (%s, %s, %s, %s)",
            (upload, file_no, Jsonb(list(columns)), by),
        )
        with cursor.copy(
            "copy lead_intel.correction_rows (upload, file_no, line, outcome, of_file_no, of_line, content) from stdin"
        ) as copy:
            for row in rows:
                copy.write_row((upload, *row.place, row.outcome, *(row.of or (None, None)), row.content))


def release(connection: psycopg.Connection, upload: str, row: OpenRow, by: str, why: str) -> None:
    """Store that `by` vouches for `row`, and chain the evidence of it; vouching twice changes nothing."""
    with connection.transaction():
        connection.execute(
            "insert into lead_intel.quarantine_releases (upload, file_no, line, codes, released_by, why) "
            "values (%s, %s, %s, %s, %s, %s) on conflict (upload, file_no, line) do update set "
            "codes = excluded.codes, released_by = excluded.released_by, why = excluded.why, released_at = now(), "
            "screened_at = null",
            (upload, *row.place, list(row.codes), by, why),
        )
        file_no, line = row.place
        # Who and why are kept in the table; the chain proves them without repeating what a person wrote.
        facts = pd.DataFrame(
            {
                "file": [file_no],
                "line": [line],
                "codes": ["|".join(row.codes)],
                "by": [by],
                "why": [why],
                "original": [json.dumps(dict(row.original), sort_keys=True, ensure_ascii=False)],
            }
        )
        body: dict[str, Any] = {"file": file_no, "line": line, "codes": list(row.codes)}
        evidence.append(connection, upload, "release", body, facts)


def open_row(connection: psycopg.Connection, upload: str, place: Place) -> OpenRow:
    """The open row at `place`. Raises UsageError when there is none."""
    row = connection.execute(
        "select codes, original from lead_intel.quarantined_rows "
        "where upload = %s and file_no = %s and line = %s and state = 'open'",
        (upload, *place),
    ).fetchone()
    if row is None:
        raise UsageError(
            "row_not_in_quarantine",
            f"Row {place[0]}:{place[1]} of {upload} is not in quarantine.",
            "`lead-intel quarantine list` shows the rows that are.",
        )
    return OpenRow(place, tuple(row[0]), row[1])


def is_released(connection: psycopg.Connection, upload: str, place: Place) -> bool:
    """True when a person released the row and it was accepted since."""
    row = connection.execute(
        "select 1 from lead_intel.quarantined_rows "
        "where upload = %s and file_no = %s and line = %s and state = 'released'",
        (upload, *place),
    ).fetchone()
    return row is not None


def before_rows_are_stored(connection: psycopg.Connection, upload: str, said: Settled) -> None:
    """First in the transaction that stores a screening's rows: corrected and released ones stay, marked."""
    corrected = [row.of for row in said.corrections if row.outcome == "corrects" and row.of is not None]
    for state, places in (("corrected", corrected), ("released", list(said.releases))):
        _mark(connection, upload, places, state)


def after_rows_are_stored(connection: psycopg.Connection, upload: str, said: Settled) -> None:
    """Last in it: what was `said` is taken in, and a released row that was not accepted all the same is open again."""
    connection.execute(
        "update lead_intel.quarantined_rows q set state = 'open' where upload = %(upload)s and state = 'released' "
        "and not exists (select 1 from lead_intel.upload_leads l where l.upload = q.upload "
        "and l.file_no = q.file_no and l.line = q.line)",
        {"upload": upload},
    )
    files = list(said.columns)
    connection.execute(
        "update lead_intel.corrections set screened_at = now() "
        "where upload = %s and screened_at is null and file_no = any(%s)",
        (upload, files),
    )
    releases = list(said.releases)
    connection.execute(
        "update lead_intel.quarantine_releases r set screened_at = now() from "
        "unnest(%s::integer[], %s::bigint[]) as said (file_no, line) where r.upload = %s "
        "and r.file_no = said.file_no and r.line = said.line and r.screened_at is null",
        ([file_no for file_no, _ in releases], [line for _, line in releases], upload),
    )


def _mark(connection: psycopg.Connection, upload: str, places: Sequence[Place], state: str) -> None:
    connection.execute(
        "update lead_intel.quarantined_rows q set state = %s from "
        "unnest(%s::integer[], %s::bigint[]) as said (file_no, line) where q.upload = %s "
        "and q.file_no = said.file_no and q.line = said.line and q.state <> %s",
        (state, [file_no for file_no, _ in places], [line for _, line in places], upload, state),
    )
