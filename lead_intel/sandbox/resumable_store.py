"""Uploads under way: a row and a growing file each. What is on disk is the offset, also after a crash. No HTTP."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from lead_intel.sandbox.bucket_store import Description
from lead_intel.sandbox.memory import Memory

_LIFE_SECONDS = 24 * 3600.0
_SCHEMA = """
create table if not exists resumable_uploads(
  version text primary key, bucket text not null, name text not null, length integer not null,
  description text not null, metadata text not null, upsert integer not null, expires_at real not null,
  is_complete integer not null);
"""


@dataclass(frozen=True, slots=True)
class Resumable:
    """One upload under way, or complete."""

    version: str
    bucket: str
    name: str
    length: int
    description: Description
    metadata: str
    upsert: bool
    expires_at: float
    is_complete: bool


class ResumableStore:
    """All uploads of the project that were begun."""

    def __init__(self, home: Path, memory: Memory) -> None:
        self._memory = memory
        memory.create(_SCHEMA, "resumable_uploads")
        self._folder = home / "storage" / "resumable"
        self._folder.mkdir(parents=True, exist_ok=True)
        self.sweep()

    def sweep(self) -> None:
        """Remove bytes that no row points at."""
        known = {row["version"] for row in self._memory.rows("select version from resumable_uploads")}
        for path in self._folder.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)

    def next_expiry(self) -> float:
        """When an upload begun now expires."""
        return time.time() + _LIFE_SECONDS

    def create(self, upload: Resumable) -> None:
        """Begin with nothing."""
        self._path(upload).touch()
        described = upload.description
        self._memory.write(
            "insert into resumable_uploads values(?,?,?,?,?,?,?,?,?)",
            (
                upload.version, upload.bucket, upload.name, upload.length,
                json.dumps([described.mimetype, described.cache_control, described.user_metadata]),
                upload.metadata, upload.upsert, upload.expires_at, upload.is_complete,
            ),
        )  # fmt: skip

    def find(self, version: str) -> Resumable | None:
        """One upload."""
        row = self._memory.row("select * from resumable_uploads where version = ?", (version,))
        if row is None:
            return None
        described = Description(*json.loads(row["description"]))
        flags = {name: bool(row[name]) for name in ("upsert", "is_complete")}
        return Resumable(**{**dict(row), "description": described, **flags})

    def offset(self, upload: Resumable) -> int:
        """How many bytes are here; none when a crash came between the last byte and the object."""
        if upload.is_complete:
            return upload.length
        path = self._path(upload)
        return path.stat().st_size if path.exists() else 0

    def open(self, upload: Resumable) -> BinaryIO:
        """To append; every write is the operating system's at once, as it must survive this process."""
        return self._path(upload).open("ab", buffering=0)

    def complete(self, upload: Resumable) -> Path:
        """Mark it as whole; returns the file, which is the caller's from now on."""
        self._memory.write("update resumable_uploads set is_complete = 1 where version = ?", (upload.version,))
        return self._path(upload)

    def expire(self, upload: Resumable) -> Resumable:
        """Let its time be over."""
        self._memory.write("update resumable_uploads set expires_at = 0 where version = ?", (upload.version,))
        return replace(upload, expires_at=0.0)

    def forget(self, upload: Resumable) -> None:
        """Remove row and bytes."""
        self._memory.write("delete from resumable_uploads where version = ?", (upload.version,))
        self._path(upload).unlink(missing_ok=True)

    def _path(self, upload: Resumable) -> Path:
        return self._folder / upload.version
