"""Realtime's frames: version 1 (JSON objects) and version 2 (JSON arrays, binary broadcasts). Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_USER_PUSH, _USER_BROADCAST = 3, 4
_JSON_ENCODING = 1


class BadFrame(Exception):
    """Not a frame of this protocol."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of a Phoenix channel. A binary broadcast's bytes are in `raw`."""

    topic: str
    event: str
    payload: dict[str, Any]
    ref: str | None = None
    join_ref: str | None = None
    raw: bytes | None = None


def read_text(text: str, version: str) -> Frame:
    """A text frame from the client.

    Raises:
        BadFrame: when it is none.
    """
    try:
        document = json.loads(text)
        if version.startswith("2"):
            join_ref, ref, topic, event, payload = document
        else:
            topic, event, payload = document["topic"], document["event"], document["payload"]
            ref, join_ref = document.get("ref"), document.get("join_ref")
    except (ValueError, TypeError, KeyError):
        raise BadFrame(text[:40]) from None
    return Frame(str(topic), str(event), payload if isinstance(payload, dict) else {}, ref, join_ref)


def read_binary(data: bytes) -> Frame:
    """A broadcast pushed as bytes: 3, five lengths, the encoding, five texts, the payload.

    Raises:
        BadFrame: when it is none.
    """
    if len(data) < 7 or data[0] != _USER_PUSH:
        raise BadFrame("binary")
    lengths, encoding, place = data[1:6], data[6], 7
    texts = []
    for length in lengths:
        texts.append(data[place : place + length].decode())
        place += length
    join_ref, ref, topic, event, _ = texts
    body = data[place:]
    if encoding != _JSON_ENCODING:
        return Frame(topic, "broadcast", {"type": "broadcast", "event": event}, ref or None, join_ref or None, body)
    try:
        inner = json.loads(body)
    except ValueError:
        raise BadFrame("payload") from None
    payload = {"type": "broadcast", "event": event, "payload": inner}
    return Frame(topic, "broadcast", payload, ref or None, join_ref or None)


def written(frame: Frame, version: str) -> str | bytes | None:
    """A frame for the client; None when its version has no form for it."""
    if version.startswith("2"):
        if frame.event == "broadcast":
            return _broadcast(frame)
        return json.dumps([frame.join_ref, frame.ref, frame.topic, frame.event, frame.payload])
    if frame.raw is not None:
        return None
    return json.dumps({"topic": frame.topic, "event": frame.event, "payload": frame.payload, "ref": frame.ref})


def _broadcast(frame: Frame) -> bytes:
    topic, event = frame.topic.encode(), str(frame.payload.get("event", "")).encode()
    metadata = json.dumps(frame.payload["meta"]).encode() if "meta" in frame.payload else b""
    encoding = _JSON_ENCODING if frame.raw is None else 0
    body = json.dumps(frame.payload.get("payload")).encode() if frame.raw is None else frame.raw
    head = bytes([_USER_BROADCAST, len(topic), len(event), len(metadata), encoding])
    return head + topic + event + metadata + body
