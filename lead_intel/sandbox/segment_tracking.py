"""Segment's HTTP Tracking API: a 200 is a receipt, not acceptance. The ledger knows what was truly kept."""

from __future__ import annotations

import gzip
import json
import re
import uuid
import zlib
from typing import Any, ClassVar

from starlette.routing import BaseRoute

from lead_intel.sandbox import settings
from lead_intel.sandbox.faults import Fault
from lead_intel.sandbox.segment_workspace import Workspace
from lead_intel.sandbox.service import Answer, Call, Refused, Service, as_json, retry_after

_EVENT_BYTES = 32 * 1024
_BATCH_BYTES = 500 * 1024
_BATCH_EVENTS = 2500
_MESSAGE_ID = 100
_KINDS = ("identify", "track", "group", "page", "screen", "alias")
_LOOKS_LIKE_A_KEY = re.compile(r"[0-9A-Za-z]{20,}")
_VISIBLE_AFTER = 0.2
_RECEIPT = {"success": True}


class SegmentTracking(Service):
    """POST /v1/batch and /v1/{identify,track,...}."""

    name = "segment_tracking"
    prefix = "/segment"
    kinds: ClassVar = {
        "write_key_revoked": "200, and every event is dropped",
        "wrong_region": "200, and every event is dropped",
        "loses": "200, and each `every_event`-th event (default 2) is dropped",
    }

    def set_up(self) -> None:
        """The workspace's memory."""
        self._workspace = Workspace(self.memory)

    def counts(self) -> dict[str, int]:
        """Messages and users that were truly kept."""
        return self._workspace.counts()

    def routes(self) -> list[BaseRoute]:
        """Every method of the API."""
        return [self.route("POST", "/v1/{kind:str}", self._take)]

    def events(self, after: int, limit: int) -> list[dict[str, Any]]:
        """What became of each event."""
        return self._workspace.log(after, limit)

    def refusal(self, fault: Fault) -> Answer:
        """The API knows 400 and 429; the rest is its gateway."""
        if fault.kind == "rate_limited":
            answer = as_json({"success": False, "message": "Too Many Requests"}, 429)
            answer.headers.update(retry_after(fault))
            if "retry_after" in fault.options:
                answer.headers["x-ratelimit-reset"] = f"{fault.number('retry_after', 1):g}"
            return answer
        if fault.kind in {"unauthorized", "forbidden", "quota", "server_error"}:
            status = {"unauthorized": 401, "forbidden": 403, "quota": 402, "server_error": 500}[fault.kind]
            return as_json({"success": False, "message": "refused"}, status)
        return super().refusal(fault)

    async def _take(self, call: Call) -> Answer:
        kind = call.request.path_params["kind"]
        raw = await _plain_body(call)
        document = _parsed(raw)
        events = _events_of(kind, document)
        ids = [_message_id(event) for event in events]
        call.about(kind, *dict.fromkeys(ids))
        call.note["events"] = len(events)
        key = str(document.get("writeKey") or (call.basic_auth() or ("", ""))[0])
        if not _LOOKS_LIKE_A_KEY.fullmatch(key):
            raise Refused(_bad("An invalid write key was provided"))
        if len(raw) > (_BATCH_BYTES if kind == "batch" else _EVENT_BYTES):
            raise Refused(_bad("Exceeds maximum allowed size"))
        if any(len(json.dumps(event, separators=(",", ":"))) > _EVENT_BYTES for event in events):
            raise Refused(_bad("Exceeds maximum allowed size"))
        everything = self._reason_to_drop_all(call, key, len(events))
        dropped = 0
        for index, (message_id, event) in enumerate(zip(ids, events, strict=True), 1):
            reason = everything or self._reason_to_drop(call, message_id, event, index)
            if reason:
                self._workspace.drop(message_id, event, reason)
                dropped += 1
            elif not self._workspace.keep(message_id, event, self._delay()):
                dropped += 1
        call.note["dropped"] = dropped
        if everything:
            call.keys = ()
        return as_json(_RECEIPT)

    def _reason_to_drop_all(self, call: Call, key: str, count: int) -> str | None:
        for kind in ("write_key_revoked", "wrong_region"):
            if call.fault(kind):
                return kind
        for kind in ("source_disabled", "write_key_rotated"):
            if self.switches.is_on("segment_public", kind):
                return kind
        if key != settings.SEGMENT_WRITE_KEY:
            return "write_key"
        return "too_many_events" if count > _BATCH_EVENTS else None

    def _reason_to_drop(self, call: Call, message_id: str, event: dict[str, Any], index: int) -> str | None:
        if not (event.get("userId") or event.get("anonymousId")):
            return "no_user_anon_id"
        if event.get("type") not in _KINDS:
            return "type"
        if len(message_id) > _MESSAGE_ID:
            return "message_id_too_long"
        if self._workspace.is_suppressed(str(event.get("userId"))):
            return "suppressed"
        loses = call.fault("loses")
        return "lost" if loses and index % int(loses.number("every_event", 2)) == 0 else None

    def _delay(self) -> float | None:
        if self.switches.is_on("segment_profile", "never_appears"):
            return None
        late = self.switches.is_on("segment_profile", "late")
        return late.number("seconds", 30) if late else _VISIBLE_AFTER


async def _plain_body(call: Call) -> bytes:
    raw = await call.request.body()
    if call.request.headers.get("content-encoding", "") != "gzip":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error):
        raise Refused(_bad("Malformed gzip")) from None


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw, parse_constant=_not_json)
    except ValueError:
        raise Refused(_bad("Malformed JSON")) from None
    if not isinstance(document, dict):
        raise Refused(_bad("Malformed JSON"))
    return document


def _not_json(constant: str) -> None:
    raise ValueError(constant)


def _events_of(kind: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    if kind == "batch":
        batch = document.get("batch")
        if not isinstance(batch, list) or not all(isinstance(event, dict) for event in batch):
            raise Refused(_bad("Malformed JSON"))
        return batch
    if kind not in _KINDS:
        raise Refused(as_json({"success": False, "message": "Not Found"}, 404))
    return [{**document, "type": kind}]


def _message_id(event: dict[str, Any]) -> str:
    return str(event.get("messageId") or f"api-{uuid.uuid4()}")


def _bad(message: str) -> Answer:
    return as_json({"success": False, "message": message}, 400)
