"""Bytes of an upload, from a multipart form or a bare body, streamed to disk within the bucket's rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from lead_intel.sandbox.bucket_store import Description, Incoming, StoredObject
from lead_intel.sandbox.supabase_project import refused

_CHUNK = 1 << 20


async def receive(request: Request, incoming: Incoming, limit: int, allowed: Sequence[str] | None) -> Description:
    """Take the bytes of `request` into `incoming`, and say what they are."""
    try:
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            return await _from_form(request, incoming, limit, allowed)
        return await _from_body(request, incoming, limit, allowed)
    except MultiPartException as error:
        raise refused("InvalidRequest", error.message) from None
    except ClientDisconnect:
        raise refused("InvalidRequest", "Request aborted") from None


def same(found: StoredObject) -> Description:
    """The description of a copy."""
    return Description(found.mimetype, found.cache_control, found.user_metadata)


async def _from_form(request: Request, incoming: Incoming, limit: int, allowed: Sequence[str] | None) -> Description:
    async with request.form(max_files=1, max_fields=10) as form:
        file = next((part for part in form.values() if isinstance(part, UploadFile)), None)
        if file is None:
            raise refused("InvalidRequest", "No content provided")
        mimetype = str(form.get("contentType") or file.content_type or "application/octet-stream")
        must_be_allowed(mimetype, allowed)
        while chunk := await file.read(_CHUNK):
            _take(incoming, chunk, limit)
        seconds = form.get("cacheControl")
        cache = f"max-age={seconds}" if seconds else "no-cache"
        return Description(mimetype, cache, user_metadata(form.get("metadata")))


async def _from_body(request: Request, incoming: Incoming, limit: int, allowed: Sequence[str] | None) -> Description:
    mimetype = request.headers.get("content-type", "application/octet-stream")
    must_be_allowed(mimetype, allowed)
    async for chunk in request.stream():
        _take(incoming, chunk, limit)
    cache = request.headers.get("cache-control", "no-cache")
    return Description(mimetype, cache, user_metadata(request.headers.get("x-metadata")))


def _take(incoming: Incoming, chunk: bytes, limit: int) -> None:
    if incoming.size + len(chunk) > limit:
        raise refused("EntityTooLarge")
    incoming.write(chunk)


def must_be_allowed(mimetype: str, allowed: Sequence[str] | None) -> None:
    """Refuse a MIME type that the bucket does not take."""
    kind = mimetype.partition(";")[0].strip().lower()
    if not allowed or any(kind == rule or (rule.endswith("/*") and kind.startswith(rule[:-1])) for rule in allowed):
        return
    raise refused("InvalidMimeType", f"mime type {mimetype} is not supported")


def user_metadata(text: Any) -> dict[str, Any] | None:
    """The caller's own metadata, when it is a JSON object."""
    try:
        metadata = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return metadata if isinstance(metadata, dict) else None
