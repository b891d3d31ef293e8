"""Supabase Realtime's broadcast: channels over WebSocket, and publishing over HTTP. Delivery is not guaranteed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from lead_intel.sandbox.faults import REFUSALS, Fault
from lead_intel.sandbox.ledger import Entry
from lead_intel.sandbox.realtime_frames import BadFrame, Frame, read_binary, read_text, written
from lead_intel.sandbox.service import Answer, Call, Refused, Service, as_json, retry_after
from lead_intel.sandbox.supabase_project import SERVICE_ROLE, role_of
from lead_intel.sandbox.tokens import BadToken

_PAYLOAD_BYTES = 256 * 1024
_WAITING_FRAMES = 10_000


@dataclass(eq=False, slots=True)
class Socket:
    """One client: the channels that it joined, and the frames that wait for it."""

    websocket: WebSocket
    version: str
    role: str
    joined: dict[str, dict[str, Any]] = field(default_factory=dict)
    waiting: asyncio.Queue[Frame | None] = field(default_factory=lambda: asyncio.Queue(_WAITING_FRAMES))

    def tell(self, frame: Frame) -> None:
        """Send when the client takes it; a client that takes nothing loses frames."""
        if not self.waiting.full():
            self.waiting.put_nowait(frame)

    def answer(self, asked: Frame, status: str, response: dict[str, Any]) -> None:
        """Reply to a frame by its ref."""
        payload = {"status": status, "response": response}
        self.tell(Frame(asked.topic, "phx_reply", payload, asked.ref, asked.join_ref))

    async def write(self) -> None:
        """Send what waits, until the end."""
        while (frame := await self.waiting.get()) is not None:
            form = written(frame, self.version)
            if isinstance(form, bytes):
                await self.websocket.send_bytes(form)
            elif form is not None:
                await self.websocket.send_text(form)


class SupabaseRealtime(Service):
    """/realtime/v1/websocket, /api/broadcast and /api/broadcast/{topic}/events/{event}."""

    name = "supabase_realtime"
    prefix = "/supabase/realtime/v1"
    kinds: ClassVar = {
        "hung": "sockets stay open, and nothing is answered or delivered",
        "reject_join": "joins are answered with an error",
        "loses": "messages are accepted (202, acknowledged) and not delivered",
        "hang_up": "the socket closes at the next frame",
    }

    def set_up(self) -> None:
        """Nobody listens yet."""
        self._sockets: set[Socket] = set()

    def routes(self) -> list[BaseRoute]:
        """The socket and both ways to publish."""
        return [
            WebSocketRoute("/websocket", self._socket),
            self.route("POST", "/api/broadcast", self._publish),
            self.route("POST", "/api/broadcast/{topic}/events/{event}", self._publish_one),
        ]

    def refusal(self, fault: Fault) -> Answer:
        """Short JSON errors."""
        messages = {"unauthorized": 401, "forbidden": 403, "rate_limited": 429, "quota": 429, "server_error": 500}
        if fault.kind not in messages:
            return super().refusal(fault)
        answer = as_json({"message": fault.kind}, messages[fault.kind])
        answer.headers.update(retry_after(fault))
        return answer

    # Publishing over HTTP

    async def _publish(self, call: Call) -> Answer:
        call.about("broadcast")
        role = _role(call.request)
        try:
            messages = json.loads(await call.request.body())["messages"]
        except (ValueError, KeyError, TypeError):
            return _unprocessable({"messages": ["can't be blank"]})
        wrong = _errors_of(messages)
        if wrong:
            return _unprocessable({"messages": wrong})
        call.keys = tuple(dict.fromkeys(f"{message['topic']}/{message['event']}" for message in messages))
        call.note["messages"] = messages
        for message in messages:
            self._deliver(
                message["topic"], message["event"], message["payload"], role, private=bool(message.get("private"))
            )
        return Answer(202)

    async def _publish_one(self, call: Call) -> Answer:
        topic, event = call.request.path_params["topic"], call.request.path_params["event"]
        call.about("broadcast", f"{topic}/{event}")
        role, body = _role(call.request), await call.request.body()
        private = call.query.get("private") == "true"
        if len(body) > _PAYLOAD_BYTES:
            return _unprocessable({"payload": ["is too large"]})
        if call.request.headers.get("content-type") == "application/octet-stream":
            self._deliver(topic, event, body, role, private=private)
            return Answer(202)
        try:
            payload = json.loads(body)
        except ValueError:
            return _unprocessable({"payload": ["is invalid"]})
        call.note["messages"] = [{"topic": topic, "event": event, "payload": payload, "private": private}]
        self._deliver(topic, event, payload, role, private=private)
        return Answer(202)

    def _deliver(self, topic: str, event: str, payload: Any, role: str, *, private: bool) -> None:
        """To everybody who joined. A private message from somebody without a policy is dropped without a word."""
        if private and role != SERVICE_ROLE:
            return
        raw = payload if isinstance(payload, bytes) else None
        inner = {} if raw is not None else {"payload": payload}
        frame = Frame(f"realtime:{topic}", "broadcast", {"type": "broadcast", "event": event, **inner}, raw=raw)
        self._send_to(self._sockets, frame, private=private)

    def _send_to(self, sockets: Iterable[Socket], frame: Frame, *, private: bool) -> None:
        if self.switches.is_on(self.name, "hung") or self.switches.is_on(self.name, "loses"):
            return
        for socket in sockets:
            config = socket.joined.get(frame.topic)
            # A public and a private channel of one name are different channels.
            if config is not None and bool(config.get("private")) is private:
                socket.tell(frame)

    # Sockets

    async def _socket(self, websocket: WebSocket) -> None:
        faults = self.switches.met_by(self.name, ("websocket",))
        try:
            role = role_of(websocket.query_params.get("apikey", ""))
        except BadToken:
            role = ""
        refused = not role or any(fault.kind in REFUSALS for fault in faults)
        self.ledger.enter(Entry(self.name, "connect", 403 if refused else 101, processed=not refused))
        await self.memory.committed()
        if refused:
            await websocket.close(1008)
            return
        await websocket.accept()
        socket = Socket(websocket, websocket.query_params.get("vsn", "1.0.0"), role)
        self._sockets.add(socket)
        writer = asyncio.create_task(socket.write())
        try:
            await self._listen(socket)
        except WebSocketDisconnect:
            return
        finally:
            self._sockets.discard(socket)
            writer.cancel()

    async def _listen(self, socket: Socket) -> None:
        while True:
            message = await socket.websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if self.switches.is_on(self.name, "hang_up"):
                await socket.websocket.close(1011)
                return
            if self.switches.is_on(self.name, "hung"):
                continue
            try:
                text = message.get("text")
                frame = read_text(text, socket.version) if text is not None else read_binary(message["bytes"])
            except BadFrame:
                continue
            await self._take(socket, frame)

    async def _take(self, socket: Socket, frame: Frame) -> None:
        match frame.event:
            case "heartbeat":
                socket.answer(frame, "ok", {})
            case "phx_join":
                self._join(socket, frame)
            case "phx_leave":
                socket.joined.pop(frame.topic, None)
                socket.answer(frame, "ok", {})
                socket.tell(Frame(frame.topic, "phx_close", {}, frame.ref, frame.join_ref))
            case "broadcast":
                await self._broadcast(socket, frame)
            case "access_token":
                return
            case _:
                known = frame.topic in socket.joined
                socket.answer(frame, "ok" if known else "error", {} if known else {"reason": "unmatched topic"})

    def _join(self, socket: Socket, frame: Frame) -> None:
        config = frame.payload.get("config") or {}
        name = frame.topic.removeprefix("realtime:")
        if self.switches.is_on(self.name, "reject_join"):
            socket.answer(frame, "error", {"reason": "ChannelRateLimitReached: Too many channels"})
        elif config.get("private") and self._role_in(socket, frame) != SERVICE_ROLE:
            reason = f"Unauthorized: You do not have permissions to read from this Channel topic: {name}"
            socket.answer(frame, "error", {"reason": reason})
        else:
            socket.joined[frame.topic] = config
            socket.answer(frame, "ok", {"postgres_changes": []})
            if (config.get("presence") or {}).get("enabled"):
                socket.tell(Frame(frame.topic, "presence_state", {}))

    def _role_in(self, socket: Socket, frame: Frame) -> str:
        token = frame.payload.get("access_token")
        try:
            return role_of(token) if isinstance(token, str) else socket.role
        except BadToken:
            return "anon"

    async def _broadcast(self, socket: Socket, frame: Frame) -> None:
        config = socket.joined.get(frame.topic)
        if config is None:
            socket.answer(frame, "error", {"reason": "unmatched topic"})
            return
        topic, event = frame.topic.removeprefix("realtime:"), str(frame.payload.get("event", ""))
        note = {"messages": [{"topic": topic, "event": event, "payload": frame.payload.get("payload")}]}
        self.ledger.enter(Entry(self.name, "broadcast", 200, (f"{topic}/{event}",), note=note))
        await self.memory.committed()
        rules = config.get("broadcast") or {}
        others = self._sockets if rules.get("self") else self._sockets - {socket}
        sent = Frame(frame.topic, "broadcast", frame.payload, raw=frame.raw)
        self._send_to(others, sent, private=bool(config.get("private")))
        if rules.get("ack"):
            socket.answer(frame, "ok", {})


def _role(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = token if scheme.lower() == "bearer" else request.headers.get("apikey", request.query_params.get("apikey", ""))
    try:
        return role_of(key)
    except BadToken as error:
        raise Refused(as_json({"message": error.message}, 401)) from None


def _errors_of(messages: Any) -> list[dict[str, list[str]]]:
    """What is wrong with each message; empty when nothing is."""
    if not isinstance(messages, list) or not messages:
        return [{"messages": ["can't be blank"]}]
    errors = []
    for message in messages:
        wrong: dict[str, list[str]] = {}
        given = message if isinstance(message, dict) else {}
        for name in ("topic", "event"):
            if not isinstance(given.get(name), str) or not given[name]:
                wrong[name] = ["can't be blank"]
        if not isinstance(given.get("payload"), dict):
            wrong["payload"] = ["is invalid"]
        elif len(json.dumps(given["payload"])) > _PAYLOAD_BYTES:
            wrong["payload"] = ["is too large"]
        errors.append(wrong)
    return errors if any(errors) else []


def _unprocessable(errors: dict[str, Any]) -> Answer:
    answer = as_json({"errors": errors}, 422)
    answer.processed = False
    return answer
