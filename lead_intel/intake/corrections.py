"""A corrected export comes back: which column is which, which row corrects which, and its part of the raw frame. Pure.

Rows are found by the place that the export gave them, never by where they stand in the file: a person may sort, delete
and repeat rows. What a row is, is settled once, when the file is resubmitted; every screening then applies it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lead_intel.columns import BAD_TEXT, header_key
from lead_intel.errors import RejectedInput
from lead_intel.intake.quarantine import EXPLAINING, FILE, KEYS, LINE, UPLOAD, shown, unguarded
from lead_intel.intake.raw import raw_frame
from lead_intel.intake.reading import Reading
from lead_intel.intake.settled import APPLIED, CORRECTS
from lead_intel.record.quarantine import Column, CorrectionRow, OpenRow, Outcome, Place, Settled

_LONGEST_NUMBER = 12
_EXPORT_AGAIN = "Run `lead-intel quarantine export` again and correct that file."


@dataclass(frozen=True, slots=True)
class Layout:
    """What each column of a corrected file is: places of the keys, and the raw frame's name of every other one."""

    keys: Mapping[str, int]
    columns: tuple[str | None, ...]


def is_correction(headers: Sequence[str]) -> bool:
    """Whether a sheet has the columns by which rows are found again."""
    found = {header_key(header) for header in headers}
    return {header_key(FILE), header_key(LINE)} <= found


def layout_of(headers: Sequence[str], columns: Sequence[Column]) -> Layout:
    """Match the headers of a corrected file with the export's.

    Raises:
        RejectedInput: `correction_keys` (the columns that name the rows are missing or repeated), `correction_columns`
            (columns are missing, repeated or new): nothing is guessed, and nothing lost.
    """
    names = {shown(column.label): column.name for column in columns}
    by_key = {header_key(label): label for label in (*KEYS, *EXPLAINING, *names) if header_key(label)}
    found = [_label_of(unguarded(header), by_key, names) for header in headers]
    counts = Counter(label for label in found if label)
    if counts[FILE] != 1 or counts[LINE] != 1 or counts[UPLOAD] > 1:
        raise RejectedInput(
            "correction_keys",
            f"The file does not say which rows it corrects: the columns {FILE} and {LINE} must be there once each.",
            _EXPORT_AGAIN,
        )
    problems = [
        ("lacks", [label for label in names if not counts[label]]),
        ("repeats", [label for label in names if counts[label] > 1]),
        ("adds", [header for header, label in zip(headers, found, strict=True) if label is None and header.strip()]),
    ]
    told = [f"it {verb} {', '.join(labels)}" for verb, labels in problems if labels]
    if told:
        raise RejectedInput(
            "correction_columns",
            f"The columns of the corrected file are not those of the export: {'; '.join(told)}.",
            "Keep the export's columns: delete rows at will, but neither delete nor add columns.",
        )
    keys = {label: found.index(label) for label in KEYS if label in found}
    return Layout(keys, tuple(names.get(label) if label else None for label in found))


def _label_of(header: str, by_key: Mapping[str, str], names: Mapping[str, str]) -> str | None:
    if header in names:
        return header
    return by_key.get(header_key(header))


def settle(
    reading: Reading,
    layout: Layout,
    columns: Sequence[Column],
    upload: str,
    file_no: int,
    open_rows: Iterable[OpenRow],
    said: Settled,
    accepted: Collection[Place] = (),
) -> list[CorrectionRow]:
    """What each row of a corrected file is, in the order of the file. Rows that could not be read are not among them.

    A row that says nothing new about its row is `unchanged` and leaves it where it is, so that an export may be
    corrected in several goes, and the same file resubmitted each time.

    `accepted`: places among `named_places` that are leads or repeats by now.

    Raises:
        RejectedInput: `correction_elsewhere`: the rows are those of another upload.
    """
    _refuse_if_elsewhere(reading, layout, upload)
    quarantined = {row.place: _digest(_without_reader(row.original)) for row in open_rows}
    follows = {row.of: row for row in said.corrections if row.outcome == CORRECTS and row.of is not None}
    labels = {column.name: column.label for column in columns}
    contents = _contents(reading, layout, labels)
    places = _places(reading, layout)
    ends = [None if place is None else _end(place, follows) for place in places]
    repeated = {end for end, count in Counter(ends).items() if end is not None and count > 1}
    earlier = {row.place: row.content for row in said.corrections}
    rows = []
    for line, end, content in zip(reading.lines.tolist(), ends, contents, strict=True):
        outcome = _outcome(end, content, quarantined, earlier, repeated, accepted)
        rows.append(CorrectionRow((file_no, line), outcome, end if outcome in APPLIED else None, content))
    return rows


