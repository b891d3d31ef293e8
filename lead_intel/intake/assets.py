"""Intake's Dagster face: the list as read, then its leads and its quarantined rows. Adapters only."""

# Without `from __future__ import annotations`: Dagster reads the annotation of `context` as an object.

import shutil
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import dagster as dg
import pandas as pd

from lead_intel.columns import ColumnVerdict
from lead_intel.contract import DuplicateRows, QuarantinedRows, RawUpload, ValidLeads, checked
from lead_intel.intake import phone_kinds
from lead_intel.intake.check import lead_list_headers
from lead_intel.intake.raw import raw_frame
from lead_intel.intake.reading import Reading, read_list
from lead_intel.intake.tables import ROW_CODES
from lead_intel.intake.validation import CODES, Validated, occurrences, validate
from lead_intel.layouts import LayoutChange
from lead_intel.partition import UPLOADS
from lead_intel.record import ingestions, layouts, leads, upload_files
from lead_intel.record.bucket import fetch_object
from lead_intel.record.frames import fetched_lists, remove_abandoned
from lead_intel.stage import StageAtWork, stage_of
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import State

_STAGE = "validation"
_WORDS = CODES | ROW_CODES


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
        readings = list(_read_files(at_work))
        frame = checked(raw_frame(readings), RawUpload)
        verdict = _verdict(at_work, frame)
        ingestions.set_mapping(at_work.connection, at_work.upload, verdict.mapping)
        change = layouts.note(
            at_work.connection, at_work.upload, at_work.ingestion.supplier, _columns_of(frame), verdict
        )
        at_work.progress(len(frame), len(frame))
        return dg.Output(frame, metadata=_reading_metadata(readings, frame, verdict, change))


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
        verdict = _verdict(at_work, raw_upload)
        ingestion = at_work.ingestion
        received = ingestion.created_at.astimezone(UTC).date()
        result = validate(raw_upload, verdict, at_work.policy, ingestion.supplier, received=received)
        accepted = checked(result.accepted, ValidLeads)
        quarantined = checked(result.quarantined, QuarantinedRows)
        checked(result.duplicates, DuplicateRows)
        at_work.stop_if_asked()
        known = _store(at_work, raw_upload, verdict, result)
        yield dg.Output(accepted, "valid_leads", metadata=_leads_metadata(result, known))
        yield dg.Output(quarantined, "quarantined_rows", metadata=_quarantine_metadata(result))


def _read_files(at_work: StageAtWork) -> Iterator[tuple[int, Reading]]:
    """Fetch and read the upload's files. The folder is the upload's own: a killed run's remains go with the next."""
    home = at_work.settings.lead_intel_home
    remove_abandoned(home)
    folder = fetched_lists(home) / at_work.upload
    said = layouts.said_of(at_work.connection, at_work.upload)
    prefers = lead_list_headers(at_work.policy, at_work.ingestion.supplier, said.columns)
    for file in upload_files.files_of(at_work.connection, at_work.upload):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        try:
            fetch_object(at_work.settings, file, folder / "list")
            at_work.stop_if_asked()
            # What a person said of the header holds for the list, not for corrections and batches that follow it.
            header_row = said.header_row if file.kind == "list" else None
            reading = read_list(folder / "list", prefers, folder, header_row)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        upload_files.set_file_reading(at_work.connection, at_work.upload, file.file_no, reading.how)
        yield file.file_no, reading


def _verdict(at_work: StageAtWork, frame: pd.DataFrame) -> ColumnVerdict:
    supplier, headers = at_work.ingestion.supplier, _columns_of(frame)
    return layouts.verdict_on(at_work.connection, at_work.policy, at_work.upload, supplier, headers)


def _columns_of(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame.columns]


def _store(at_work: StageAtWork, frame: pd.DataFrame, verdict: ColumnVerdict, result: Validated) -> int:
    connection, upload, balance = at_work.connection, at_work.upload, result.balance
    with connection.transaction():
        known = leads.save(connection, upload, occurrences(result), result.quarantined)
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
    readings: list[tuple[int, Reading]], frame: pd.DataFrame, verdict: ColumnVerdict, change: LayoutChange | None
) -> dict[str, Any]:
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


def _leads_metadata(result: Validated, known: int) -> dict[str, Any]:
    balance, frame = result.balance, result.accepted
    kinds = phone_kinds.counted(frame["phone"].to_numpy(), frame["region"].to_numpy())
    lines = [
        "| rows | count |\n|---|---|",
        f"| in the files | {balance.file} |",
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
    lines = [f"| {code} | {count} | {_WORDS[code]} |" for code, count in result.by_code.items()]
    table = "\n".join(["| first code | rows | meaning |\n|---|---|---|", *lines])
    return {"dagster/row_count": result.balance.quarantined, "by code": dg.MetadataValue.md(table)}
