"""A person's moves on rows that were not accepted: export, resubmit, release, replay. Decides no row's fate itself.

Each move stores what the person said in one transaction and then screens the upload; killed in between, any later
command screens it. What is known already, said again, changes and pays nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

import psycopg

from lead_intel.automation import journey
from lead_intel.automation.desk import Desk
from lead_intel.automation.receiving import sha256_of
from lead_intel.errors import RejectedInput, UsageError
from lead_intel.intake import consent, corrections
from lead_intel.intake.quarantine import (
    VOUCHABLE,
    WORDS,
    columns_of,
    export,
    headers_of,
    suggestion,
    values_by_our_name,
    words_of,
)
from lead_intel.intake.reading import Reading, read_list
from lead_intel.intake.replay import would_be_accepted
from lead_intel.intake.settled import CORRECTS, UNCHANGED
from lead_intel.policy import Policy
from lead_intel.record import bucket, ingestions, layouts, quarantine
from lead_intel.record.frames import fetched_lists
from lead_intel.record.quarantine import Column, CorrectionRow, Place


@dataclass(frozen=True, slots=True)
class Resubmitted:
    """What a corrected file came to: rows that correct one in quarantine, rows that say nothing new, others by code."""

    corrected: int = 0
    unchanged: int = 0
    set_aside: dict[str, int] = field(default_factory=dict)


def listed(connection: psycopg.Connection, policy: Policy, upload: str, limit: int) -> dict[str, Any]:
    """Counts by reason, and the first `limit` rows: place, reason, column, suggestion. Nothing that stands in them."""
    row = ingestions.find(connection, upload)
    mapping = row.mapping or {}
    layout = quarantine.layout_of(connection, upload)
    consent_words, headers = _consent_words(policy, row.supplier), headers_of(mapping)
    counts = quarantine.open_counts(connection, upload)
    rows = [
        {
            "file": each.place[0],
            "line": each.place[1],
            "codes": list(each.codes),
            "words": words_of(each.codes),
            "column": columns_of(each.codes, headers),
            "suggestion": suggestion(each.codes, values_by_our_name(each.original, layout, mapping), consent_words),
        }
        for each in quarantine.open_rows(connection, upload, limit)
    ]
    reasons = [{"code": code, "rows": count, "words": words_of([code])} for code, count in counts.items()]
    return {"upload": upload, "quarantined": sum(counts.values()), "reasons": reasons, "rows": rows}


def write_export(connection: psycopg.Connection, policy: Policy, upload: str, target: Path) -> int:
    """Write the upload's open rows to `target` as CSV, readable by its owner only; returns how many.

    Raises:
        UsageError: the file cannot be written.
    """
    row = ingestions.find(connection, upload)
    rows = quarantine.open_rows(connection, upload)
    layout = quarantine.layout_of(connection, upload)
    words = _consent_words(policy, row.supplier)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(temporary, "xb", opener=_owner_only) as file:
            file.writelines(export(upload, rows, layout, row.mapping or {}, words))
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(
            "file_unwritable", f"{target} cannot be written: {error.strerror}.", "Name another file with --out."
        ) from None
    return len(rows)


def _consent_words(policy: Policy, supplier: str) -> list[str]:
    return [word.text for word in consent.vocabulary(policy, supplier)]


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def resubmit(desk: Desk, upload: str, file: Path, by: str) -> Resubmitted:
    """Let a corrected export join its upload, and screen it; the same bytes again change nothing.

    Raises:
        RejectedInput: the file is no export of this upload, or corrects no row; nothing is stored then.
        UsageError: the upload was never validated, or the file cannot be read.
    """
    layout = _layout(desk.connection, upload)
    digest = sha256_of(file)
    with journey.turn_of(desk, upload):
        if quarantine.correction_known(desk.connection, upload, digest):
            desk.say("This file was resubmitted before.")
            result = Resubmitted()
        else:
            result = _join(desk, upload, file, digest, layout, by)
        journey.screen_if_mended(desk, upload)
    return result


def _layout(connection: psycopg.Connection, upload: str) -> list[Column]:
    ingestions.find(connection, upload)
    layout = quarantine.layout_of(connection, upload)
    if not layout:
        raise UsageError(
            "never_validated", f"{upload} was never validated: it has no quarantine.", "Let it be screened first."
        )
    return layout


def _join(desk: Desk, upload: str, file: Path, digest: str, columns: Sequence[Column], by: str) -> Resubmitted:
    # Below the home, where what a killed process leaves is swept.
    home = fetched_lists(desk.settings.lead_intel_home)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="correction-", dir=home) as scratch:
        reading = read_list(file, corrections.is_correction, Path(scratch))
        layout = corrections.layout_of(reading.headers, columns)
        result = _counted(_settle(desk.connection, upload, reading, layout, columns), reading)
        if not result.corrected:
            _refuse_if_useless(result)
            desk.say("Nothing in the file differs from what stands in quarantine.")
            return result
        supplier = ingestions.find(desk.connection, upload).supplier
        stored = bucket.put_correction(desk.settings, file, supplier, upload, digest)
        with desk.connection.transaction():
            quarantine.lock(desk.connection, upload)
            # Once more, now that nobody can move a row: what was in quarantine a moment ago may be accepted.
            rows = _settle(desk.connection, upload, reading, layout, columns)
            quarantine.add_correction(desk.connection, upload, stored, rows, layout.columns, by)
    return _counted(rows, reading)


def _settle(
    connection: psycopg.Connection,
    upload: str,
    reading: Reading,
    layout: corrections.Layout,
    columns: Sequence[Column],
) -> list[CorrectionRow]:
    return corrections.settle(
        reading,
        layout,
        columns,
        upload,
        quarantine.next_file_no(connection, upload),
        quarantine.open_rows(connection, upload),
        quarantine.settled(connection, upload),
        quarantine.accepted_among(connection, upload, corrections.named_places(reading, layout)),
    )


def _counted(rows: Sequence[CorrectionRow], reading: Reading) -> Resubmitted:
    outcomes = Counter(str(row.outcome) for row in rows)
    unread = [
        code for code, text in zip(*reading.bad.select(["code", "text"]).to_pydict().values(), strict=True) if text
    ]
    corrected, unchanged = outcomes.pop(CORRECTS, 0), outcomes.pop(UNCHANGED, 0)
    return Resubmitted(corrected, unchanged, dict(outcomes + Counter(unread)))


def _refuse_if_useless(result: Resubmitted) -> None:
    if not result.set_aside and result.unchanged:
        return
    told = " ".join(f"{count:,}: {WORDS.get(code, code)}" for code, count in result.set_aside.items())
    raise RejectedInput(
        "correction_useless",
        f"No row of the file corrects a row in quarantine. {told}".strip(),
        "Run `lead-intel quarantine export` again and correct that file.",
    )


def release(desk: Desk, upload: str, place: Place, by: str, why: str) -> None:
    """Accept one row on a person's word, and screen the upload; evidence of it is chained.

    Raises:
        UsageError: the row is not in quarantine, `by` or `why` is blank, or its codes are none that anybody can
            vouch for.
    """
    if not by.strip() or not why.strip():
        raise UsageError("release_unsigned", "A release needs who and why.", "Give --by and --why.")
    ingestions.find(desk.connection, upload)
    with journey.turn_of(desk, upload):
        if quarantine.is_released(desk.connection, upload, place):
            desk.say(f"Row {place[0]}:{place[1]} was released before.")
        else:
            with desk.connection.transaction():
                quarantine.lock(desk.connection, upload)
                row = quarantine.open_row(desk.connection, upload, place)
                _refuse_unless_vouchable(place, row.codes)
                quarantine.release(desk.connection, upload, row, by.strip(), why.strip())
        journey.screen_if_mended(desk, upload)


def _refuse_unless_vouchable(place: Place, codes: Sequence[str]) -> None:
    beyond = [code for code in codes if code not in VOUCHABLE]
    if beyond:
        raise UsageError(
            "release_impossible",
            f"Nobody can vouch for row {place[0]}:{place[1]} ({', '.join(beyond)}): {words_of(beyond)} "
            f"Only {', '.join(sorted(VOUCHABLE))} can be released.",
            "Correct the row: `lead-intel quarantine export`, then `resubmit`.",
        )


def replay(desk: Desk, upload: str) -> int:
    """Judge the upload's quarantine by today's policy, from the stored originals; screen it when a row is accepted now.

    Returns how many are. The original file need not be in the bucket any more.
    """
    accepted = _replayable(desk, upload)
    if accepted:
        with journey.turn_of(desk, upload):
            journey.screen(desk, upload)
    return accepted


def _replayable(desk: Desk, upload: str) -> int:
    row = ingestions.find(desk.connection, upload)
    layout = quarantine.layout_of(desk.connection, upload)
    rows = quarantine.open_rows(desk.connection, upload)
    names = [column.name for column in layout]
    verdict = layouts.verdict_on(desk.connection, desk.policy, upload, row.supplier, names)
    received = row.created_at.astimezone(UTC).date()
    return would_be_accepted(rows, layout, desk.policy, row.supplier, row.mapping or {}, verdict, received)
