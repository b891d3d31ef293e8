"""Supabase Realtime: the official client, both wire versions, publishing over HTTP, and its silences."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from supabase import AsyncClient, acreate_client
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lead_intel.sandbox import settings as keys
from lead_intel.sandbox.client import Control

TOPIC = "lead-ingestion"
WAIT = 5


def socket_url(vendor: dict[str, str], version: str, key: str | None = None) -> str:
    base = vendor["SUPABASE_URL"].replace("http://", "ws://")
    return f"{base}/realtime/v1/websocket?apikey={key or vendor['SUPABASE_SERVICE_KEY']}&vsn={version}"


def publish(vendor: dict[str, str], message: Any, key: str | None = None) -> httpx.Response:
    headers = {"apikey": key or vendor["SUPABASE_SERVICE_KEY"]}
    url = f"{vendor['SUPABASE_URL']}/realtime/v1/api/broadcast"
    return httpx.post(url, headers=headers, json={"messages": [message]})


def message(payload: Any = None, **more: Any) -> dict[str, Any]:
    return {"topic": TOPIC, "event": "progress", "payload": {"n": 1} if payload is None else payload, **more}


async def next_of(queue: asyncio.Queue[Any]) -> Any:
    return await asyncio.wait_for(queue.get(), WAIT)


async def joined(
    client: AsyncClient, *, own: bool = False, private: bool = False
) -> tuple[Any, asyncio.Queue[dict[str, Any]]]:
    got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    states: asyncio.Queue[str] = asyncio.Queue()
    config = {"broadcast": {"self": own, "ack": True}, "presence": None, "private": private}
    channel = client.channel(TOPIC, {"config": config})
    channel.on_broadcast("progress", got.put_nowait)
    await channel.subscribe(lambda state, error: states.put_nowait(str(state)))
    assert "SUBSCRIBED" in await next_of(states)
    return channel, got


def test_the_official_client_sends_and_receives(vendor: dict[str, str], control: Control) -> None:
    async def talk() -> None:
        sender = await acreate_client(vendor["SUPABASE_URL"], vendor["SUPABASE_SERVICE_KEY"])
        listener = await acreate_client(vendor["SUPABASE_URL"], vendor["SUPABASE_SERVICE_KEY"])
        talking, echoed = await joined(sender, own=True)
        _, heard = await joined(listener)
        await talking.send_broadcast("progress", {"n": 1})
        assert (await next_of(heard))["payload"] == {"n": 1}
        assert (await next_of(echoed))["payload"] == {"n": 1}
        await talking.http_send("progress", {"n": 2})
        assert (await next_of(heard))["payload"] == {"n": 2}
        await listener.remove_all_channels()
        await sender.remove_all_channels()

    asyncio.run(talk())
    operations = [call["operation"] for call in control.calls("supabase_realtime")]
    assert operations.count("connect") == 2
    assert operations.count("broadcast") == 2


def test_a_message_published_over_http_is_202_and_heard(vendor: dict[str, str], control: Control) -> None:
    async def talk() -> None:
        client = await acreate_client(vendor["SUPABASE_URL"], vendor["SUPABASE_SERVICE_KEY"])
        _, heard = await joined(client)
        answer = await asyncio.to_thread(publish, vendor, message({"upload": "u", "done": 3}))
        assert (answer.status_code, answer.content) == (202, b"")
        assert await next_of(heard) == {"event": "progress", "payload": {"upload": "u", "done": 3}}
        await client.remove_all_channels()

    asyncio.run(talk())
    (call,) = [call for call in control.calls("supabase_realtime") if call["operation"] == "broadcast"]
    assert call["note"]["messages"][0]["payload"] == {"upload": "u", "done": 3}


def test_what_publishing_refuses(vendor: dict[str, str]) -> None:
    assert publish(vendor, message(), key="wrong").status_code == 401
    for wrong in (
        message("text"),
        message([1]),
        {**message(), "topic": ""},
        "no message",
        message({"x": "y" * 300_000}),
    ):
        assert publish(vendor, wrong).status_code == 422
    url = f"{vendor['SUPABASE_URL']}/realtime/v1/api/broadcast"
    headers = {"apikey": vendor["SUPABASE_SERVICE_KEY"]}
    assert httpx.post(url, headers=headers, content=b"{").status_code == 422


def test_private_and_public_channels_of_one_name_are_two(vendor: dict[str, str]) -> None:
    async def talk() -> None:
        client = await acreate_client(vendor["SUPABASE_URL"], vendor["SUPABASE_SERVICE_KEY"])
        _, heard = await joined(client, private=True)
        # Accepted, and for nobody here: the public channel, and a sender without a policy.
        assert (await asyncio.to_thread(publish, vendor, message({"n": 1}))).status_code == 202
        silent = await asyncio.to_thread(publish, vendor, message({"n": 2}, private=True), keys.SUPABASE_ANON_KEY)
        assert silent.status_code == 202
        await asyncio.to_thread(publish, vendor, message({"n": 3}, private=True))
        assert (await next_of(heard))["payload"] == {"n": 3}
        await client.remove_all_channels()

    asyncio.run(talk())


async def exchange(socket: ClientConnection, frame: Any) -> Any:
    await socket.send(json.dumps(frame))
    return json.loads(await asyncio.wait_for(socket.recv(), WAIT))


def test_version_1_frames(vendor: dict[str, str]) -> None:
    topic = f"realtime:{TOPIC}"

    async def talk() -> None:
        async with connect(socket_url(vendor, "1.0.0")) as socket:
            beat = await exchange(socket, {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": None})
            assert beat == {
                "topic": "phoenix", "event": "phx_reply", "payload": {"status": "ok", "response": {}}, "ref": None,
            }  # fmt: skip
            push = {"topic": topic, "event": "broadcast", "payload": {"event": "e", "payload": {}}, "ref": "1"}
            assert (await exchange(socket, push))["payload"]["status"] == "error"
            join = {
                "topic": topic,
                "event": "phx_join",
                "payload": {"config": {"broadcast": {"self": True}}},
                "ref": "2",
            }
            assert (await exchange(socket, join))["payload"] == {"status": "ok", "response": {"postgres_changes": []}}
            await socket.send("no frame at all")
            push["payload"] = {"type": "broadcast", "event": "progress", "payload": {"n": 1}}
            assert await exchange(socket, push) == {
                "topic": topic, "event": "broadcast", "payload": push["payload"], "ref": None,
            }  # fmt: skip
            leave = {"topic": topic, "event": "phx_leave", "payload": {}, "ref": "3"}
            assert (await exchange(socket, leave))["payload"]["status"] == "ok"
            assert json.loads(await socket.recv())["event"] == "phx_close"

    asyncio.run(talk())


def binary_push(topic: str, event: str, body: bytes, encoding: int) -> bytes:
    texts = [text.encode() for text in ("1", "7", topic, event, "")]
    return bytes([3, *map(len, texts), encoding]) + b"".join(texts) + body


def read_binary_broadcast(data: bytes) -> tuple[str, str, int, bytes]:
    kind, topic, event, metadata, encoding = data[:5]
    assert kind == 4
    start = 5 + topic
    return (
        data[5:start].decode(), data[start : start + event].decode(), encoding, data[start + event + metadata :],
    )  # fmt: skip


def test_version_2_frames_are_arrays_and_binary_broadcasts(vendor: dict[str, str]) -> None:
    topic = f"realtime:{TOPIC}"
    config = {"config": {"broadcast": {"self": True, "ack": True}, "presence": {"enabled": True}}}

    async def talk() -> None:
        async with connect(socket_url(vendor, "2.0.0")) as socket:
            join = await exchange(socket, ["1", "5", topic, "phx_join", config])
            assert join == ["1", "5", topic, "phx_reply", {"status": "ok", "response": {"postgres_changes": []}}]
            assert json.loads(await socket.recv())[3] == "presence_state"
            await socket.send(binary_push(topic, "progress", b'{"n":1}', 1))
            assert read_binary_broadcast(await socket.recv()) == (topic, "progress", 1, b'{"n": 1}')
            assert json.loads(await socket.recv())[:4] == ["1", "7", topic, "phx_reply"]
            await socket.send(binary_push(topic, "bytes", b"\x00\x01\xff", 0))
            assert read_binary_broadcast(await socket.recv()) == (topic, "bytes", 0, b"\x00\x01\xff")

    asyncio.run(talk())


def test_a_socket_without_a_key_of_the_project_is_refused(vendor: dict[str, str], control: Control) -> None:
    async def knock() -> None:
        with pytest.raises(InvalidStatus):
            await connect(socket_url(vendor, "1.0.0", key="wrong"))

    asyncio.run(knock())
    assert control.calls("supabase_realtime")[0]["status"] == 403


def test_an_anonymous_listener_may_not_join_a_private_channel(vendor: dict[str, str]) -> None:
    async def knock() -> None:
        async with connect(socket_url(vendor, "1.0.0", keys.SUPABASE_ANON_KEY)) as socket:
            join = {"topic": "realtime:x", "event": "phx_join", "payload": {"config": {"private": True}}, "ref": "1"}
            reply = (await exchange(socket, join))["payload"]
            assert reply["status"] == "error"
            assert reply["response"]["reason"].startswith("Unauthorized: ")

    asyncio.run(knock())


def test_the_faults_of_the_channel(vendor: dict[str, str], control: Control) -> None:
    heartbeat = json.dumps({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"})
    join = {"topic": "realtime:x", "event": "phx_join", "payload": {"config": {}}, "ref": "1"}

    async def talk() -> None:
        async with connect(socket_url(vendor, "1.0.0")) as socket:
            await asyncio.to_thread(control.fault, "supabase_realtime", "hung")
            await socket.send(heartbeat)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.3)
            await asyncio.to_thread(control.clear_fault, "supabase_realtime")
            await asyncio.to_thread(control.fault, "supabase_realtime", "reject_join")
            assert (await exchange(socket, join))["payload"]["status"] == "error"
            await asyncio.to_thread(control.clear_fault, "supabase_realtime")
            assert (await exchange(socket, join))["payload"]["status"] == "ok"
            await asyncio.to_thread(control.fault, "supabase_realtime", "loses")
            assert (await asyncio.to_thread(publish, vendor, message(topic="x"))).status_code == 202
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.3)
            await asyncio.to_thread(control.fault, "supabase_realtime", "hang_up")
            await socket.send(heartbeat)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), WAIT)

    asyncio.run(talk())
