"""A vendor gone wrong in every way that a socket allows: raw bytes, no HTTP library. One port for each fault."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing.connection import Connection

_BOMB = gzip.compress(b"[" + b" " * 200_000_000 + b"]", 9)
_HTML = b"<!DOCTYPE html><html><body>Please log in to the network</body></html>"
_STALL_SECONDS = 60.0


def _head(length: int, *headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {length}", *headers, "", ""]).encode()


async def _drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    """A byte each quarter of a second: no single read ever waits long."""
    for byte in data:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.25)


async def trickled_body(writer: asyncio.StreamWriter) -> None:
    writer.write(_head(400, "Content-Type: application/json"))
    await _drip(writer, b"{" + b" " * 398 + b"}")


async def trickled_headers(writer: asyncio.StreamWriter) -> None:
    await _drip(writer, _head(2, *(f"X-{n}: slow" for n in range(40))))


async def black_hole(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(_STALL_SECONDS)


async def slow_reply(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(8)
    writer.write(_head(2) + b"{}")


async def huge_body(writer: asyncio.StreamWriter) -> None:
    writer.write(_head(2**40, "Content-Type: application/json"))
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


async def compressed_bomb(writer: asyncio.StreamWriter) -> None:
    writer.write(_head(len(_BOMB), "Content-Encoding: gzip") + _BOMB)
    await writer.drain()


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def wrong_content(writer: asyncio.StreamWriter) -> None:
    writer.write(_head(len(_HTML), "Content-Type: text/html") + _HTML)
    await writer.drain()


async def tls_stalls(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(_STALL_SECONDS)


async def tls_trickles(writer: asyncio.StreamWriter) -> None:
    """The head of a ServerHello record, and then its body byte by byte."""
    await _drip(writer, b"\x16\x03\x03\x10\x00" + b"\x02" + b"\x00" * 400)


FAULTS: dict[str, Callable[[asyncio.StreamWriter], Awaitable[None]]] = {
    fault.__name__: fault
    for fault in (
        trickled_body, trickled_headers, black_hole, slow_reply, huge_body, compressed_bomb, reset, wrong_content,
        tls_stalls, tls_trickles,
    )
}  # fmt: skip


def serve(ports: Connection) -> None:
    """Tell the ports, then serve until killed."""

    async def everything() -> None:
        told = {}
        for name, fault in FAULTS.items():

            async def handle(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                fault: Callable[[asyncio.StreamWriter], Awaitable[None]] = fault,
            ) -> None:
                with suppress(ConnectionError, asyncio.IncompleteReadError):
                    await reader.read(4096)
                    await fault(writer)
                writer.close()

            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            told[name] = server.sockets[0].getsockname()[1]
        ports.send(told)
        await asyncio.Event().wait()

    asyncio.run(everything())
