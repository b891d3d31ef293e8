"""Segment's Profile API: reads back what tracking kept, a little later than it was sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from starlette.routing import BaseRoute

from lead_intel.sandbox import settings
from lead_intel.sandbox.answers import hexadecimal
from lead_intel.sandbox.faults import Fault
from lead_intel.sandbox.segment_workspace import Profile, Workspace
from lead_intel.sandbox.service import Answer, Call, Refused, Service, as_json, retry_after

_ERRORS = {
    "unauthorized": (401, "authentication_error", "The access token is invalid"),
    "forbidden": (403, "authentication_error", "The access token is for another space"),
    "rate_limited": (429, "rate_limit_error", "Too many requests"),
    "quota": (429, "rate_limit_error", "Too many requests"),
    "server_error": (500, "internal_error", "An internal error occurred"),
    "not_found": (404, "not_found", "The resource was not found"),
    "invalid": (400, "invalid_request_error", "The request is invalid"),
}


class SegmentProfile(Service):
    """GET /v1/spaces/{space}/collections/users/profiles/{type}:{value}/{part}."""

    name = "segment_profile"
    prefix = "/segment-profiles"
    kinds: ClassVar = {
        "never_appears": "what tracking keeps never shows in a profile",
        "late": "what tracking keeps shows after `seconds` (default 30)",
    }

    def set_up(self) -> None:
        """The workspace's memory."""
        self._workspace = Workspace(self.memory)

    def routes(self) -> list[BaseRoute]:
        """The parts of a profile."""
        path = "/v1/spaces/{space}/collections/users/profiles/{identity:path}/{part:str}"
        return [self.route("GET", path, self._part)]

    def refusal(self, fault: Fault) -> Answer:
        """`{error: {code, message}}`."""
        if fault.kind not in _ERRORS:
            return super().refusal(fault)
        answer = _error(fault.kind)
        answer.headers.update(retry_after(fault))
        return answer

    async def _part(self, call: Call) -> Answer:
        identity, part = call.request.path_params["identity"], call.request.path_params["part"]
        id_type, _, value = identity.partition(":")
        call.about(part, identity)
        if (call.basic_auth() or ("", ""))[0] != settings.SEGMENT_PROFILE_TOKEN:
            raise Refused(_error("unauthorized"))
        if call.request.path_params["space"] != settings.SEGMENT_SPACE_ID:
            raise Refused(_error("forbidden"))
        profile = self._workspace.profile(id_type, value)
        if profile is None:
            return _signed(_error("not_found"), identity)
        return _signed(as_json(self._read(profile, part, call)), identity)

    def _read(self, profile: Profile, part: str, call: Call) -> dict[str, Any]:
        limit = call.query.get("limit", "10")
        if not limit.isdigit() or not 1 <= int(limit) <= 200:
            raise Refused(_error("invalid"))
        cursor = {"url": "", "has_more": False, "next": "", "limit": int(limit)}
        match part:
            case "traits":
                traits = _chosen(profile, call)
                shown = dict(list(traits.items())[: int(limit)])
                return {"traits": shown, "cursor": {**cursor, "has_more": len(shown) < len(traits)}}
            case "external_ids":
                ids = self._workspace.external_ids(profile.user_id)
                return {"data": [_external_id(row) for row in ids], "cursor": cursor}
            case "events":
                return {"data": self._workspace.events(profile.user_id, int(limit)), "cursor": cursor}
            case "metadata":
                return {
                    "metadata": {
                        "created_at": _moment(profile.first_at),
                        "updated_at": _moment(profile.updated_at),
                        "expires_at": None,
                        "lifecycle_stage": "active",
                    }
                }
            case "links":
                return {"data": [], "cursor": cursor}
        raise Refused(_error("not_found"))


def _chosen(profile: Profile, call: Call) -> dict[str, Any]:
    wanted = {name for name in call.query.get("include", "").split(",") if name}
    traits = {name: value for name, value in profile.traits.items() if not wanted or name in wanted}
    if call.query.get("class") == "audience":
        return {name: value for name, value in traits.items() if isinstance(value, bool)}
    return traits


def _external_id(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"], "type": row["type"], "source_id": settings.SEGMENT_SOURCE_ID, "collection": "users",
        "created_at": _moment(row["at"]), "encoding": "none",
    }  # fmt: skip


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _signed(answer: Answer, identity: str) -> Answer:
    answer.headers["request-id"] = hexadecimal(identity, "profile request", 32)
    return answer


def _error(kind: str) -> Answer:
    status, code, message = _ERRORS[kind]
    return as_json({"error": {"code": code, "message": message}}, status)
