"""Dagster's web UI under /dagster: passes requests and sockets on to its webserver, byte for byte.

The webserver runs with `--path-prefix /dagster` on a loopback port of its own; paths are the same on both sides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from yarl import URL

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OURS = ("date", "server", "x-frame-options")
_CONNECT_SECONDS = 2.0
_NO_STATUS_CLOSE = 1011
_MESSAGE_BYTES = 64 * 1024 * 1024


class Unreachable(Exception):
    """Dagster's webserver does not answer."""


class DagsterGate:
    """A client of one Dagster webserver; `url` without path."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._http = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
        self._ws = urlunsplit(("wss" if parts.scheme == "https" else "ws", parts.netloc, "", "", ""))
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Start; call inside the event loop that serves."""
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        )

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()

    async def pass_on(self, request: Request) -> Response:
        """The webserver's answer to `request`, streamed.

        Raises:
            Unreachable: nobody answers there.
        """
        try:
            reply = await self._client.request(
                request.method,
                _target(self._http, request.scope["raw_path"], request.scope["query_string"]),
                headers=_passed(request.headers.items(), drop=("host", "origin")),
                data=request.stream() if _has_body(request) else None,
                allow_redirects=False,
            )
        except (aiohttp.ClientConnectionError, TimeoutError):
            raise Unreachable from None
        headers = [*_passed(reply.headers.items(), drop=_OURS), ("x-frame-options", "SAMEORIGIN")]
        if "location" in reply.headers:
            headers = [(name, self._local(value) if name.lower() == "location" else value) for name, value in headers]
        response = StreamingResponse(_body(reply), reply.status)
        response.raw_headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return response

    async def join(self, socket: WebSocket) -> None:
        """Connect `socket` with the webserver's, both ways, until either side ends."""
        try:
            async with self._client.ws_connect(
                _target(self._ws, socket.scope["raw_path"], socket.scope["query_string"]),
                protocols=socket.scope["subprotocols"],
                max_msg_size=_MESSAGE_BYTES,
            ) as upstream:
                await socket.accept(upstream.protocol)
                await _both_ways(socket, upstream)
        except (aiohttp.ClientError, TimeoutError):
            await socket.close(_NO_STATUS_CLOSE)

    @property
    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise Unreachable
        return self._session

    def _local(self, location: str) -> str:
        """Redirects to the webserver's own address become redirects to ours."""
        return location.removeprefix(self._http) or "/"


async def _both_ways(socket: WebSocket, upstream: aiohttp.ClientWebSocketResponse) -> None:
    tasks = {asyncio.create_task(_to_dagster(socket, upstream)), asyncio.create_task(_to_browser(socket, upstream))}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _to_dagster(socket: WebSocket, upstream: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text, data = message.get("text"), message.get("bytes")
        if text is not None:
            await upstream.send_str(text)
        elif data is not None:
            await upstream.send_bytes(data)


async def _to_browser(socket: WebSocket, upstream: aiohttp.ClientWebSocketResponse) -> None:
    try:
        async for message in upstream:
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_text(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        await socket.close(upstream.close_code or _NO_STATUS_CLOSE)
    except WebSocketDisconnect:
        return


async def _body(reply: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in reply.content.iter_any():
            yield chunk
    finally:
        reply.close()


def _target(base: str, raw_path: bytes, query: bytes) -> URL:
    path = raw_path.decode("latin-1")
    return URL(f"{base}{path}?{query.decode('latin-1')}" if query else f"{base}{path}", encoded=True)


def _has_body(request: Request) -> bool:
    return "content-length" in request.headers or "transfer-encoding" in request.headers


def _passed(headers: Iterable[tuple[str, str]], drop: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP and name.lower() not in drop]
