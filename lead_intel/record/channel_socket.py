"""Speaks and listens on the `lead-ingestion` channel over the websocket of Supabase Realtime (frames of version 1).

Own code, because the official Python client loses messages in silence: it does not notice a peer that hangs, and
stops for good after five failed connections. This one counts what it loses and never gives up. No decisions here.
"""

from __future__ import annotations

import itertools
import json
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from urllib.parse import urlencode

from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

from lead_intel.record.channel import CHANNEL, VERSION, Sender
from lead_intel.record.channel_delays import delay_ms
from lead_intel.settings import StorageSettings

TOPIC = f"realtime:{CHANNEL}"
HEARTBEAT_SECONDS = 20.0
"""The server closes a socket that is silent for longer than 25 to 30 seconds."""

_ANSWER_SECONDS = 10.0
_LOOK_SECONDS = 0.1
_FLUSH_SECONDS = 2.0
_MOST_WAITING = 500
_MOST_SENDERS = 1000
_MOST_BYTES = 4 * 1024 * 1024
_FIRST_WAIT, _MOST_WAIT, _LIMITED_WAIT = 1.0, 30.0, 30.0

_log = logging.getLogger(__name__)

Heard = Callable[[str, dict[str, Any]], None]


@dataclass
class ChannelCounts:
    """What a listener can know about its own connection."""

    received: int = 0
    missed: int = 0
    dropped: int = 0
    connections: int = 0
    delays: deque[int] = field(default_factory=lambda: deque(maxlen=200))

    def as_data(self) -> dict[str, Any]:
        """As telemetry carries it."""
        delays = list(self.delays)
        return {
            "received": self.received,
            "missed": self.missed,
            "dropped": self.dropped,
            "connections": self.connections,
            "delay_ms": {"median": round(median(delays)), "max": max(delays)} if delays else None,
        }


class _Lost(Exception):
    """The connection is of no use any more; `seconds` is how long to wait at least."""

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(why)
        self.seconds = seconds


class Mailbox:
    """Messages that wait to be sent, in the order of their numbers."""

    def __init__(self, sender: Sender, counts: ChannelCounts) -> None:
        self._sender = sender
        self._counts = counts
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, event: str, data: Mapping[str, Any]) -> None:
        """Number and keep; the oldest is dropped, and counted, when too many wait."""
        with self._lock:
            if len(self._waiting) >= _MOST_WAITING:
                self._waiting.popleft()
                self._counts.dropped += 1
            self._waiting.append((event, self._sender.message(data)))

    def take(self) -> tuple[str, dict[str, Any]] | None:
        """The next one to send."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def put_back(self, event: str, message: dict[str, Any]) -> None:
        """It could not be sent: it stays the next."""
        with self._lock:
            self._waiting.appendleft((event, message))


class ChannelSocket:
    """One connection, kept alive in a thread of its own."""

    def __init__(self, settings: StorageSettings, sender: Sender, heard: Heard) -> None:
        self.counts = ChannelCounts()
        self._settings = settings
        self._heard = heard
        self._mailbox = Mailbox(sender, self.counts)
        self._sequences: dict[str, int] = {}
        self._joined = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="channel", daemon=True)

    def open(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def wait_until_joined(self, seconds: float) -> bool:
        """True when the channel is joined within `seconds`."""
        return self._joined.wait(seconds)

    def say(self, event: str, data: Mapping[str, Any]) -> None:
        """Send when connected. What waits too long is dropped, the oldest first, and counted."""
        self._mailbox.put(event, data)

    def say_if_joined(self, event: str, data: Mapping[str, Any]) -> None:
        """As `say`, for what is worth nothing later: it is not even numbered while nobody can hear it."""
        if self._joined.is_set():
            self.say(event, data)

    def close(self) -> None:
        """Send what waits, for two seconds at most, and leave."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_FLUSH_SECONDS + 2.0)

    def _run(self) -> None:
        wait = _FIRST_WAIT
        while not self._closing.is_set():
            began, least = time.monotonic(), 0.0
            try:
                with self._connected() as socket:
                    self._converse(_Conversation(socket, self._take))
            except _Lost as lost:
                _log.info("channel: %s", lost)
                least = lost.seconds
            except (OSError, WebSocketException, InvalidHandshake, InvalidURI, TimeoutError) as error:
                _log.info("channel: not connected (%s)", type(error).__name__)
            self._joined.clear()
            if time.monotonic() - began > _MOST_WAIT:
                wait = _FIRST_WAIT
            # Jitter, so that a hundred companions do not come back in one moment.
            self._closing.wait(max(wait * random.uniform(0.5, 1.0), least))  # noqa: S311
            wait = min(wait * 2, _MOST_WAIT)

    def _converse(self, conversation: _Conversation) -> None:
        conversation.join(self._settings.supabase_service_key.get_secret_value())
        self.counts.connections += 1
        self._joined.set()
        flush_until: float | None = None
        while True:
            conversation.listen(_LOOK_SECONDS)
            while waiting := self._mailbox.take():
                try:
                    conversation.broadcast(*waiting)
                except (OSError, WebSocketException):
                    self._mailbox.put_back(*waiting)
                    raise
            conversation.beat()
            if self._closing.is_set():
                flush_until = flush_until or time.monotonic() + _FLUSH_SECONDS
                if not self._mailbox or time.monotonic() > flush_until:
                    conversation.leave()
                    return

    def _connected(self) -> ClientConnection:
        base = self._settings.supabase_url.rstrip("/").replace("http", "ws", 1)
        query = urlencode({"apikey": self._settings.supabase_service_key.get_secret_value(), "vsn": "1.0.0"})
        return connect(
            f"{base}/realtime/v1/websocket?{query}", open_timeout=_ANSWER_SECONDS, close_timeout=1, max_size=_MOST_BYTES
        )

    def _take(self, payload: Mapping[str, Any]) -> None:
        """A broadcast: only messages of our version are heard; gaps in a sender's numbers are counted."""
        event, message = payload.get("event"), payload.get("payload")
        if not isinstance(event, str) or not isinstance(message, dict) or message.get("v") != VERSION:
            return
        self.counts.received += 1
        instance, number = str(message.get("instance")), message.get("sequence")
        if isinstance(number, int):
            if len(self._sequences) >= _MOST_SENDERS:
                self._sequences.clear()
            last = self._sequences.get(instance)
            self._sequences[instance] = max(number, last or 0)
            if last is not None and number > last + 1:
                self.counts.missed += number - last - 1
        delay = delay_ms(message.get("at"))
        if delay is not None:
            self.counts.delays.append(delay)
        self._heard(event, message)


