"""Buckets and objects: rows in the memory, bytes on disk, visible only when complete. No HTTP.

A file of bytes is named by its version and never changes; a row points at it from the commit on. What a crash
leaves without a row is swept away at the next start.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from lead_intel.sandbox.memory import Memory

_SCHEMA = """
create table if not exists buckets(
  id text primary key, name text not null, public integer not null, file_size_limit integer,
  allowed_mime_types text, created_at text not null, updated_at text not null);
create table if not exists objects(
  bucket text not null, name text not null, id text not null, version text not null unique, etag text not null,
  size integer not null, mimetype text not null, cache_control text not null, created_at text not null,
  updated_at text not null, user_metadata text, primary key(bucket, name));
create index if not exists objects_by_update on objects(bucket, updated_at, name);
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket's configuration."""

    id: str
    public: bool
    file_size_limit: int | None
    allowed_mime_types: tuple[str, ...] | None
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as it is now."""

    bucket: str
    name: str
    id: str
    version: str
    etag: str
    size: int
    mimetype: str
    cache_control: str
    created_at: str
    updated_at: str
    user_metadata: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Description:
    """What an upload says about its bytes."""

    mimetype: str
    cache_control: str
    user_metadata: Mapping[str, Any] | None = None


class Incoming:
    """Bytes on their way in: counted, hashed, and gone unless somebody keeps them."""

    def __init__(self, folder: Path) -> None:
        self.version = str(uuid.uuid4())
        self.path = folder / self.version
        self.size = 0
        self._digest = hashlib.md5(usedforsecurity=False)
        self._file = self.path.open("wb")

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size += len(chunk)
        self._digest.update(chunk)
        self._file.write(chunk)

    @property
    def etag(self) -> str:
        """As the file backend of the real service makes it: the quoted MD5."""
        return f'"{self._digest.hexdigest()}"'

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def moved_to(self, folder: Path) -> None:
        """Close, and put the bytes where versions rest."""
        self._file.close()
        self.path.rename(folder / self.version)


class BucketStore:
    """All buckets of the project."""

    def __init__(self, home: Path, memory: Memory) -> None:
        self._memory = memory
        memory.create(_SCHEMA, "objects", "buckets")
        self._incoming, self._versions = home / "storage" / "incoming", home / "storage" / "versions"
        for folder in (self._incoming, self._versions):
            folder.mkdir(parents=True, exist_ok=True)
        self.sweep()

    def sweep(self) -> None:
        """Remove bytes that no row points at."""
        known = {row["version"] for row in self._memory.rows("select version from objects")}
        for folder in (self._incoming, self._versions):
            for path in folder.iterdir():
                if folder is self._incoming or path.name not in known:
                    path.unlink(missing_ok=True)

    def bucket(self, identity: str) -> Bucket | None:
        """One bucket."""
        row = self._memory.row("select * from buckets where id = ?", (identity,))
        return _bucket(row) if row else None

    def buckets(self) -> list[Bucket]:
        """All buckets by name."""
        return [_bucket(row) for row in self._memory.rows("select * from buckets order by id")]

    def create_bucket(self, identity: str, types: Iterable[str] | None, limit: int | None, *, public: bool) -> None:
        """Create; the caller has looked whether it exists."""
        moment = now()
        self._memory.write(
            "insert into buckets values(?,?,?,?,?,?,?)",
            (identity, identity, public, limit, None if types is None else json.dumps(list(types)), moment, moment),
        )

    def update_bucket(self, identity: str, changes: Mapping[str, Any]) -> None:
        """Change the given columns; the others stay."""
        row = self.bucket(identity)
        if row is None:
            return
        types = changes.get("allowed_mime_types", row.allowed_mime_types)
        self._memory.write(
            "update buckets set public = ?, file_size_limit = ?, allowed_mime_types = ?, updated_at = ? where id = ?",
            (
                changes.get("public", row.public),
                changes.get("file_size_limit", row.file_size_limit),
                None if types is None else json.dumps(list(types)),
                now(),
                identity,
            ),
        )

    def delete_bucket(self, identity: str) -> None:
        """Delete; the caller has looked whether it is empty."""
        self._memory.write("delete from buckets where id = ?", (identity,))

    def find(self, bucket: str, name: str) -> StoredObject | None:
        """One object."""
        row = self._memory.row("select * from objects where bucket = ? and name = ?", (bucket, name))
        return _object(row) if row else None

    def is_empty(self, bucket: str) -> bool:
        """Whether the bucket holds no object."""
        return self._memory.row("select 1 from objects where bucket = ? limit 1", (bucket,)) is None

    def select(self, bucket: str, prefix: str) -> list[StoredObject]:
        """All objects whose name starts with `prefix`, by name."""
        rows = self._memory.rows(
            "select * from objects where bucket = ? and name >= ? and substr(name, 1, ?) = ? order by name",
            (bucket, prefix, len(prefix), prefix),
        )
        return [_object(row) for row in rows]

    def page(
        self, bucket: str, prefix: str, column: str, order: str, after: tuple[str, str] | None, limit: int
    ) -> list[StoredObject]:
        """Objects by `column` and name, `asc` or `desc`, behind `after` (a value of `column`, a name)."""
        than = {"asc": ">", "desc": "<"}[order]
        behind = f"and ({column}, name) {than} (?, ?)" if after else ""
        rows = self._memory.rows(
            f"select * from objects where bucket = ? and substr(name, 1, ?) = ? {behind}"  # noqa: S608  # from a list
            f" order by {column} {order}, name {order} limit ?",
            (bucket, len(prefix), prefix, *(after or ()), limit),
        )
        return [_object(row) for row in rows]

    def incoming(self) -> Incoming:
        """A place for bytes on their way in."""
        return Incoming(self._incoming)

    def put(self, bucket: str, name: str, incoming: Incoming, described: Description) -> tuple[str, str | None]:
        """Make complete bytes the object; returns its id and the version that they replace."""
        incoming.moved_to(self._versions)
        return self._enter(bucket, name, incoming.version, incoming.etag, incoming.size, described)

    def adopt(self, bucket: str, name: str, whole: Path, described: Description) -> tuple[str, str | None]:
        """As `put`, for a file that became complete elsewhere; it is named by its version."""
        with whole.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        size, version = whole.stat().st_size, whole.name
        whole.rename(self._versions / version)
        return self._enter(bucket, name, version, f'"{digest.hexdigest()}"', size, described)

    def _enter(
        self, bucket: str, name: str, version: str, etag: str, size: int, described: Description
    ) -> tuple[str, str | None]:
        old, moment = self.find(bucket, name), now()
        identity = old.id if old else str(uuid.uuid4())
        self._memory.write(
            "insert or replace into objects values(?,?,?,?,?,?,?,?,?,?,?)",
            (
                bucket, name, identity, version, etag, size, described.mimetype,
                described.cache_control, old.created_at if old else moment, moment,
                None if described.user_metadata is None else json.dumps(dict(described.user_metadata)),
            ),
        )  # fmt: skip
        return identity, old.version if old else None

    def move(self, found: StoredObject, bucket: str, name: str) -> str:
        """Rename: a new version of the same id. Returns the version whose bytes are to be discarded."""
        version = str(uuid.uuid4())
        # A second name for the bytes: whichever of both rows survives a crash finds them.
        self.path_of(version).hardlink_to(self.path_of(found.version))
        self._memory.write(
            "update objects set bucket = ?, name = ?, version = ?, updated_at = ? where bucket = ? and name = ?",
            (bucket, name, version, now(), found.bucket, found.name),
        )
        return found.version

    def remove(self, bucket: str, names: Iterable[str]) -> list[StoredObject]:
        """Forget the rows of `names`; returns what was there (its bytes are the caller's to discard)."""
        removed = [found for name in names if (found := self.find(bucket, name))]
        self._memory.write_many(
            "delete from objects where bucket = ? and name = ?", ((found.bucket, found.name) for found in removed)
        )
        return removed

    def path_of(self, version: str) -> Path:
        """Where the bytes of a version rest."""
        return self._versions / version

    def discard(self, versions: Iterable[str | None]) -> None:
        """Delete bytes that no row points at any more."""
        for version in versions:
            if version is not None:
                self.path_of(version).unlink(missing_ok=True)


def now() -> str:
    """The moment in UTC, to the microsecond, sortable."""
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _bucket(row: Any) -> Bucket:
    types = row["allowed_mime_types"]
    return Bucket(
        row["id"],
        bool(row["public"]),
        row["file_size_limit"],
        None if types is None else tuple(json.loads(types)),
        row["created_at"],
        row["updated_at"],
    )


def _object(row: Any) -> StoredObject:
    metadata = row["user_metadata"]
    return StoredObject(**{**dict(row), "user_metadata": None if metadata is None else json.loads(metadata)})
