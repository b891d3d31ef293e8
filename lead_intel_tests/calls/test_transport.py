"""One exchange against a server that answers raw bytes: caps, encodings, hosts, redirects, broken connections."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from lead_intel.calls.ports import Reply, Request
from lead_intel.calls.transport import DeadlineExceeded, Unanswered, transport
from lead_intel.errors import SetupError
from lead_intel.settings import Settings


def settings_for(url: str) -> Settings:
    return Settings(
        lead_intel_identity_key="k",
        database_url="postgresql://nobody@localhost/none",
        supabase_url="http://supabase.test",
        supabase_service_key="k",
        twilio_account_sid="AC0",
        twilio_auth_token="t",
        twilio_lookup_url=url,
        dncscrub_login_id="login",
        people_data_labs_api_key="p",
        zerobounce_api_key="z",
        trestle_api_key="tr",
        segment_write_key="w",
    )  # type: ignore[arg-type]


@asynccontextmanager
async def server(answer: bytes, seen: list[bytes] | None = None) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(head)
        writer.write(answer)
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


def http(body: bytes, *headers: str, length: bool = True) -> bytes:
    lines = ["HTTP/1.1 200 OK", *headers, *([f"Content-Length: {len(body)}"] if length else []), "Connection: close"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def exchange(answer: bytes, path: str = "/v2/x", seen: list[bytes] | None = None, **request: object) -> Reply:
    async def once() -> Reply:
        async with server(answer, seen) as url, transport(settings_for(url)) as sender:
            return await sender.send(Request("GET", url + path, **request), 2.0)  # type: ignore[arg-type]

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("encoding", "squeeze"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
def test_a_compressed_answer_is_read(encoding: str, squeeze: object) -> None:
    body = squeeze(json.dumps({"a": 1}).encode())  # type: ignore[operator]
    assert exchange(http(body, f"Content-Encoding: {encoding}")).body == {"a": 1}


def test_a_decompression_bomb_is_cut_off_without_filling_memory() -> None:
    bomb = gzip.compress(b"[" + b" " * 100_000_000 + b"]", 9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Unanswered, match="larger"):
        exchange(http(bomb, "Content-Encoding: gzip"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize(
    "answer",
    [
        http(gzip.compress(b"{}", mtime=0)[:-6], "Content-Encoding: gzip"),
        http(b"not gzip", "Content-Encoding: gzip"),
        http(b"{}", "Content-Encoding: br"),
        http(b"[" + b"1," * 2_000_000 + b"1]"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"not http at all\r\n\r\n",
        b"",
    ],
)
def test_a_broken_answer_may_have_been_billed(answer: bytes) -> None:
    with pytest.raises(Unanswered) as unanswered:
        exchange(answer)
    assert unanswered.value.sent


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[1, 2"])
def test_a_body_that_is_not_strict_json_has_no_content(body: bytes) -> None:
    assert exchange(http(body)).body is None


def test_half_a_body_without_a_length_has_no_content() -> None:
    assert exchange(http(b'{"valid": tr', length=False)).body is None


def test_the_url_goes_out_as_written_and_parameters_are_escaped() -> None:
    seen: list[bytes] = []
    exchange(http(b"{}"), "/v2/PhoneNumbers/%2B12125550123", seen, params={"phone": "+1212", "q": "a&b c/ü"})
    assert seen[0].split(b"\r\n")[0] == b"GET /v2/PhoneNumbers/%2B12125550123?phone=%2B1212&q=a%26b+c%2F%C3%BC HTTP/1.1"


def test_a_redirect_is_an_answer_not_an_order() -> None:
    reply = exchange(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.invalid/\r\nContent-Length: 0\r\n\r\n")
    assert (reply.status, reply.headers["location"]) == (302, "http://elsewhere.invalid/")


def test_a_host_that_no_setting_names_is_never_called() -> None:
    async def once() -> None:
        async with transport(settings_for("http://127.0.0.1:9")) as sender:
            await sender.send(Request("GET", "http://169.254.169.254/latest"), 2.0)

    with pytest.raises(SetupError, match="host"):
        asyncio.run(once())


def test_a_refused_connection_cannot_have_been_billed() -> None:
    async def once() -> None:
        async with transport(settings_for("http://127.0.0.1:9")) as sender:
            await sender.send(Request("GET", "http://127.0.0.1:9/v2/x"), 2.0)

    with pytest.raises(Unanswered) as unanswered:
        asyncio.run(once())
    assert not unanswered.value.sent


def test_a_broken_kept_alive_connection_does_not_send_a_paid_question_twice() -> None:
    received: list[bytes] = []

    async def once() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            received.append(await reader.readuntil(b"\r\n\r\n"))
            writer.close()

        listening = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with transport(settings_for(url)) as sender:
            await sender.send(Request("GET", f"{url}/v2/x"), 2.0)
            with pytest.raises(Unanswered):
                await sender.send(Request("GET", f"{url}/v2/x"), 2.0)
        listening.close()

    asyncio.run(once())
    assert len(received) == 2


def test_a_silent_server_costs_the_deadline_and_no_more() -> None:
    async def once() -> float:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            await asyncio.sleep(1)
            writer.close()

        listening = await asyncio.start_server(silent, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        started = asyncio.get_running_loop().time()
        async with transport(settings_for(url)) as sender:
            with pytest.raises(DeadlineExceeded):
                await sender.send(Request("GET", f"{url}/v2/x"), 0.3)
        took = asyncio.get_running_loop().time() - started
        listening.close()
        return took

    assert asyncio.run(once()) < 0.5
