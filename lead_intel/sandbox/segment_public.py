"""Segment's Public API, the parts in use: workspace, sources, spaces, audiences, delivery overview, regulations."""

from __future__ import annotations

import base64
import binascii
import json
import time
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, ClassVar

from starlette.routing import BaseRoute

from lead_intel.sandbox import segment_erasure, settings
from lead_intel.sandbox.answers import hexadecimal
from lead_intel.sandbox.faults import Fault
from lead_intel.sandbox.segment_audiences import Audiences
from lead_intel.sandbox.segment_workspace import Workspace
from lead_intel.sandbox.service import Answer, Call, Refused, Service, as_json, retry_after

_STEPS = {"MINUTE": (60, 4 * 3600), "HOUR": (3600, 14 * 86400), "DAY": (86400, 30 * 86400)}
_LABELS = {
    "unauthorized": "Unauthorized",
    "forbidden": "Forbidden",
    "quota": "RequestError",
    "server_error": "InternalServerError",
}
_PER_MINUTE = 600


class SegmentPublic(Service):
    """The Public API at version 73."""

    name = "segment_public"
    prefix = "/segment-public"
    kinds: ClassVar = {
        "source_disabled": "the source is not enabled; tracking drops its events",
        "write_key_rotated": "the source lists another write key; tracking drops events with the old one",
        "write_keys_hidden": "the token lacks source-admin: writeKeys comes back empty",
        "source_gone": "404 for the source",
        "audience_deleted": "404 for audiences whose key or id holds `match` (default: all)",
        "audience_disabled": "enabled: false, status Disabled",
        "audience_computing": "status `status` (default Computing)",
        "audience_key_changed": "the audience has another key",
        "regulation_slow": "regulations finish after `seconds` (default 60)",
    }

    def set_up(self) -> None:
        """The workspace's memory, its audiences and its regulations."""
        self._workspace = Workspace(self.memory)
        self._audiences = Audiences(self.memory, self.switches)
        self._regulations = segment_erasure.Regulations(self.memory, self.switches, self._workspace)

    def reset(self) -> None:
        """The audiences of a new workspace."""
        self._audiences.seed()

    def routes(self) -> list[BaseRoute]:
        """The endpoints in use."""
        return [
            self.route("GET", "/", self._workspace_read),
            self.route("GET", "/sources", self._sources),
            self.route("GET", "/sources/{source}", self._source),
            self.route("GET", "/spaces", self._spaces),
            self.route("GET", "/spaces/{space}", self._space),
            self.route("GET", "/spaces/{space}/audiences", self._audience_list),
            self.route("GET", "/spaces/{space}/audiences/{audience}", self._audience),
            self.route("DELETE", "/spaces/{space}/audiences/{audience}", self._delete_audience),
            self.route("GET", "/delivery-overview/successfully-received", self._received),
            self.route("GET", "/delivery-overview/failed-on-ingest", self._failed),
            self.route("POST", "/regulations", self._regulate),
            self.route("GET", "/regulations/{regulation}", self._regulation),
            self.route("GET", "/suppressions", self._suppressions),
        ]

    def refusal(self, fault: Fault) -> Answer:
        """`{errors: [...]}`; a 429 says in `data` when it is over."""
        if fault.kind == "rate_limited":
            wait = fault.number("retry_after", 60)
            data = {"remainingPoints": 0, "msBeforeNext": int(wait * 1000), "consumedPoints": _PER_MINUTE + 1}
            answer = _errors(429, "RequestError", "Too Many Requests", data)
            answer.headers.update({**_limits(0, wait), **retry_after(fault)})
            return answer
        if fault.kind not in _LABELS:
            return super().refusal(fault)
        status = {"unauthorized": 401, "forbidden": 403, "quota": 429, "server_error": 500}[fault.kind]
        return _errors(status, _LABELS[fault.kind], "Refused")

    def _admit(self, call: Call, operation: str, *keys: str) -> None:
        call.about(operation, *keys)
        if call.bearer() != settings.SEGMENT_PUBLIC_TOKEN:
            raise Refused(_errors(401, "Unauthorized", "The token is invalid"))
        space = call.request.path_params.get("space")
        if space not in (None, settings.SEGMENT_SPACE_ID):
            raise Refused(_not_found("space"))

    def _data(self, call: Call, data: dict[str, Any], status: int = 200) -> Answer:
        accepted = call.request.headers.get("accept", "")
        version = next((v for v in ("v1alpha", "v1beta") if f"segment.{v}+json" in accepted), "v1")
        headers = {"content-type": f"application/vnd.segment.{version}+json", **_limits(_PER_MINUTE - 1, 60)}
        return as_json({"data": data}, status, headers=headers)

    async def _workspace_read(self, call: Call) -> Answer:
        self._admit(call, "get_workspace")
        workspace = {"id": settings.SEGMENT_WORKSPACE_ID, "slug": "lead-intel-sandbox", "name": "Lead Intel sandbox"}
        return self._data(call, {"workspace": workspace})

    async def _sources(self, call: Call) -> Answer:
        self._admit(call, "list_sources")
        gone = self.switches.is_on(self.name, "source_gone")
        page, pagination = _page(call, [] if gone else [self._source_now()], 1000)
        return self._data(call, {"sources": page, "pagination": pagination})

    async def _source(self, call: Call) -> Answer:
        source = call.request.path_params["source"]
        self._admit(call, "get_source", source)
        if source != settings.SEGMENT_SOURCE_ID or self.switches.is_on(self.name, "source_gone"):
            return _not_found("source")
        return self._data(call, {"source": self._source_now(), "trackingPlanId": None})

    def _source_now(self) -> dict[str, Any]:
        keys = [settings.SEGMENT_WRITE_KEY]
        if self.switches.is_on(self.name, "write_key_rotated"):
            keys = [hexadecimal("rotated", "write key", 32)]
        if self.switches.is_on(self.name, "write_keys_hidden"):
            keys = []
        return {
            "id": settings.SEGMENT_SOURCE_ID,
            "slug": "leads",
            "name": "Leads (server)",
            "workspaceId": settings.SEGMENT_WORKSPACE_ID,
            "enabled": self.switches.is_on(self.name, "source_disabled") is None,
            "writeKeys": keys,
            "metadata": {
                "id": "7lqrbqbqjl", "name": "Python", "slug": "python", "description": "Send data from Python servers.",
                "logos": {"default": "https://cdn.example.invalid/python.svg", "mark": None, "alt": None},
                "options": [], "categories": ["Server"], "isCloudEventSource": False, "status": "PUBLIC",
                "partnerOwned": None,
            },
            "settings": {},
            "labels": [],
        }  # fmt: skip

    async def _spaces(self, call: Call) -> Answer:
        self._admit(call, "list_spaces")
        page, pagination = _page(call, [_SPACE], 200)
        return self._data(call, {"spaces": page, "pagination": pagination})

    async def _space(self, call: Call) -> Answer:
        self._admit(call, "get_space")
        return self._data(call, {"space": _SPACE})

    async def _audience_list(self, call: Call) -> Answer:
        self._admit(call, "list_audiences")
        page, pagination = _page(call, self._audiences.all(), 200)
        return self._data(call, {"audiences": page, "pagination": pagination})

    async def _audience(self, call: Call) -> Answer:
        audience = call.request.path_params["audience"]
        self._admit(call, "get_audience", audience)
        found = self._audiences.find(audience)
        return self._data(call, {"audience": found}) if found else _not_found("audience")

    async def _delete_audience(self, call: Call) -> Answer:
        audience = call.request.path_params["audience"]
        self._admit(call, "remove_audience", audience)
        if not self._audiences.delete(audience):
            return _not_found("audience")
        return self._data(call, {"status": "SUCCESS"})

    async def _received(self, call: Call) -> Answer:
        return self._overview(call, kept=1)

    async def _failed(self, call: Call) -> Answer:
        return self._overview(call, kept=0)

    def _overview(self, call: Call, *, kept: int) -> Answer:
        self._admit(call, "delivery_overview")
        granularity = call.query.get("granularity", "").upper()
        start, end = _moment(call.query.get("startTime", "")), _moment(call.query.get("endTime", ""))
        if call.query.get("sourceId") != settings.SEGMENT_SOURCE_ID:
            return _not_found("source")
        if granularity not in _STEPS or start is None or end is None or end <= start:
            return _errors(422, "ValidationFailure", "granularity, startTime and endTime are required")
        step, window = _STEPS[granularity]
        if end - start > window:
            return _errors(422, "ValidationFailure", "the time range is too long for this granularity")
        counted = self._workspace.events_by_time(kept, start, end, step)
        group = call.query.get("groupBy", call.query.get("groupBy[0]", ""))
        dataset = _dataset(counted, group)
        pagination = {"current": _cursor(0), "next": None, "previous": None, "totalEntries": len(dataset)}
        return self._data(call, {"dataset": dataset, "pagination": pagination})

    async def _regulate(self, call: Call) -> Answer:
        self._admit(call, "create_regulation")
        try:
            order = json.loads(await call.request.body())
            regulation = self._regulations.create(order)
        except (ValueError, segment_erasure.Unacceptable) as error:
            return _errors(422, "ValidationFailure", str(error))
        return self._data(call, {"regulateId": regulation})

    async def _regulation(self, call: Call) -> Answer:
        self._admit(call, "get_regulation")
        found = self._regulations.find(call.request.path_params["regulation"])
        return self._data(call, {"regulation": found}) if found else _not_found("regulation")

    async def _suppressions(self, call: Call) -> Answer:
        self._admit(call, "list_suppressions")
        rows = [{"attributes": ["userId"], "userId": row["user_id"]} for row in self._workspace.suppressed()]
        page, pagination = _page(call, rows, 1000)
        return self._data(call, {"suppressed": page, "pagination": pagination})


