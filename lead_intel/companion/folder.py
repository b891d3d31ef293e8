"""What lies in the folder, and whether it is still being written. Looks; neither reads nor changes a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from lead_intel.record.bucket import MIME, SUPPLIER

_PARTIAL = (
    ".part", ".partial", ".crdownload", ".download", ".opdownload", ".filepart", ".tmp", ".temp", ".swp", ".lock",
    ".!ut", ".aria2",
)  # fmt: skip
"""Endings that browsers, copy programs and editors give to what they have not finished."""

_PARTIAL_BEGINNINGS = (".", "~")
_NOBODYS = frozenset({"thumbs.db", "desktop.ini", "icon\r"})


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one content of a file from another, without reading it."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp in a `stat`."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the folder as it is now. `supplier` is None when its folder's name cannot be one."""

    path: Path
    supplier: str | None
    stamp: Stamp

    @property
    def is_list(self) -> bool:
        """True for the types that the bucket is told about."""
        return self.path.suffix.lower() in MIME


def is_partial(name: str) -> bool:
    """True for a file that somebody is still writing or keeps for himself."""
    lowered = name.lower()
    return lowered.startswith(_PARTIAL_BEGINNINGS) or lowered.endswith(_PARTIAL) or lowered in _NOBODYS


def scan(folder: Path, supplier: str) -> list[Found]:
    """Every file, oldest first. A file in a subfolder belongs to the supplier of that name, others to `supplier`.

    Raises:
        OSError: the folder itself cannot be read (a file that vanishes meanwhile is no error).
    """
    with os.scandir(folder) as entries:
        top = list(entries)
    found = list(_files(top, supplier))
    for entry in top:
        if _is_folder(entry):
            found += _files(_below(entry.path), _supplier(entry.name))
    return sorted(found, key=lambda one: (one.stamp.mtime_ns, str(one.path)))


def _supplier(folder_name: str) -> str | None:
    return folder_name if SUPPLIER.fullmatch(folder_name) else None


def _files(entries: list[os.DirEntry[str]], supplier: str | None) -> Iterator[Found]:
    for entry in entries:
        try:
            if entry.is_file(follow_symlinks=False) and not is_partial(entry.name):
                yield Found(Path(entry.path), supplier, Stamp.of(Path(entry.path).stat(follow_symlinks=False)))
        except OSError:
            continue


def _below(folder: str) -> list[os.DirEntry[str]]:
    """All entries at any depth; a folder that cannot be read has none."""
    try:
        with os.scandir(folder) as entries:
            here = list(entries)
    except OSError:
        return []
    return here + [entry for below in here if _is_folder(below) for entry in _below(below.path)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False) and not is_partial(entry.name)
    except OSError:
        return False


class Stillness:
    """Since when each file has not changed. Two looks decide: a copied file may carry an old time from the start."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[PurePath, tuple[Stamp, float]] = {}

    def is_still(self, found: Found, now: float) -> bool:
        """True when the file has looked the same for long enough (`now` in seconds of a steady clock)."""
        stamp, since = self._since.get(found.path, (None, now))
        if stamp != found.stamp:
            self._since[found.path] = (found.stamp, now)
            return self._seconds <= 0
        return now - since >= self._seconds

    def forget(self, path: PurePath) -> None:
        """The file turned out to be moving: begin again."""
        self._since.pop(path, None)
