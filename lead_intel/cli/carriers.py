"""The command for the telecom team: carrier breakouts of one upload or of all. Counts, never a number."""

from __future__ import annotations

import csv
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.table import Table

from lead_intel.cli.answers import print_json, stdout
from lead_intel.cli.house import record
from lead_intel.cli.work import Json

if TYPE_CHECKING:
    from lead_intel.record.carriers import Cut


class By(StrEnum):
    """Ways to cut the numbers."""

    brand = "brand"
    carrier = "carrier"
    line_type = "line-type"
    state = "state"
    day = "day"
    week = "week"
    supplier = "supplier"
    upload = "upload"


def add_commands(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command()(carriers)


def carriers(
    upload: Annotated[str | None, typer.Argument(help="One upload; all without it.", metavar="[UPLOAD]")] = None,
    by: Annotated[By, typer.Option(help="How to cut the numbers.")] = By.brand,
    as_json: Json = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the rows to this file.")] = None,
) -> None:
    """How many numbers each carrier brand, state, line type, day or supplier has, and how many are unknown."""
    from lead_intel.record import ingestions
    from lead_intel.record.carriers import cut

    with record(as_json=as_json) as (_, connection):
        if upload is not None:
            ingestions.find(connection, upload)
        rows = cut(connection, cast("Cut", by.name), upload)
    if csv_file is not None:
        _write(csv_file, rows)
    if as_json:
        print_json({"upload": upload, "by": by.value, "numbers": sum(row["numbers"] for row in rows), "rows": rows})
        return
    table = Table(by.value.capitalize(), "Numbers", "Share", "Line type unknown", "95 % interval")
    for row in rows:
        interval = f"{row['unknown_low']:.1%} to {row['unknown_high']:.1%}"
        table.add_row(row["key"], f"{row['numbers']:,}", f"{row['share']:.1%}", f"{row['unknown_share']:.1%}", interval)
    stdout.print(table)


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    columns = ("key", "numbers", "share", "unknown", "unknown_share", "unknown_low", "unknown_high")
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, columns)
        writer.writeheader()
        writer.writerows({**row, "key": _plain(row["key"])} for row in rows)


def _plain(text: str) -> str:
    """A carrier's name is somebody else's text: a spreadsheet must not take it for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
