"""The ingestion API's way to the record: a pool of connections, used in threads, and errors turned into answers."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio.to_thread
import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from lead_intel.errors import LeadIntelError, RejectedInput, TransientError
from lead_intel.hub.api_counting import Counting
from lead_intel.hub.api_status import status_of, upload_of
from lead_intel.hub.problems import Problem
from lead_intel.policy import Policy, PostingLimits, load_policy
from lead_intel.record import api_keys, api_storing, api_traffic, api_uploads, database
from lead_intel.record.api_keys import ApiKey
from lead_intel.record.api_uploads import InFlight, KeyReused, Posted, Taken
from lead_intel.settings import Settings, load_settings

_CONNECTIONS = 8
_POLICY_SECONDS = 5.0
_KEEP_EVERY_SECONDS = 1.0

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Record:
    """What the endpoints ask of the record. Settings are read at the first request, policy every few seconds."""

    def __init__(self) -> None:
        self.counting = Counting()
        self._settings: Settings | None = None
        self._pool: ConnectionPool | None = None
        self._opening = threading.Lock()
        self._policy: tuple[float, Policy] | None = None
        self._threads = anyio.CapacityLimiter(_CONNECTIONS)

    async def policy(self) -> Policy:
        """The policy files, at most some seconds old."""
        now = time.monotonic()
        if self._policy is None or now - self._policy[0] > _POLICY_SECONDS:
            self._policy = (now, await self._in_thread(self._read_policy))
        return self._policy[1]

    async def owner_of(self, text: str) -> ApiKey | None:
        """The key whose text this is."""
        return await self._ask(api_keys.owner_of, text)

    async def take(self, posted: Posted, limits: PostingLimits) -> Taken:
        """Commit the rows."""
        return await self._ask(api_uploads.take, posted, limits)

    async def status(self, supplier: str) -> dict[str, Any]:
        """The status resource of one supplier."""
        await self._keep()
        return await self._ask(status_of, supplier)

    async def upload(self, supplier: str, upload: str) -> dict[str, Any] | None:
        """The counts of one upload; None unless it is the supplier's."""
        return await self._ask(upload_of, supplier, upload)

    async def store(self, upload: str) -> None:
        """Put a full upload into the bucket at once. If that fails, the sensor does it."""
        try:
            await self._ask(lambda connection: api_storing.store(connection, self._known_settings(), upload))
        except (Problem, LeadIntelError):
            return
        except Exception as error:  # noqa: BLE001  # the answer is given; its text may quote a lead
            self.report(error)

    async def keep_counts(self) -> None:
        """Add what was counted to the record, each second, until cancelled."""
        while True:
            await asyncio.sleep(_KEEP_EVERY_SECONDS)
            await self._keep()

    async def close(self) -> None:
        """Keep what was counted last, and close the connections."""
        await self._keep()
        if self._pool is not None:
            await self._in_thread(self._pool.close)

    def report(self, error: Exception) -> None:
        """Say on stderr where something unforeseen happened: its type and places, never its text."""
        places = "".join(traceback.format_tb(error.__traceback__)[-6:])
        sys.stderr.write(f"Unforeseen in the ingestion API: {type(error).__name__}\n{places}")
        sys.stderr.flush()

    async def _keep(self) -> None:
        counts = self.counting.take()
        if not counts:
            return
        try:
            await self._ask(api_traffic.add, counts)
        except Problem:
            self.counting.give_back(counts)
        except Exception as error:  # noqa: BLE001  # statistics must not end the counting, nor quote anything
            self.report(error)

    async def _ask(
        self,
        question: Callable[Concatenate[psycopg.Connection, _Given], _Result],
        *given: _Given.args,
        **named: _Given.kwargs,
    ) -> _Result:
        """The answer to `question` on a connection of the pool. Raises Problem."""
        return await self._in_thread(lambda: self._answer(lambda connection: question(connection, *given, **named)))

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await anyio.to_thread.run_sync(work, limiter=self._threads)

    def _answer(self, question: Callable[[psycopg.Connection], _Result]) -> _Result:
        try:
            with self._connections().connection() as connection:
                return question(connection)
        except InFlight as error:
            raise Problem(409, error.code, error.message, {"retry-after": "1"}) from None
        except KeyReused as error:
            raise Problem(422, error.code, f"{error.message} {error.remedy}") from None
        except RejectedInput as error:
            raise Problem(422, error.code, f"{error.message} {error.remedy}") from None
        except (PoolTimeout, TransientError, psycopg.OperationalError, psycopg.InterfaceError):
            raise _unavailable() from None

    def _connections(self) -> ConnectionPool:
        with self._opening:
            if self._pool is None:
                pool = database.pool(self._known_settings(), _CONNECTIONS)
                pool.open()
                self._pool = pool
            return self._pool

    def _known_settings(self) -> Settings:
        if self._settings is None:
            try:
                self._settings = load_settings()
            except LeadIntelError:
                raise _unavailable() from None
        return self._settings

    def _read_policy(self) -> Policy:
        try:
            return load_policy(self._known_settings().lead_intel_policy_dir)
        except LeadIntelError:
            raise _unavailable() from None


def _unavailable() -> Problem:
    detail = "Leads cannot be taken at this moment; it is not known to us whether this request was. Repeat it."
    return Problem(503, "unavailable", detail, {"retry-after": "5"})
