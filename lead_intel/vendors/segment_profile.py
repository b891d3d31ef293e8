"""Segment's Profile API: read one profile's traits back, by our own user id. Requests and readings only.

The push stage uses it for its canary. Phones and e-mails are never used as identifiers here: they would stand in a URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from lead_intel.calls.ports import Reply, Request

TRAITS_PER_PAGE = 200
"""The API's own cap."""


def traits_request(base_url: str, token: str, space_id: str, user_id: str) -> Request:
    """Ask for the traits of the profile with this user id (100 requests a second and space)."""
    path = f"/v1/spaces/{quote(space_id, safe='')}/collections/users/profiles/user_id:{quote(user_id, safe='')}/traits"
    return Request(
        "GET",
        base_url.rstrip("/") + path,
        params={"limit": str(TRAITS_PER_PAGE)},
        basic_auth=(token, ""),
    )


def read_traits(reply: Reply) -> dict[str, Any] | None:
    """The traits of a profile that was found; None for every other answer (see `not_there`)."""
    if reply.status != HTTPStatus.OK or not isinstance(reply.body, Mapping):
        return None
    traits = reply.body.get("traits")
    return dict(traits) if isinstance(traits, Mapping) else None


def not_there(reply: Reply) -> bool:
    """True when the space says that it has no such profile (yet): profiles appear some time after the push."""
    return reply.status == HTTPStatus.NOT_FOUND
