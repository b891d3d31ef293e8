"""Frames at rest: one Parquet file per asset and upload, written whole or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

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
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        frame.to_parquet(temporary, engine="pyarrow", compression="zstd", index=False)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_frame(folder: Path, asset: str, upload: str) -> pd.DataFrame:
    """The frame as it was written. Raises FileNotFoundError when the stage has not run."""
    return pd.read_parquet(frame_path(folder, asset, upload), engine="pyarrow")


def has_frame(folder: Path, asset: str, upload: str) -> bool:
    """True when the frame rests on disk."""
    return frame_path(folder, asset, upload).exists()