def _outcome(
    end: Place | None,
    content: bytes,
    quarantined: Mapping[Place, bytes],
    earlier: Mapping[Place, bytes],
    repeated: set[Place],
    accepted: Collection[Place],
) -> Outcome:
    if end is None:
        return "correction_unknown"
    if end in repeated:
        return "correction_repeated"
    if end in quarantined:
        return "unchanged" if quarantined[end] == content else "corrects"
    if end in earlier:
        return "unchanged" if earlier[end] == content else "correction_closed"
    return "correction_closed" if end in accepted else "correction_unknown"


def named_places(reading: Reading, layout: Layout) -> set[Place]:
    """The rows that a corrected file speaks of, whether they are there or not."""
    return {place for place in _places(reading, layout) if place is not None}


def _places(reading: Reading, layout: Layout) -> list[Place | None]:
    return [_place(file, line) for file, line in zip(*_key_cells(reading, layout), strict=True)]


def _end(place: Place, follows: Mapping[Place, CorrectionRow]) -> Place:
    """The row that stands for `place` now: its correction's correction, and so on."""
    while place in follows:
        place = follows[place].place
    return place


def _refuse_if_elsewhere(reading: Reading, layout: Layout, upload: str) -> None:
    if UPLOAD not in layout.keys:
        return
    named = pc.utf8_trim_whitespace(reading.table.column(layout.keys[UPLOAD]))
    if pc.any(pc.invert(pc.is_in(named, pa.array([upload, ""], named.type)))).as_py():
        raise RejectedInput(
            "correction_elsewhere",
            f"The file holds rows that were exported from another upload than {upload}.",
            "Resubmit each export to the upload that it came from.",
        )


def _key_cells(reading: Reading, layout: Layout) -> tuple[list[str], list[str]]:
    file, line = (reading.table.column(layout.keys[key]).to_pylist() for key in (FILE, LINE))
    return file, line


def _place(file: str, line: str) -> Place | None:
    numbers = [unguarded(cell.strip()).removesuffix(".0") for cell in (file, line)]
    if not all(number.isascii() and number.isdecimal() and len(number) < _LONGEST_NUMBER for number in numbers):
        return None
    return int(numbers[0]), int(numbers[1])


def _contents(reading: Reading, layout: Layout, labels: Mapping[str, str]) -> list[bytes]:
    names = [(place, labels[name]) for place, name in enumerate(layout.columns) if name is not None]
    columns = [_plain(reading.table.column(place)).to_pylist() for place, _ in names]
    if not columns:
        return [_digest({})] * reading.table.num_rows
    keys = [label for _, label in names]
    return [_digest(dict(zip(keys, cells, strict=True))) for cells in zip(*columns, strict=True)]


def _without_reader(original: Mapping[str, str]) -> dict[str, str]:
    return {label: text for label, text in original.items() if label != BAD_TEXT}


def _digest(cells: Mapping[str, str]) -> bytes:
    said = {label: text.strip() for label, text in cells.items() if text.strip()}
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).digest()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cells without the apostrophe of the export."""
    return pc.replace_substring_regex(column, r"\A'", "")


def correction_frame(file_no: int, reading: Reading, columns: Sequence[str | None]) -> pd.DataFrame:
    """The raw frame's part of a corrected file: its rows in the columns of the list, as `raw.raw_frame` makes them."""
    kept = [(place, name) for place, name in enumerate(columns) if name is not None]
    neutral = [f"c{place}" for place, _ in kept]
    table = pa.table([_plain(reading.table.column(place)) for place, _ in kept], names=neutral)
    bare = replace(reading, headers=tuple(neutral), table=table, batches=table.to_batches)
    return raw_frame([(file_no, bare)]).rename(columns=dict(zip(neutral, (name for _, name in kept), strict=True)))
