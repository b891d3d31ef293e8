"""How an answer reaches the caller, and every way in which that can go wrong. Knows bytes, not vendors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lead_intel.sandbox.faults import Fault

DROP = "lead_intel.drop"
"""ASGI extension: a function that kills the connection under the request."""

_CHUNK = 256 * 1024


class DroppableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which lets a fault drop the connection (ASGI has no word for that)."""

    def on_message_begin(self) -> None:
        """Offer `DROP` to the application."""
        super().on_message_begin()
        self.scope["extensions"] = {DROP: {"abort": self.transport.abort}}


@dataclass(frozen=True, slots=True)
class FilePart:
    """`length` bytes of a file from `start`: a body that is not held in memory."""

    path: Path
    start: int
    length: int

    def read(self) -> bytes:
        """All of it."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(self.length)

    def response(self, status: int, headers: Mapping[str, str]) -> Response:
        """A streamed response; small parts are sent at once."""
        if self.length <= _CHUNK:
            return Response(self.read(), status, dict(headers))
        return StreamingResponse(self._chunks(), status, {**headers, "content-length": str(self.length)})

    async def _chunks(self) -> AsyncIterator[bytes]:
        left = self.length
        with self.path.open("rb") as file:
            file.seek(self.start)
            while left > 0:
                chunk = file.read(min(_CHUNK, left))
                if not chunk:
                    return
                left -= len(chunk)
                yield chunk


Body = bytes | FilePart


class Delivery(Response):
    """An ASGI response that the call's faults spoil: slow, trickle, truncated, drop_after, huge, black_hole."""

    def __init__(self, status: int, body: Body, headers: Mapping[str, str], faults: Mapping[str, Fault]) -> None:
        super().__init__()
        self._status = status
        self._body = body if isinstance(body, bytes) else body.read()
        self._wanted = headers
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer as the faults want it."""
        faults = self._faults
        if "black_hole" in faults:
            await _wait(receive, faults["black_hole"].number("seconds", 3600))
            return await drop(scope)
        if "slow" in faults:
            await asyncio.sleep(faults["slow"].number("seconds", 8))
        if "drop_after" in faults:
            return await drop(scope)
        body = self._body
        if "huge" in faults:
            body = _padded(body, int(faults["huge"].number("bytes", 64_000_000)))
        headers = {**self._wanted, "content-length": str(len(body))}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self._status, "headers": raw})
        if "truncated" in faults:
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            await asyncio.sleep(0.02)
            return await drop(scope)
        if "trickle" in faults:
            return await _trickle(send, body, faults["trickle"].number("seconds", 20))
        await send({"type": "http.response.body", "body": body})
        return None


def _padded(body: bytes, size: int) -> bytes:
    """`body` with `size` spaces before its last byte: JSON stays JSON."""
    return body[:-1] + b" " * max(size - len(body), 0) + body[-1:]


async def _trickle(send: Send, body: bytes, seconds: float) -> None:
    steps = max(min(len(body), int(seconds / 0.2)), 1)
    size = max(-(-len(body) // steps), 1)
    for start in range(0, len(body), size):
        await asyncio.sleep(seconds / steps)
        await send({"type": "http.response.body", "body": body[start : start + size], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _wait(receive: Receive, seconds: float) -> None:
    """Until the caller leaves, or `seconds`."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(gone(), seconds)
    except TimeoutError:
        return


async def drop(scope: Scope) -> None:
    """Kill the connection under the request."""
    extensions: dict[str, Any] = scope.get("extensions", {})
    if DROP in extensions:
        extensions[DROP]["abort"]()
        # Let the loop tell the protocol that its connection is lost, so that nothing is sent after all.
        await asyncio.sleep(0.01)
