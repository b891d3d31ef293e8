"""The verdict on a file without database or network: read it, judge its columns, count what would be quarantined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lead_intel.columns import ColumnVerdict, frame_columns, header_fingerprint, header_of, judge
from lead_intel.errors import RejectedInput, UsageError
from lead_intel.intake import phone_kinds
from lead_intel.intake.raw import raw_frame
from lead_intel.intake.reading import Prefers, Reading, read_list
from lead_intel.intake.table_file import write_as_read
from lead_intel.intake.validation import validate
from lead_intel.policy import Policy

NO_SUPPLIER = ""


@dataclass(frozen=True)
class CheckReport:
    """What `check` says; the JSON of interface.md, and beside it `remedy`, `blank_rows` and the answer on columns.

    `rows` counts rows with any text below the header; `quarantine` counts each row once, under its first code.
    `mapping`: our column -> the list's header. `suggestions`: our missing column -> headers that may be meant.
    `layout`: the fingerprint of the headers in their order. `phones`: accepted leads whose number is no ordinary US
    one, by kind (see `phone_kinds.counted`).
    """

    read: Literal["ok", "refused"]
    verdict: Literal["accepted", "rejected"]
    code: str | None = None
    message: str | None = None
    remedy: str | None = None
    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    columns: list[str] = field(default_factory=list)
    rows: int | None = None
    blank_rows: int | None = None
    quarantine: dict[str, int] = field(default_factory=dict)
    mapping: dict[str, str] = field(default_factory=dict)
    suggestions: dict[str, list[str]] = field(default_factory=dict)
    layout: str | None = None
    phones: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The object of `check --json`."""
        return asdict(self)


def check_file(
    path: Path,
    policy: Policy,
    table: Path | None = None,
    supplier: str = NO_SUPPLIER,
    *,
    said: Mapping[str, str] | None = None,
    header_row: int | None = None,
) -> CheckReport:
    """Read and judge the list in `path`; `table` receives it as read, all text, before any rule.

    `said` and `header_row` are what a person says of its columns (see `columns.judge`, `reading.read_list`).

    Raises:
        UsageError: there is no such file.
    """
    if not path.is_file():
        raise UsageError("file_missing", f"There is no file {path}.", "Check the path.")
    try:
        reading = read_list(path, lead_list_headers(policy, supplier, said), header_row=header_row)
    except RejectedInput as error:
        return CheckReport("refused", "rejected", error.code, error.message, error.remedy)
    if table is not None:
        write_as_read(reading, table)
    return _judged(reading, policy, supplier, said)


def lead_list_headers(policy: Policy, supplier: str, said: Mapping[str, str] | None = None) -> Prefers:
    """Whether a sheet's headers are those of a lead list: every required column is there."""
    return lambda headers: not judge(frame_columns(headers), policy, supplier, said=said).missing


def _judged(reading: Reading, policy: Policy, supplier: str, said: Mapping[str, str] | None) -> CheckReport:
    frame = raw_frame([(1, reading)])
    verdict = judge(list(frame.columns), policy, supplier, said=said)
    facts: dict[str, Any] = {
        **reading.how,
        "columns": list(reading.headers),
        "rows": len(frame),
        "blank_rows": reading.blank_rows,
        **_about_columns(list(frame.columns), verdict),
    }
    try:
        validated = validate(frame, verdict, policy, supplier)
    except RejectedInput as error:
        return CheckReport("ok", "rejected", error.code, error.message, error.remedy, **facts)
    accepted = validated.accepted
    kinds = phone_kinds.counted(accepted["phone"].to_numpy(), accepted["region"].to_numpy())
    return CheckReport("ok", "accepted", **facts, quarantine=validated.by_code, phones=kinds)


def _about_columns(columns: list[str], verdict: ColumnVerdict) -> dict[str, Any]:
    return {
        "mapping": {ours: header_of(name) for name, ours in verdict.mapping.items()},
        "suggestions": {ours: list(headers) for ours, headers in verdict.suggestions.items()},
        "layout": header_fingerprint(columns),
    }