_SPACE = {"id": settings.SEGMENT_SPACE_ID, "slug": "lead-intel", "name": "Lead Intel"}


def _dataset(counted: list[tuple[int, str, str, int]], group: str) -> list[dict[str, Any]]:
    series: dict[str, dict[int, int]] = {}
    for bucket, kind, reason, count in counted:
        name = {"eventType": kind, "discardReason": reason}.get(group, "")
        times = series.setdefault(name, {})
        times[bucket] = times.get(bucket, 0) + count
    label = {"eventType": "eventType", "discardReason": "discardReason"}.get(group)
    return [
        {
            **({label: name} if label else {}),
            "total": sum(times.values()),
            "series": [{"time": datetime.fromtimestamp(at, UTC).isoformat(), "count": n} for at, n in times.items()],
        }
        for name, times in series.items()
    ]


def _page(call: Call, rows: list[dict[str, Any]], most: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    text = call.query.get("pagination[count]", str(min(most, 10)))
    count = int(text) if text.isdigit() else 0
    if not 1 <= count <= most:
        raise Refused(_errors(422, "ValidationFailure", f"pagination.count must be 1 to {most}"))
    start = _start(call.query.get("pagination[cursor]"))
    after, before = start + count, max(start - count, 0)
    return rows[start:after], {
        "current": _cursor(start),
        "next": _cursor(after) if after < len(rows) else None,
        "previous": _cursor(before) if start else None,
        "totalEntries": len(rows),
    }


def _cursor(start: int) -> str:
    return base64.urlsafe_b64encode(f"start:{start}".encode()).decode()


def _start(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("start:"))
    except (binascii.Error, ValueError):
        raise Refused(_errors(422, "ValidationFailure", "the cursor is not valid")) from None


def _moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _limits(remaining: int, seconds: float) -> dict[str, str]:
    """The reset is an RFC 5322 date, not seconds."""
    return {
        "x-ratelimit-consumed": str(_PER_MINUTE - remaining),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": formatdate(time.time() + seconds),
    }


def _not_found(what: str) -> Answer:
    answer = _errors(404, "NotFound", f"The {what} was not found")
    answer.processed = True
    return answer


def _errors(status: int, kind: str, message: str, data: dict[str, Any] | None = None) -> Answer:
    error = {"type": kind, "message": message, "field": None, "data": data, "status": status}
    return as_json({"errors": [error]}, status, headers=_limits(_PER_MINUTE - 1, 60))