class _Conversation:
    """One connection from the join to its end. Raises _Lost when the peer refuses, hangs or leaves."""

    def __init__(self, socket: Connection, take: Callable[[Mapping[str, Any]], None]) -> None:
        self._socket = socket
        self._take = take
        self._refs = itertools.count(1)
        self._join_ref: str | None = None
        self._beat_ref: str | None = None
        self._beaten_at = time.monotonic()

    def join(self, key: str) -> None:
        """Enter the channel."""
        config = {
            "broadcast": {"ack": False, "self": False},
            "presence": {"key": "", "enabled": False},
            "postgres_changes": [],
            "private": False,
        }
        # Keys of the form sb_... are no tokens: the socket's own `apikey` stands for them.
        token = {"access_token": key} if key.count(".") == 2 else {}
        self._join_ref = join_ref = str(next(self._refs))
        self._send(TOPIC, "phx_join", {"config": config, **token}, join_ref)
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            frame = self._receive(_LOOK_SECONDS)
            if frame is None or frame.get("event") != "phx_reply" or frame.get("ref") != join_ref:
                continue
            payload = frame.get("payload") or {}
            if payload.get("status") == "ok":
                return
            reason = str((payload.get("response") or {}).get("reason", "")).partition(":")[0]
            why = f"the join was refused ({reason})"
            raise _Lost(why, _LIMITED_WAIT if "RateLimit" in reason else 0.0)
        raise _Lost("the join was not answered")

    def broadcast(self, event: str, message: Mapping[str, Any]) -> None:
        """Say one message to everybody else on the channel."""
        self._push(TOPIC, "broadcast", {"type": "broadcast", "event": event, "payload": message})

    def leave(self) -> None:
        """Say goodbye."""
        self._push(TOPIC, "phx_leave", {})

    def listen(self, seconds: float) -> None:
        """Take what has come, or what comes within `seconds`."""
        frame = self._receive(seconds)
        while frame is not None:
            payload = frame.get("payload")
            match frame.get("event"):
                case "broadcast" if frame.get("topic") == TOPIC and isinstance(payload, dict):
                    self._take(payload)
                case "phx_reply" if frame.get("ref") == self._beat_ref:
                    self._beat_ref = None
                case "phx_close" | "phx_error" if frame.get("topic") == TOPIC:
                    raise _Lost("the server closed the channel")
                case "system" if isinstance(payload, dict) and payload.get("status") == "error":
                    raise _Lost("the server ended the channel", _LIMITED_WAIT)
            frame = self._receive(0)

    def beat(self) -> None:
        """A heartbeat, and the peer's silence: the only sign of a connection that is cut without a word."""
        silent = time.monotonic() - self._beaten_at
        if self._beat_ref is not None and silent > _ANSWER_SECONDS:
            raise _Lost("the server is silent")
        if silent > HEARTBEAT_SECONDS:
            self._beaten_at = time.monotonic()
            self._beat_ref = self._push("phoenix", "heartbeat", {})

    def _push(self, topic: str, event: str, payload: Mapping[str, Any]) -> str:
        ref = str(next(self._refs))
        self._send(topic, event, payload, ref)
        return ref

    def _send(self, topic: str, event: str, payload: Mapping[str, Any], ref: str) -> None:
        frame: dict[str, Any] = {"topic": topic, "event": event, "payload": payload, "ref": ref}
        if topic == TOPIC:
            frame["join_ref"] = self._join_ref
        self._socket.send(json.dumps(frame))

    def _receive(self, seconds: float) -> dict[str, Any] | None:
        try:
            text = self._socket.recv(timeout=seconds)
        except TimeoutError:
            return None
        try:
            frame = json.loads(text)
        except ValueError:
            return {}
        return frame if isinstance(frame, dict) else {}
