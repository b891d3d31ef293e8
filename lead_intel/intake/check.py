"""The verdict on a file without database or network: read it, judge its columns, count what would be quarantined."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lead_intel.columns import frame_columns, judge
from lead_intel.errors import RejectedInput, UsageError
from lead_intel.intake.raw import raw_frame
from lead_intel.intake.reading import Prefers, Reading, read_list
from lead_intel.intake.table_file import write_as_read
from lead_intel.intake.validation import validate
from lead_intel.policy import Policy

NO_SUPPLIER = ""


@dataclass(frozen=True)
class CheckReport:
    """What `check` says; the JSON of interface.md, `blank_rows` and `remedy` beside it.

    `rows` counts rows with any text below the header; `quarantine` counts each row once, under its first code.
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

    def as_json(self) -> dict[str, Any]:
        """The object of `check --json`."""
        return asdict(self)


def check_file(path: Path, policy: Policy, table: Path | None = None, supplier: str = NO_SUPPLIER) -> CheckReport:
    """Read and judge the list in `path`; `table` receives it as read, all text, before any rule.

    Raises:
        UsageError: there is no such file.
    """
    if not path.is_file():
        raise UsageError("file_missing", f"There is no file {path}.", "Check the path.")
    try:
        reading = read_list(path, lead_list_headers(policy, supplier))
    except RejectedInput as error:
        return CheckReport("refused", "rejected", error.code, error.message, error.remedy)
    if table is not None:
        write_as_read(reading, table)
    return _judged(reading, policy, supplier)


def lead_list_headers(policy: Policy, supplier: str) -> Prefers:
    """Whether a sheet's headers are those of a lead list: every required column is there."""
    return lambda headers: not judge(frame_columns(headers), policy, supplier).missing


def _judged(reading: Reading, policy: Policy, supplier: str) -> CheckReport:
    frame = raw_frame([(1, reading)])
    facts: dict[str, Any] = {
        **reading.how,
        "columns": list(reading.headers),
        "rows": len(frame),
        "blank_rows": reading.blank_rows,
    }
    try:
        validated = validate(frame, judge(list(frame.columns), policy, supplier), policy, supplier)
    except RejectedInput as error:
        return CheckReport("ok", "rejected", error.code, error.message, error.remedy, **facts)
    return CheckReport("ok", "accepted", **facts, quarantine=validated.by_code)
