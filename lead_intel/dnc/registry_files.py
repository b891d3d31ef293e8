"""Do-Not-Call lists as they are delivered -> ten-digit numbers, streamed.

Here live the layouts (fact sheet, section 2.2: `AAA,NNNNNNN`, or ten bare digits; plain or zipped) and every reason to
refuse a file. No index, no database: a list that cannot be read whole is refused, never half believed.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from lead_intel.errors import RejectedInput, UsageError

Numbers = npt.NDArray[np.int64]

_CHUNK_BYTES = 8 << 20
_LONGEST_LINE = 64
_ENCRYPTED = 0x1
"""The bit of a zip member's flags (APPNOTE 4.4.4)."""
_ZERO, _NINE, _COMMA, _NEWLINE = ord("0"), ord("9"), ord(","), ord("\n")
_LAYOUTS = {11: re.compile(rb"[2-9]\d{2},\d{7}"), 10: re.compile(rb"[2-9]\d{9}")}
_WEIGHTS = 10 ** np.arange(9, -1, -1, dtype=np.int64)
# Observed names: `2026-11-1_212_<id>.txt`. A name is a hint: it may contradict a list, it never dates one.
_NAME = re.compile(r"(?P<date>\d{4}-\d{1,2}-\d{1,2})_(?P<area_code>[2-9]\d{2})(?:_|\.)")
_ASK_AGAIN = "Download the list again and import it whole."


@dataclass(frozen=True, slots=True)
class ListFile:
    """One list: a plain file, or one member of a zip archive."""

    path: Path
    member: str | None

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.path.name if self.member is None else f"{self.path.name}: {self.member}"


def list_files(paths: Sequence[Path]) -> list[ListFile]:
    """The lists in `paths`, archives opened.

    Raises:
        UsageError: a path cannot be read.
        RejectedInput: a damaged archive, or lists whose names carry different dates.
    """
    found = [entry for path in paths for entry in _entries(path)]
    if not found:
        raise RejectedInput("dnc_list_empty", "There is no list in what was given.", _ASK_AGAIN)
    dates = {match["date"] for entry in found if (match := _NAME.search(entry.name))}
    if len(dates) > 1:
        raise RejectedInput(
            "dnc_list_mixed",
            f"The lists are of different versions: their names say {', '.join(sorted(dates))}.",
            "Import the files of one version together.",
        )
    return found


