"""What the companion remembers between its lives: uploads under way, uploads done, digests. One small SQLite file.

It stays on this machine, readable by its owner only: it holds paths. Losing it loses nothing but time, because the
bucket itself refuses a name that is taken and tells whose bytes lie there.
"""

from __future__ import annotations

import fcntl
import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lead_intel.companion.folder import Stamp
from lead_intel.errors import UsageError

_SCHEMA = """
create table if not exists lists(
  target text not null, supplier text not null, sha256 text not null, bytes integer not null,
  object_path text not null, upload_id text, done_at text, primary key(target, supplier, sha256)) without rowid;
create table if not exists digests(
  path text primary key, size integer not null, mtime_ns integer not null, inode integer not null,
  sha256 text not null) without rowid;
"""


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload of a list: where it goes, the server's id of it, and whether it arrived."""

    object_path: str
    upload_id: str | None
    is_done: bool


class Memory:
    """The companion's memory for one bucket (`target`)."""

    def __init__(self, folder: Path, target: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / "lists.sqlite3"
        path.touch(mode=0o600)
        self._folder = folder
        self._target = hashlib.sha256(target.encode()).hexdigest()[:16]
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        # FULL: what is remembered as done must be so after the machine lost power, too.
        for pragma in ("journal_mode=wal", "synchronous=full"):
            self._connection.execute(f"pragma {pragma}")
        self._connection.executescript(_SCHEMA)

    @contextmanager
    def alone_on(self, folder: Path) -> Iterator[None]:
        """Hold the folder for this process; the lock goes with it, however it dies.

        Raises:
            UsageError: another companion of this home watches it.
        """
        name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        with (self._folder / f"{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    "already_watched", f"Another companion watches {folder}.", "End it first; one is enough."
                ) from None
            yield

    def close(self) -> None:
        """End."""
        self._connection.close()

    def find(self, supplier: str, sha256: str) -> Begun | None:
        """What became of these bytes of this supplier."""
        row = self._connection.execute(
            "select object_path, upload_id, done_at from lists where target = ? and supplier = ? and sha256 = ?",
            (self._target, supplier, sha256),
        ).fetchone()
        return None if row is None else Begun(row[0], row[1], row[2] is not None)

    def begin(self, supplier: str, sha256: str, size: int, object_path: str, upload_id: str) -> None:
        """Keep the upload's id before its first byte goes."""
        self._connection.execute(
            "insert or replace into lists values(?,?,?,?,?,?,null)",
            (self._target, supplier, sha256, size, object_path, upload_id),
        )

    def done(self, supplier: str, sha256: str, size: int, object_path: str) -> None:
        """The bytes lie in the bucket, and were read back from there."""
        self._connection.execute(
            "insert or replace into lists values(?,?,?,?,?,null,?)",
            (self._target, supplier, sha256, size, object_path, datetime.now(UTC).isoformat(timespec="seconds")),
        )

    def forget(self, supplier: str, sha256: str) -> None:
        """The upload leads nowhere: the next one begins afresh."""
        self._connection.execute(
            "delete from lists where target = ? and supplier = ? and sha256 = ?", (self._target, supplier, sha256)
        )

    def digest(self, path: Path, stamp: Stamp) -> str | None:
        """The digest of a file that has not changed since it was read."""
        row = self._connection.execute(
            "select sha256 from digests where path = ? and size = ? and mtime_ns = ? and inode = ?",
            (str(path), stamp.size, stamp.mtime_ns, stamp.inode),
        ).fetchone()
        return None if row is None else str(row[0])

    def keep_digest(self, path: Path, stamp: Stamp, sha256: str) -> None:
        """Remember what was read."""
        self._connection.execute(
            "insert or replace into digests values(?,?,?,?,?)",
            (str(path), stamp.size, stamp.mtime_ns, stamp.inode, sha256),
        )
