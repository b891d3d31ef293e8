"""How the layout of a supplier's list differs from the layout before. Pure: no file, no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lead_intel.columns import FRAME_COLUMNS, ColumnVerdict, column_keys, frame_columns, header_of
from lead_intel.suggestions import closest


@dataclass(frozen=True, slots=True)
class Layout:
    """One layout in which a supplier delivered: its headers in order, and `column_keys` -> our column."""

    headers: tuple[str, ...]
    mapping: dict[str, str]


@dataclass(frozen=True, slots=True)
class LayoutChange:
    """What changed since the list before.

    `added`, `removed`: headers. `renamed`: header before -> a new one that resembles it, a guess for the reader's eye.
    `reordered`: headers that both lists have stand in another order. `meaning`: our column -> [its header before, its
    header now], blank for none.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: dict[str, str]
    reordered: bool
    meaning: dict[str, tuple[str, str]]

    def as_json(self) -> dict[str, Any]:
        """For the record and `--json`."""
        return asdict(self)

    @property
    def in_words(self) -> str:
        """One line without any header: for logs and metadata."""
        parts = [
            f"{len(self.added)} columns added" if self.added else "",
            f"{len(self.removed)} removed" if self.removed else "",
            "order changed" if self.reordered else "",
            f"another column is now {', '.join(self.meaning)}" if self.meaning else "",
        ]
        return "; ".join(part for part in parts if part) or "headers written otherwise"


def layout_of(columns: Sequence[str], verdict: ColumnVerdict) -> Layout:
    """The layout of a list from its frame's columns, as it was mapped."""
    keys = column_keys(columns)
    headers = tuple(header_of(name) for name in columns if name not in FRAME_COLUMNS)
    return Layout(headers, {keys[name]: ours for name, ours in verdict.mapping.items()})


def changed(former: Layout, present: Layout) -> LayoutChange:
    """The differences between two layouts of one supplier."""
    before, now = _by_key(former), _by_key(present)
    added = [key for key in now if key not in before]
    removed = [key for key in before if key not in now]
    kept = [key for key in before if key in now]
    return LayoutChange(
        added=tuple(now[key] for key in added),
        removed=tuple(before[key] for key in removed),
        renamed=_renamed([before[key] for key in removed], [now[key] for key in added]),
        reordered=kept != [key for key in now if key in before],
        meaning=_other_meaning(former, present),
    )


def _by_key(layout: Layout) -> dict[str, str]:
    """What a column is remembered by -> its header, in order."""
    return {key: header_of(name) for name, key in column_keys(frame_columns(layout.headers)).items()}


def _renamed(removed: Sequence[str], added: Sequence[str]) -> dict[str, str]:
    likely = closest({header: [header] for header in removed}, added)
    return {header: names[0] for header, names in likely.items()}


def _other_meaning(former: Layout, present: Layout) -> dict[str, tuple[str, str]]:
    before, now = _headers_of_ours(former), _headers_of_ours(present)
    return {
        ours: (header, now.get(ours, ("", ""))[1])
        for ours, (key, header) in before.items()
        if now.get(ours, ("", ""))[0] != key
    }


def _headers_of_ours(layout: Layout) -> Mapping[str, tuple[str, str]]:
    written = _by_key(layout)
    return {ours: (key, written.get(key, "")) for key, ours in layout.mapping.items() if ours}
