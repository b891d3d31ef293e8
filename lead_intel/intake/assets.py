"""Intake's Dagster face: the list as read, then its leads and its quarantined rows. Adapters only."""

# Without `from __future__ import annotations`: Dagster reads the annotation of `context` as an object.

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from lead_intel.columns import FRAME_COLUMNS, ColumnVerdict
from lead_intel.contract import DuplicateRows, QuarantinedRows, RawUpload, ValidLeads, checked
from lead_intel.errors import RejectedInput
from lead_intel.intake import phone_kinds
from lead_intel.intake.check import lead_list_headers
from lead_intel.intake.corrections import correction_frame, is_correction
from lead_intel.intake.counting import assert_whole, counted_rows
from lead_intel.intake.quarantine import WORDS
from lead_intel.intake.raw import raw_frame
from lead_intel.intake.reading import Reading, read_list
from lead_intel.intake.settled import standing
from lead_intel.intake.validation import Validated, labels_of, occurrences, validate
from lead_intel.layouts import LayoutChange
from lead_intel.partition import UPLOADS
from lead_intel.record import ingestions, layouts, leads, quarantine, upload_files
from lead_intel.record.bucket import fetch_object
from lead_intel.record.frames import fetched_lists, has_frame, read_frame, remove_abandoned
from lead_intel.record.quarantine import Settled
from lead_intel.record.upload_files import UploadFile
from lead_intel.stage import StageAtWork, stage_of
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import State

_STAGE = "validation"
_RAW = "raw_upload"


@dg.asset(
    partitions_def=UPLOADS,
    group_name=_STAGE,
    kinds={"csv", "xlsx", "supabase"},
    description="The list as it lies in the bucket, read in a child process: every column as text, every row with its "
    "file and line. Rows that do not fit the header carry a code instead of cells.",
)
def raw_upload(context: dg.AssetExecutionContext, surroundings: Surroundings) -> dg.Output[pd.DataFrame]:
    """Columns as in `raw.raw_frame`. A list whose columns do not fit is stored all the same: guardrail 2 says so."""
    with stage_of(context, surroundings, _STAGE, State.SCREENING) as at_work:
        parts = list(_read_files(at_work))
        frame = checked(_joined(parts), RawUpload)
        verdict = _verdict(at_work, frame)
        ingestions.set_mapping(at_work.connection, at_work.upload, verdict.mapping)
        change = layouts.note(
            at_work.connection, at_work.upload, at_work.ingestion.supplier, _columns_of(frame), verdict
        )
        at_work.progress(len(frame), len(frame))
        return dg.Output(frame, metadata=_reading_metadata(parts, frame, verdict, change))


@dg.multi_asset(
    partitions_def=UPLOADS,
    group_name=_STAGE,
    ins={"raw_upload": dg.AssetIn()},
    outs={
        "valid_leads": dg.AssetOut(
            kinds={"pandas", "postgres"},
            description="Accepted leads, one row a lead: phone and e-mail normalised, consent source known, duplicates "
            "folded into the first row.",
        ),
        "quarantined_rows": dg.AssetOut(
            kinds={"pandas", "postgres"},
            description="Rows that were not accepted, each with its codes and its original text, for a person to mend.",
        ),
    },
)
def validated(
    context: dg.AssetExecutionContext, surroundings: Surroundings, raw_upload: pd.DataFrame
) -> Iterator[dg.Output[pd.DataFrame]]:
    """Judge every row, store leads and quarantine in one transaction, and prove the balance."""
    with stage_of(context, surroundings, _STAGE, State.SCREENING) as at_work:
        said = _said(at_work, raw_upload)
        verdict = _verdict(at_work, raw_upload)
        ingestion = at_work.ingestion
        received = ingestion.created_at.astimezone(UTC).date()
        rows = standing(raw_upload, said)
        # What rests on disk while rows are judged is swept with the lists, should this process be killed.
        scratch = fetched_lists(at_work.settings.lead_intel_home)
        scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        result = validate(rows, verdict, at_work.policy, ingestion.supplier, scratch, received=received)
        accepted = checked(result.accepted, ValidLeads)
        quarantined = checked(result.quarantined, QuarantinedRows)
        checked(result.duplicates, DuplicateRows)
        at_work.stop_if_asked()
        known = _store(at_work, raw_upload, verdict, result, said)
        left_out = len(raw_upload) - len(rows)
        yield dg.Output(accepted, "valid_leads", metadata=_leads_metadata(result, known, left_out))
        yield dg.Output(quarantined, "quarantined_rows", metadata=_quarantine_metadata(result))


