"""The registry index: one file, memory-mapped, that answers "is this number listed?" for millions at once.

A bit per number, 10^7 bits per area code, kept in pages of 4 KiB; an empty page takes no room, so that a sparse list
stays small and a full one costs 1.25 MB per area code. A published file never changes: its name is its SHA-256.
An area code without a slot is not loaded, which is not the same as clean.

    magic | header length | header (JSON) | directory: int32 page number by (slot, page of slot), -1 = empty | pages
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lead_intel.errors import LeadIntelError, RejectedInput, SetupError

Bits = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

LINES = 10**7
"""Numbers of one area code: NNN-NNNN."""

_MAGIC = b"LIDNC\x00\x01\n"
_LENGTH = struct.Struct("<I")
_PAGE = 4096
_SLOT_BYTES = LINES // 8
_SLOT_PAGES = -(-_SLOT_BYTES // _PAGE)
_LINE_BITS, _PAGE_BITS = 3, 15
_AREA_CODES = 1000
_COUNTRY_CODE = 10**10


@dataclass(frozen=True, slots=True)
class Facts:
    """What an index says about itself. `area_codes` maps each area code covered to its count of numbers."""

    source: str
    jurisdiction: str
    version_date: date
    numbers: int
    area_codes: dict[int, int]


@dataclass(frozen=True, slots=True)
class Answers:
    """One flag per number asked: on the list; and whether its area code is covered at all."""

    listed: Flags
    covered: Flags


class Slots:
    """The bits of a list while it is being built: one slot per area code that occurred."""

    def __init__(self) -> None:
        self._slots: dict[int, Bits] = {}

    def add(self, numbers: npt.NDArray[np.int64]) -> None:
        """Set the bits of these ten-digit numbers; repeats do no harm."""
        if not len(numbers):
            return
        if bool((numbers[1:] < numbers[:-1]).any()):
            numbers = np.sort(numbers)
        # LINES is a multiple of 8, so a byte never spans two area codes.
        places = numbers >> _LINE_BITS
        starts = np.concatenate(([0], np.flatnonzero(np.diff(places)) + 1))
        bits = np.bitwise_or.reduceat(np.left_shift(1, numbers & 7).astype(np.uint8), starts)
        places = places[starts]
        area_codes = places // _SLOT_BYTES
        edges = np.concatenate(([0], np.flatnonzero(np.diff(area_codes)) + 1, [len(places)]))
        for begin, end in itertools.pairwise(edges.tolist()):
            slot = self._slot(int(area_codes[begin]))
            slot[places[begin:end] % _SLOT_BYTES] |= bits[begin:end]

    def _slot(self, area_code: int) -> Bits:
        if area_code not in self._slots:
            self._slots[area_code] = np.zeros(_SLOT_PAGES * _PAGE, dtype=np.uint8)
        return self._slots[area_code]

    def counts(self) -> dict[int, int]:
        """Numbers per area code."""
        return {code: int(np.bitwise_count(slot).sum()) for code, slot in sorted(self._slots.items())}

    def pages(self) -> tuple[npt.NDArray[np.int32], list[Bits]]:
        """The directory, and the pages that are not empty, in area-code order."""
        directory = np.full((len(self._slots), _SLOT_PAGES), -1, dtype=np.int32)
        kept: list[Bits] = []
        for row, (_, slot) in enumerate(sorted(self._slots.items())):
            pages = slot.reshape(_SLOT_PAGES, _PAGE)
            filled = np.flatnonzero(pages.any(axis=1))
            directory[row, filled] = np.arange(len(kept), len(kept) + len(filled), dtype=np.int32)
            kept.extend(pages[page] for page in filled)
        return directory, kept


def publish(slots: Slots, folder: Path, source: str, jurisdiction: str, version_date: date) -> tuple[str, Facts]:
    """Write the index into `folder` whole or not at all; returns its digest, which is its name, and its facts.

    Raises:
        RejectedInput: there is no number to index.
    """
    counts = slots.counts()
    facts = Facts(source, jurisdiction, version_date, sum(counts.values()), counts)
    if not facts.numbers:
        raise RejectedInput("dnc_list_empty", "The list holds no number.", "Download it again and import it whole.")
    directory, pages = slots.pages()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{os.getpid()}.tmp"
    try:
        digest = _write(temporary, _header(facts, len(pages)), directory, pages)
        temporary.replace(folder / digest)
        _flush_folder(folder)
    finally:
        temporary.unlink(missing_ok=True)
    return digest, facts


def open_verified(path: Path) -> Registry:
    """The index, after its whole content was proven once in this process: a flipped bit would read "not listed".

    Raises:
        SetupError: it is not there.
        LeadIntelError: `dnc_index_damaged`.
    """
    registry = Registry(path)
    seen = path.stat()
    _verify_once(path, seen.st_ino, seen.st_size, seen.st_mtime_ns)
    return registry


@lru_cache(maxsize=8)
def _verify_once(path: Path, *_file: int) -> None:
    """Prove the content; the file's number, size and time only tell one file from a later one of the same name."""
    if _digest_of(path) != path.name:
        raise _damaged(path)