def numbers_of(entry: ListFile) -> Iterator[Numbers]:
    """The list's numbers as ten-digit int64, in pieces.

    Raises:
        RejectedInput: truncated, malformed, of mixed layouts, or holding an area code that its name denies.
    """
    hint = _NAME.search(entry.name)
    for numbers in _parsed(entry):
        if hint is not None and bool((numbers // 10**7 != int(hint["area_code"])).any()):
            raise RejectedInput(
                "dnc_list_mixed",
                f"{entry.name} holds numbers of another area code than its name says.",
                _ASK_AGAIN,
            )
        yield numbers


def _entries(path: Path) -> Iterator[ListFile]:
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as handle:
                if handle.read(2) == b"PK":
                    raise _truncated(path.name)
            yield ListFile(path, None)
            return
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield ListFile(path, info.filename)
    except OSError as error:
        raise UsageError(
            "file_unreadable", f"{path} cannot be read: {error.strerror}.", "Name the files of the list."
        ) from None
    except zipfile.BadZipFile:
        raise _truncated(path.name) from None


def _parsed(entry: ListFile) -> Iterator[Numbers]:
    lines_before, layout, rest = 0, 0, b""
    for block in _blocks(entry):
        cut = block.rfind(b"\n") + 1
        if not cut and len(rest) + len(block) > _LONGEST_LINE:
            raise _malformed(entry, lines_before + 1)
        whole, rest = rest + block[:cut], block[cut:] if cut else rest + block
        if not whole:
            continue
        layout = layout or _layout_of(entry, whole)
        if layout:
            yield _fixed_width(entry, whole, layout, lines_before)
        lines_before += whole.count(b"\n")
    if rest.strip():
        layout = layout or _layout_of(entry, rest)
        if not _LAYOUTS[layout].fullmatch(rest.strip()):
            raise _truncated(entry.name)
        yield _fixed_width(entry, rest, layout, lines_before)
    if not layout:
        raise RejectedInput("dnc_list_empty", f"{entry.name} holds no number.", _ASK_AGAIN)


def _blocks(entry: ListFile) -> Iterator[bytes]:
    try:
        if entry.member is None:
            with entry.path.open("rb") as handle:
                yield from _read(handle)
            return
        with zipfile.ZipFile(entry.path) as archive:
            if archive.getinfo(entry.member).flag_bits & _ENCRYPTED:
                raise _locked(entry.name)
            with archive.open(entry.member) as handle:
                yield from _read(handle)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise _truncated(entry.name) from None
    except NotImplementedError:  # a way of packing that zipfile does not know
        raise _locked(entry.name) from None


def _locked(name: str) -> RejectedInput:
    return RejectedInput(
        "dnc_list_locked", f"{name} is encrypted or packed in an unknown way.", "Unpack it and import the text."
    )


def _read(handle: IO[bytes]) -> Iterator[bytes]:
    first = True
    while block := handle.read(_CHUNK_BYTES):
        yield block.removeprefix(b"\xef\xbb\xbf") if first else block
        first = False


def _layout_of(entry: ListFile, chunk: bytes) -> int:
    """Line width of the layout by the first line that is not blank; 0 when all are."""
    first = chunk.lstrip()[: 2 * _LONGEST_LINE].split(b"\n", 1)[0].strip()
    if not first:
        return 0
    for width, layout in _LAYOUTS.items():
        if layout.fullmatch(first):
            return width
    raise _malformed(entry, 1)


def _fixed_width(entry: ListFile, chunk: bytes, layout: int, lines_before: int) -> Numbers:
    """All lines of `chunk` as numbers; the usual shape (every line alike) costs no Python per line."""
    numbers = _regular(chunk if chunk.endswith(b"\n") else chunk + b"\n", layout)
    if numbers is not None:
        return numbers
    lines = [line.strip() for line in chunk.split(b"\n")]
    for position, line in enumerate(lines, start=1):
        if line and not _LAYOUTS[layout].fullmatch(line):
            raise _malformed(entry, lines_before + position, mixed=_is_other_layout(line))
    tidy = b"".join(line + b"\n" for line in lines if line)
    numbers = _regular(tidy, layout)
    return np.empty(0, dtype=np.int64) if numbers is None else numbers


def _regular(chunk: bytes, layout: int) -> Numbers | None:
    ending = 2 if chunk.endswith(b"\r\n") else 1
    width = layout + ending
    if not chunk or len(chunk) % width:
        return None
    table = np.frombuffer(chunk, dtype=np.uint8).reshape(-1, width)
    digits = table[:, [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]] if layout == 11 else table[:, :10]
    regular = (
        bool((table[:, -1] == _NEWLINE).all())
        and bool(((digits >= _ZERO) & (digits <= _NINE)).all())
        and bool((digits[:, 0] >= _ZERO + 2).all())
        and (layout == 10 or bool((table[:, 3] == _COMMA).all()))
    )
    return (digits - _ZERO).astype(np.int64) @ _WEIGHTS if regular else None


def _is_other_layout(line: bytes) -> bool:
    return any(layout.fullmatch(line) for layout in _LAYOUTS.values())


def _truncated(name: str) -> RejectedInput:
    return RejectedInput("dnc_list_truncated", f"{name} is cut off.", _ASK_AGAIN)


def _malformed(entry: ListFile, line: int, *, mixed: bool = False) -> RejectedInput:
    if mixed:
        return RejectedInput(
            "dnc_list_mixed", f"{entry.name}, line {line}: the layout changes inside the list.", _ASK_AGAIN
        )
    return RejectedInput(
        "dnc_list_malformed",
        f"{entry.name}, line {line} is neither `AAA,NNNNNNN` nor ten digits.",
        "Import the registry's flat text files.",
    )