@dataclass(frozen=True)
class _Part:
    """One file of the upload: as read now, or, when its object is gone, as an earlier run read it."""

    file: UploadFile
    reading: Reading | None = None
    frame: pd.DataFrame | None = None


def _read_files(at_work: StageAtWork) -> Iterator[_Part]:
    """Fetch, read and count the upload's files.

    The folder is the upload's own: a killed run's remains go with the next. A list that has left the bucket since it
    was read is not needed again: its rows rest in the frame, and are as many as were counted.
    """
    home = at_work.settings.lead_intel_home
    remove_abandoned(home)
    corrected = quarantine.settled(at_work.connection, at_work.upload).columns
    said = layouts.said_of(at_work.connection, at_work.upload)
    for file in upload_files.files_of(at_work.connection, at_work.upload):
        try:
            reading = _fetched_and_read(at_work, file, said)
        except RejectedInput as error:
            before = _read_before(at_work, file) if error.code == "object_missing" else None
            if before is None:
                raise
            yield _Part(file, frame=before)
            continue
        upload_files.set_file_reading(at_work.connection, at_work.upload, file.file_no, reading.how)
        columns = corrected.get(file.file_no)
        yield _Part(file, reading, None if columns is None else correction_frame(file.file_no, reading, columns))


def _fetched_and_read(at_work: StageAtWork, file: UploadFile, said: layouts.Said) -> Reading:
    folder = fetched_lists(at_work.settings.lead_intel_home) / at_work.upload
    lead_list = lead_list_headers(at_work.policy, at_work.ingestion.supplier, said.columns)
    # What a person said of the header holds for the list, not for corrections and batches that follow it.
    header_row = said.header_row if file.kind == "list" else None
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    try:
        fetch_object(at_work.settings, file, folder / "list")
        at_work.stop_if_asked()
        prefers = is_correction if file.kind == "correction" else lead_list
        reading = read_list(folder / "list", prefers, folder, header_row)
        rows = counted_rows(folder / "list", reading, header_row)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    upload_files.set_file_rows(at_work.connection, at_work.upload, file.file_no, rows)
    return reading


def _read_before(at_work: StageAtWork, file: UploadFile) -> pd.DataFrame | None:
    """The file's rows as they rest in the upload's frame, if all that were counted are there."""
    if file.rows is None or not has_frame(at_work.settings.frames_dir, _RAW, at_work.upload):
        return None
    frame = read_frame(at_work.settings.frames_dir, _RAW, at_work.upload)
    part = frame[frame["file_no"] == file.file_no]
    return part if len(part) == file.rows else None


def _joined(parts: Sequence[_Part]) -> pd.DataFrame:
    """The raw frame: lists share their columns as `raw_frame` says, corrections come in the list's own."""
    lists = [(part.file.file_no, part.reading) for part in parts if part.frame is None and part.reading is not None]
    frames = [part.frame for part in parts if part.frame is not None]
    whole = [raw_frame(lists), *frames] if lists else frames
    if len(whole) == 1:
        return whole[0].reset_index(drop=True)
    joined = pd.concat(whole).sort_values(["file_no", "line"], kind="stable", ignore_index=True)
    return joined.fillna("")


def _said(at_work: StageAtWork, frame: pd.DataFrame) -> Settled:
    """What people said about the rows of `frame`, which holds every row that was counted."""
    files = upload_files.files_of(at_work.connection, at_work.upload)
    numbers, counts = np.unique(frame["file_no"].to_numpy(), return_counts=True)
    held = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    assert_whole(held, {file.file_no: file.rows for file in files})
    return quarantine.settled(at_work.connection, at_work.upload).among(held)