def _digest_of(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class Registry:
    """An open index. Pages are read as they are needed and shared between processes."""

    def __init__(self, path: Path) -> None:
        """Map the index.

        Raises:
            SetupError: it is not there.
            LeadIntelError: it is not a whole index (`dnc_index_damaged`).
        """
        self.path = path
        header, start = _read_header(path)
        self.facts = _facts(header)
        slots, pages = len(self.facts.area_codes), int(header["pages"])
        directory_bytes = _padded(slots * _SLOT_PAGES * 4)
        if path.stat().st_size != start + directory_bytes + pages * _PAGE:
            raise _damaged(path)
        self._directory = np.memmap(path, dtype="<i4", mode="r", offset=start, shape=(slots, _SLOT_PAGES))
        self._bits = np.memmap(path, dtype=np.uint8, mode="r", offset=start + directory_bytes, shape=(pages * _PAGE,))
        self._slot_of = np.full(_AREA_CODES, -1, dtype=np.int64)
        self._slot_of[np.fromiter(self.facts.area_codes, dtype=np.int64)] = np.arange(slots)

    def look_up(self, phones: npt.NDArray[np.int64]) -> Answers:
        """Answers for E.164 digits, one by one in the order asked. Numbers outside the plan are not covered."""
        national = phones - _COUNTRY_CODE
        in_plan = (national >= 2 * LINES * 100) & (national < _COUNTRY_CODE)
        national = np.where(in_plan, national, 0)
        slot = np.where(in_plan, self._slot_of[national // LINES], -1)
        covered = slot >= 0
        line = national % LINES
        page = np.where(covered, self._directory[slot, line >> _PAGE_BITS], -1)
        place = np.where(page >= 0, page.astype(np.int64) * _PAGE + ((line >> _LINE_BITS) & (_PAGE - 1)), 0)
        listed = (page >= 0) & ((self._bits[place] >> (line & 7).astype(np.uint8) & 1) == 1)
        return Answers(np.asarray(listed), np.asarray(covered))

    def verify(self) -> None:
        """Read the whole file again: its digest must be its name, its bits as many as it says.

        Raises:
            LeadIntelError: `dnc_index_damaged`.
        """
        if _digest_of(self.path) != self.path.name:
            raise _damaged(self.path)
        if int(np.bitwise_count(self._bits).sum(dtype=np.int64)) != self.facts.numbers:
            raise _damaged(self.path)


def _header(facts: Facts, pages: int) -> bytes:
    content = {
        "source": facts.source,
        "jurisdiction": facts.jurisdiction,
        "version_date": facts.version_date.isoformat(),
        "numbers": facts.numbers,
        "area_codes": {str(code): count for code, count in facts.area_codes.items()},
        "pages": pages,
    }
    text = json.dumps(content, separators=(",", ":")).encode()
    return _pad(_MAGIC + _LENGTH.pack(len(text)) + text)


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    lead = len(_MAGIC) + _LENGTH.size
    try:
        with path.open("rb") as handle:
            start = handle.read(lead)
            if len(start) != lead or not start.startswith(_MAGIC):
                raise _damaged(path)
            length = _LENGTH.unpack(start[len(_MAGIC) :])[0]
            return json.loads(handle.read(length)), _padded(lead + length)
    except OSError:
        raise SetupError(
            "dnc_index_missing",
            "The index of the newest Do-Not-Call list is not on this machine.",
            "Import the list again: `lead-intel dnc import FILES --version-date DATE`.",
        ) from None
    except ValueError:
        raise _damaged(path) from None


def _facts(header: dict[str, Any]) -> Facts:
    return Facts(
        source=str(header["source"]),
        jurisdiction=str(header["jurisdiction"]),
        version_date=date.fromisoformat(header["version_date"]),
        numbers=int(header["numbers"]),
        area_codes={int(code): int(count) for code, count in header["area_codes"].items()},
    )


def _write(path: Path, header: bytes, directory: npt.NDArray[np.int32], pages: Iterable[Bits]) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as handle:
        for part in (header, _pad(directory.astype("<i4").tobytes()), *(page.tobytes() for page in pages)):
            digest.update(part)
            handle.write(part)
        handle.flush()
        os.fsync(handle.fileno())
    return digest.hexdigest()


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _padded(size: int) -> int:
    return -(-size // _PAGE) * _PAGE


def _pad(part: bytes) -> bytes:
    return part + bytes(_padded(len(part)) - len(part))


def _damaged(path: Path) -> LeadIntelError:
    return LeadIntelError(
        "dnc_index_damaged",
        f"The Do-Not-Call index {path.name[:12]} is damaged.",
        "Import the list again: `lead-intel dnc import FILES --version-date DATE`.",
    )
