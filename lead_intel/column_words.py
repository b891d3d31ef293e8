"""The verdict on a list's columns, and what is wrong with them in words: code, message and remedy.

Every problem is named at once. Only names of our columns and headers that the verdict quotes are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from lead_intel.contract import REQUIRED_COLUMNS
from lead_intel.errors import RejectedInput


@dataclass(frozen=True, slots=True)
class ColumnVerdict:
    """What the headers of one list come to.

    `mapping`: column of the raw frame -> our column. `attributes`: columns of the raw frame that are none of ours.
    `suggestions`: our missing column -> headers that a person may have meant. `unfound`: our column -> what a person
    said it is called, where the list has no such header. `moved`: our column -> the header that was it in this
    supplier's list before and is here still, while another one would be it now.
    `code` is blank when the list can be processed; `message` and `remedy` then are blank too.
    """

    mapping: dict[str, str]
    attributes: tuple[str, ...]
    missing: tuple[str, ...] = ()
    ambiguous: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lookalike: dict[str, str] = field(default_factory=dict)
    suggestions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unfound: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    code: str = ""
    message: str = ""
    remedy: str = ""

    @property
    def acceptable(self) -> bool:
        """True when every required column stands for exactly one header."""
        return not self.code

    def refuse_if_unacceptable(self) -> None:
        """Raise RejectedInput with the verdict's code, message and remedy."""
        if self.code:
            raise RejectedInput(self.code, self.message, self.remedy)


class Words(NamedTuple):
    """A stable code, one sentence or more, and what to do."""

    code: str = ""
    message: str = ""
    remedy: str = ""


_WANTED = ", ".join(REQUIRED_COLUMNS)

LEAD_AS_HEADER = Words(
    "no_header",
    "The first row looks like a lead, not like column names.",
    f"Put a row with the column names ({_WANTED}) above it, or say that there is none with `--header-row 0` and which "
    "column is which with `--map phone=#1`.",
)
TITLE_AS_HEADER = Words(
    "no_header",
    "The first row that is not empty holds no column names.",
    f"Delete title rows, so that the first row names the columns ({_WANTED}), or say in which row of the file the "
    "names stand with `--header-row`.",
)
"""No header is quoted in either, for it may be a person."""


def in_words(verdict: ColumnVerdict, now: Mapping[str, str]) -> Words:
    """What is wrong, the gravest problem first; blank when nothing is. `now`: our column -> its header."""
    parts = [
        part
        for part in (
            _unfound(verdict),
            _moved(verdict, now),
            _ambiguous(verdict),
            _lookalike(verdict),
            _missing(verdict),
        )
        if part
    ]
    if not parts:
        return Words()
    codes, messages, remedies = zip(*parts, strict=True)
    return Words(codes[0], " ".join(messages), " ".join(dict.fromkeys(remedies)))


def _unfound(verdict: ColumnVerdict) -> Words | None:
    if not verdict.unfound:
        return None
    which = ", ".join(f"{ours}={header}" for ours, header in verdict.unfound.items())
    return Words(
        "map_not_found",
        f"What was said of the columns names none of this list, or not one alone: {which}.",
        "Write the header as the list does, or its place (`#3` is the third column).",
    )


def _moved(verdict: ColumnVerdict, now: Mapping[str, str]) -> Words | None:
    if not verdict.moved:
        return None
    which = "; ".join(
        f"{ours}: {header} before, {now.get(ours, 'another')} now" for ours, header in verdict.moved.items()
    )
    ours, header = next(iter(verdict.moved.items()))
    return Words(
        "layout_changed",
        f"This supplier's list has another layout than the one before, in which another column was meant by {which}.",
        f'Say which it is, for example `--map {ours}="{header}"`.',
    )


def _ambiguous(verdict: ColumnVerdict) -> Words | None:
    if not verdict.ambiguous:
        return None
    which = "; ".join(f"{ours}: {', '.join(headers)}" for ours, headers in verdict.ambiguous.items())
    ours, headers = next(iter(verdict.ambiguous.items()))
    alike = len({header.strip() for header in headers}) < len(headers)
    example = f"--map {ours}=#1` for the first column" if alike else f'--map {ours}="{headers[0]}"`'
    return Words(
        "column_ambiguous",
        f"More than one column could be meant by {which}.",
        f"Keep one of them under our name and rename or delete the other, or choose, as in `{example}.",
    )


def _lookalike(verdict: ColumnVerdict) -> Words | None:
    if not verdict.lookalike:
        return None
    which = ", ".join(verdict.lookalike.values())
    return Words(
        "column_lookalike",
        f"A column looks like {which}, but is written with letters of another alphabet.",
        f"Type the name anew: {which}.",
    )


def _missing(verdict: ColumnVerdict) -> Words | None:
    truly = [ours for ours in verdict.missing if ours not in verdict.lookalike.values() and ours not in verdict.unfound]
    if not truly:
        return None
    message = f"The list has no column for {', '.join(truly)}."
    meant = {ours: verdict.suggestions[ours] for ours in truly if ours in verdict.suggestions}
    if not meant:
        return Words(
            "column_missing",
            message,
            f"Name the columns in the first row ({', '.join(truly)}), say which they are (`--map phone=HEADER`) or on "
            "which line they stand (`--header-row N`), or add the list's own names to columns.yml.",
        )
    asked = " ".join(f"Did you mean {' or '.join(headers)} for {ours}?" for ours, headers in meant.items())
    example = " ".join(f'--map {ours}="{headers[0]}"' for ours, headers in meant.items())
    return Words("column_missing", f"{message} {asked}", f"If so, confirm it with `{example}`.")