def _verdict(at_work: StageAtWork, frame: pd.DataFrame) -> ColumnVerdict:
    supplier, headers = at_work.ingestion.supplier, _columns_of(frame)
    return layouts.verdict_on(at_work.connection, at_work.policy, at_work.upload, supplier, headers)


def _columns_of(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame.columns]


def _store(at_work: StageAtWork, frame: pd.DataFrame, verdict: ColumnVerdict, result: Validated, said: Settled) -> int:
    connection, upload, balance = at_work.connection, at_work.upload, result.balance
    labels = labels_of(verdict)
    layout = [quarantine.Column(str(name), labels[str(name)]) for name in frame.columns if name not in FRAME_COLUMNS]
    with connection.transaction():
        quarantine.lock(connection, upload)
        quarantine.before_rows_are_stored(connection, upload, said)
        known = leads.save(connection, upload, occurrences(result), result.quarantined)
        quarantine.after_rows_are_stored(connection, upload, said)
        quarantine.set_layout(connection, upload, layout)
        layouts.keep(connection, upload, at_work.ingestion.supplier, _columns_of(frame), verdict)
        ingestions.set_row_balance(
            connection,
            upload,
            file=balance.file,
            accepted=balance.accepted,
            quarantined=balance.quarantined,
            duplicate=balance.duplicate,
        )
    return known


def _reading_metadata(
    parts: Sequence[_Part], frame: pd.DataFrame, verdict: ColumnVerdict, change: LayoutChange | None
) -> dict[str, Any]:
    readings = [(part.file.file_no, part.reading) for part in parts if part.reading is not None]
    rows = [
        f"| {number} | {read.format} | {read.encoding or '-'} | {_shown(read.delimiter)} | {len(read.headers)} "
        f"| {read.table.num_rows} | {read.bad.num_rows} | {read.blank_rows} |"
        for number, read in readings[:8]
    ]
    head = "| file | format | encoding | delimiter | columns | rows | set aside | blank |\n" + "|---" * 8 + "|"
    return {
        "dagster/row_count": len(frame),
        "files": dg.MetadataValue.md("\n".join([head, *rows])),
        "columns found": ", ".join(verdict.mapping.values()) or "-",
        "columns kept as attributes": len(verdict.attributes),
        "columns": verdict.message or "fit",
        "layout_changed": "no" if change is None else change.in_words,
    }


def _shown(delimiter: str | None) -> str:
    return {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}.get(delimiter or "", "-")


def _leads_metadata(result: Validated, known: int, left_out: int) -> dict[str, Any]:
    balance, frame = result.balance, result.accepted
    kinds = phone_kinds.counted(frame["phone"].to_numpy(), frame["region"].to_numpy())
    lines = [
        "| rows | count |\n|---|---|",
        f"| in the files, each once | {balance.file} |",
        f"| in the files, replaced by a correction or said again | {left_out} |",
        f"| accepted | {balance.accepted} |",
        f"| quarantined | {balance.quarantined} |",
        f"| duplicate | {balance.duplicate} |",
        f"| accepted, known from another upload | {known} |",
        f"| accepted, sharing a phone | {int(frame['shared_phone'].sum())} |",
        *(f"| accepted, phone {kind.replace('_', ' ')} | {count} |" for kind, count in kinds.items()),
        f"| accepted, without e-mail | {int((frame['email'] == '').sum())} |",
    ]
    return {"dagster/row_count": balance.accepted, "balance": dg.MetadataValue.md("\n".join(lines))}


def _quarantine_metadata(result: Validated) -> dict[str, Any]:
    lines = [f"| {code} | {count} | {WORDS.get(code, code)} |" for code, count in result.by_code.items()]
    table = "\n".join(["| first code | rows | meaning |\n|---|---|---|", *lines])
    return {"dagster/row_count": result.balance.quarantined, "by code": dg.MetadataValue.md(table)}
