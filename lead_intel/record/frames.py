"""Frames at rest: one Parquet file per asset and upload, written whole or not at all.

Also what a killed process leaves below LEAD_INTEL_HOME: half-written frames, and lists fetched to be read.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

ABANDONED_SECONDS = 3600.0
"""No list is read, and no frame written, for so long; what is older was left by a process that died."""

_COMPRESSION: Final = "zstd"
_NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*")


def frame_path(folder: Path, asset: str, upload: str) -> Path:
    """Where the frame of `asset` (slashes for key parts) and `upload` rests."""
    if not _NAME.fullmatch(asset) or not _NAME.fullmatch(upload):
        msg = f"not a frame's name: {asset!r}, {upload!r}"
        raise ValueError(msg)
    return folder / asset / f"{upload}.parquet"


def write_frame(folder: Path, asset: str, upload: str, frame: pd.DataFrame) -> Path:
    """Write to a temporary name, flush to disk, rename: a crash leaves the old frame or the new one."""
    path = frame_path(folder, asset, upload)
    with _written_whole(path) as temporary:
        frame.to_parquet(temporary, engine="pyarrow", compression=_COMPRESSION, index=False)
    return path


def write_tables(folder: Path, asset: str, upload: str, tables: Iterable[pa.Table]) -> Path:
    """As `write_frame`, from tables of one schema, one at a time in memory; at least one.

    Read back with pandas, it is the same frame.
    """
    path = frame_path(folder, asset, upload)
    first, rest = _first_and_rest(tables)
    with (
        _written_whole(path) as temporary,
        parquet.ParquetWriter(temporary, first.schema, compression=_COMPRESSION) as writer,
    ):
        for table in rest:
            writer.write_table(table)
    return path


def _first_and_rest(tables: Iterable[pa.Table]) -> tuple[pa.Table, Iterator[pa.Table]]:
    every = iter(tables)
    first = next(every)
    return first, chain([first], every)


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_frame(folder: Path, asset: str, upload: str) -> pd.DataFrame:
    """The frame as it was written. Raises FileNotFoundError when the stage has not run."""
    return pd.read_parquet(frame_path(folder, asset, upload), engine="pyarrow")


def has_frame(folder: Path, asset: str, upload: str) -> bool:
    """True when the frame rests on disk."""
    return frame_path(folder, asset, upload).exists()


def fetched_lists(home: Path) -> Path:
    """Where a list rests while it is read: a folder per upload, removed as soon as it was."""
    return home / "tmp"


def remove_abandoned(home: Path, older_than_seconds: float = ABANDONED_SECONDS) -> int:
    """Remove what dead processes left below `home` so long ago that nobody can still write it; returns how many.

    Age decides, not the process: another machine may share the home.
    """
    before = time.time() - older_than_seconds
    leftovers = [*(home / "frames").glob("**/*.tmp"), *fetched_lists(home).glob("*")]
    removed = 0
    for leftover in leftovers:
        try:
            if _last_written(leftover) >= before:
                continue
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()
        except FileNotFoundError:
            continue  # its owner, or another sweep, was faster
        removed += 1
    return removed


def _last_written(path: Path) -> float:
    return max(each.stat().st_mtime for each in (path, *path.glob("**/*")))
