"""The sandbox's one SQLite file: opened, locked, written in groups. What the tables mean is their modules' affair.

Statements run at once inside an open transaction; `committed` ends it. All calls that are answered in one turn
of the event loop share one commit, so that thousands of answers a second are each durable before they leave.
"""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class HomeInUse(Exception):
    """Another sandbox runs on this home."""

    def __init__(self, home: Path) -> None:
        super().__init__(f"another sandbox runs on {home}")


class Memory:
    """One connection, used from the event loop's thread only."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._lock = (home / "sandbox.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeInUse(home) from None
        self._connection = sqlite3.connect(home / "sandbox.sqlite3", isolation_level=None, timeout=10)
        self._connection.row_factory = sqlite3.Row
        # NORMAL under WAL: a commit survives the death of the process, if not of the machine.
        for pragma in ("journal_mode=wal", "synchronous=normal", "temp_store=memory", "cache_size=-65536"):
            self._connection.execute(f"pragma {pragma}")
        self._waiting: asyncio.Future[None] | None = None
        self._tables: list[str] = []

    def create(self, schema: str, *tables: str) -> None:
        """Run `schema` (`create ... if not exists`); `tables` are emptied by `wipe`."""
        self._connection.executescript(schema)
        self._tables.extend(tables)

    def write(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one writing statement in the open transaction."""
        self._begin()
        return self._connection.execute(statement, values)

    def write_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one writing statement for many rows in the open transaction."""
        self._begin()
        self._connection.executemany(statement, rows)

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query; it sees what the open transaction wrote."""
        return self._connection.execute(query, values).fetchall()

    def row(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        row: sqlite3.Row | None = self._connection.execute(query, values).fetchone()
        return row

    async def committed(self) -> None:
        """Return when everything written so far is durable."""
        if not self._connection.in_transaction:
            return
        if self._waiting is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            loop.call_soon(self._commit_group)
        await asyncio.shield(self._waiting)

    def commit(self) -> None:
        """End the open transaction now (start-up and control calls)."""
        if self._connection.in_transaction:
            self._connection.execute("commit")

    def wipe(self) -> None:
        """Empty every table."""
        for table in self._tables:
            self.write(f"delete from {table}")  # noqa: S608  # table names are constants of this program
        self.commit()

    def close(self) -> None:
        """Commit and close; the lock on the home goes with it."""
        self.commit()
        self._connection.close()
        self._lock.close()

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("begin immediate")

    def _commit_group(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        try:
            self.commit()
        except sqlite3.Error as error:
            waiting.set_exception(error)
        else:
            waiting.set_result(None)
