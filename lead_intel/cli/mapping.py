"""What a person says of a list's columns on the command line: `--map` and `--header-row`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lead_intel.columns import KNOWN_COLUMNS
from lead_intel.errors import UsageError

if TYPE_CHECKING:
    from lead_intel.record.layouts import Said

Mapped = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="COLUMN=HEADER",
        help='Which of the list\'s columns is which of ours, for example phone="Cell Number"; #3 is the third column, '
        "nothing after the = says that the list has none. Once for each column.",
    ),
]
HeaderRow = Annotated[
    int | None,
    typer.Option(min=0, help="The line of the file on which the column names stand; 0 when there are none."),
]


def said_of(mapped: Sequence[str] | None) -> dict[str, str]:
    """Our column -> header, from the `--map` options.

    Raises:
        UsageError: an option is not COLUMN=HEADER, names none of our columns, or one twice.
    """
    said: dict[str, str] = {}
    for option in mapped or ():
        ours, equals, header = option.partition("=")
        ours = ours.strip().lower()
        if not equals or ours not in KNOWN_COLUMNS:
            raise UsageError(
                "map_option",
                "--map wants COLUMN=HEADER.",
                f"COLUMN is one of {', '.join(KNOWN_COLUMNS)}.",
            )
        if ours in said:
            raise UsageError("map_option", f"--map names {ours} twice.", "Say it once.")
        said[ours] = header.strip()
    return said


def columns_said(mapped: Sequence[str] | None, header_row: int | None) -> Said | None:
    """What a person says of the columns of a list that is received; None when nothing."""
    from lead_intel.record.layouts import Said

    said = Said(said_of(mapped), header_row)
    return said if said != Said() else None
