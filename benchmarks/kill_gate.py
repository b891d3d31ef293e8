"""A TCP gate before PostgreSQL and the vendors that counts calls and commits, and kills their sender at the k-th.

It stands outside the product: nothing in the process that dies knows of it. A point is reached before its bytes go on,
so that `commit` dies uncommitted and `committed` dies without knowing that it did.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

_END = b"COMMIT\x00"
_METHODS = (b"GET /", b"POST /")


def _sent(chunk: bytes) -> list[str]:
    return ["commit"] * chunk.count(_END) + ["request"] * chunk.startswith(_METHODS)


def _received(chunk: bytes) -> list[str]:
    return ["committed"] * chunk.count(_END) + ["reply"] * chunk.startswith(b"HTTP/1.1 ")


class Gate:
    """One listening port per place; `arm` before a victim starts, `aim` once its process id is known."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.points: list[str] = []
        self._at = 0
        self._victim = 0

    def before(self, url: str) -> str:
        """`url` with the address of a new door of this gate."""
        parts = urlsplit(url)
        port = asyncio.run_coroutine_threadsafe(self._open(parts.hostname, parts.port), self._loop).result()
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{port}"))

    def arm(self, at: int) -> None:
        """Kill at the point `at` (1 = the first; 0 = never)."""
        self.points, self._at, self._victim = [], at, 0

    def aim(self, pid: int) -> None:
        """Whom to kill."""
        self._victim = pid

    async def _open(self, host: str | None, port: int | None) -> int:
        async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner_reader, inner_writer = await asyncio.open_connection(host, port)
            await asyncio.gather(
                self._pass(reader, inner_writer, _sent),
                self._pass(inner_reader, writer, _received),
                return_exceptions=True,
            )

        server = await asyncio.start_server(through, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, points: Callable[[bytes], list[str]]
    ) -> None:
        try:
            while chunk := await reader.read(65536):
                for point in points(chunk):
                    self.points.append(point)
                    if len(self.points) == self._at:
                        os.kill(self._victim, signal.SIGKILL)
                if self._at and len(self.points) >= self._at:
                    return
                writer.write(chunk)
                await writer.drain()
        finally:
            writer.close()
