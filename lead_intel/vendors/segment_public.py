"""Segment's Public API, the parts that guardrails ask: workspace, sources, audiences. Requests and readings only.

Nothing here calls, waits or decides. Shapes: Public API v73 (`sources`, `spaces/{id}/audiences`), media type v1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from lead_intel.calls.ports import Reply, Request

_MEDIA_TYPE = "application/vnd.segment.v1+json"
AUDIENCES_PER_PAGE = 200
"""The API's own cap for a page of audiences."""


class Standing(StrEnum):
    """What an answer says about the thing asked for. Only `found` and `gone` are statements about it."""

    FOUND = "found"
    GONE = "gone"
    REFUSED = "refused"
    BUSY = "busy"
    UNREADABLE = "unreadable"


class AudienceCondition(StrEnum):
    """Whether an audience can be fed now."""

    LIVE = "live"
    COMPUTING = "computing"
    OFF = "off"


# Statuses as the API spells them; anything unknown counts as computing, which holds instead of blocking for good.
_OFF = frozenset({"disabled", "failed", "error"})
_LIVE = frozenset({"live", "not computing", "awaiting destinations"})


@dataclass(frozen=True, slots=True)
class Source:
    """A source: `write_keys` is empty when the token may not see them, which says nothing about any key."""

    source_id: str
    name: str
    enabled: bool
    write_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Audience:
    """An audience of a space. `key` is the boolean trait that it computes."""

    audience_id: str
    key: str
    name: str
    enabled: bool
    status: str

    @property
    def condition(self) -> AudienceCondition:
        """Disabled, failed: off. Live and computed: live. Everything else: computing."""
        status = self.status.strip().lower()
        if not self.enabled or status in _OFF:
            return AudienceCondition.OFF
        return AudienceCondition.LIVE if status in _LIVE else AudienceCondition.COMPUTING


@dataclass(frozen=True, slots=True)
class AudiencePage:
    """One page of a space's audiences; `next_cursor` is None on the last."""

    audiences: tuple[Audience, ...]
    next_cursor: str | None


def source_request(base_url: str, token: str, source_id: str) -> Request:
    """Ask for one source."""
    return _get(base_url, token, f"/sources/{quote(source_id, safe='')}")


def audience_request(base_url: str, token: str, space_id: str, audience_id: str) -> Request:
    """Ask for one audience (100 a minute)."""
    return _get(base_url, token, f"/spaces/{quote(space_id, safe='')}/audiences/{quote(audience_id, safe='')}")


def audiences_request(base_url: str, token: str, space_id: str, cursor: str | None = None) -> Request:
    """Ask for a page of a space's audiences (60 a minute)."""
    params = {"pagination[count]": str(AUDIENCES_PER_PAGE)}
    if cursor:
        params["pagination[cursor]"] = cursor
    return _get(base_url, token, f"/spaces/{quote(space_id, safe='')}/audiences", params)


def standing(reply: Reply) -> Standing:
    """Read the status. 404 alone means gone; 429 and 5xx never do."""
    if reply.status == HTTPStatus.OK:
        return Standing.FOUND if isinstance(_data(reply), Mapping) else Standing.UNREADABLE
    if reply.status == HTTPStatus.NOT_FOUND:
        return Standing.GONE
    if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Standing.REFUSED
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS or reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Standing.BUSY
    return Standing.UNREADABLE


def read_source(reply: Reply) -> Source | None:
    """The source of a `found` reply; None when its shape is not the documented one."""
    source = _part(reply, "source")
    if not isinstance(source, Mapping) or not isinstance(source.get("enabled"), bool):
        return None
    keys = source.get("writeKeys")
    return Source(
        source_id=str(source.get("id", "")),
        name=str(source.get("name") or source.get("slug") or ""),
        enabled=source["enabled"],
        write_keys=tuple(str(key) for key in keys) if isinstance(keys, list) else (),
    )


def read_audience(reply: Reply) -> Audience | None:
    """The audience of a `found` reply; None when its shape is not the documented one."""
    return _audience(_part(reply, "audience"))


def read_audiences(reply: Reply) -> AudiencePage | None:
    """The page of a `found` reply; None when its shape is not the documented one."""
    listed = _part(reply, "audiences")
    if not isinstance(listed, list):
        return None
    audiences = [_audience(entry) for entry in listed]
    if any(audience is None for audience in audiences):
        return None
    pagination = _part(reply, "pagination")
    cursor = pagination.get("next") if isinstance(pagination, Mapping) else None
    return AudiencePage(tuple(a for a in audiences if a is not None), str(cursor) if cursor else None)


def region_of(url: str) -> str | None:
    """`eu` or `us` for a URL of Segment's own; None for any other host."""
    host = url.split("//", 1)[-1].split("/", 1)[0].lower()
    if not host.endswith((".segment.io", ".segmentapis.com", ".segment.com")):
        return None
    return "eu" if "eu1." in host or "euw1." in host else "us"


def _get(base_url: str, token: str, path: str, params: Mapping[str, str] | None = None) -> Request:
    headers = {"Authorization": f"Bearer {token}", "Accept": _MEDIA_TYPE}
    return Request("GET", base_url.rstrip("/") + path, params=params or {}, headers=headers)


def _data(reply: Reply) -> Any:
    return reply.body.get("data") if isinstance(reply.body, Mapping) else None


def _part(reply: Reply, name: str) -> Any:
    data = _data(reply)
    return data.get(name) if isinstance(data, Mapping) else None


def _audience(entry: Any) -> Audience | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("id"), str) or not isinstance(entry.get("key"), str):
        return None
    return Audience(
        audience_id=entry["id"],
        key=entry["key"],
        name=str(entry.get("name", "")),
        enabled=entry.get("enabled") is True,
        status=str(entry.get("status", "")),
    )
