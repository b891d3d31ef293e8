"""Storage's signed URLs: for a download, for many, and for one upload."""

from __future__ import annotations

import time
from typing import Any

from lead_intel.sandbox import settings
from lead_intel.sandbox.service import Answer, Call, as_json
from lead_intel.sandbox.storage_access import Access, json_of, place, valid
from lead_intel.sandbox.storage_objects import ObjectEndpoints
from lead_intel.sandbox.supabase_project import SERVICE_ROLE, refused
from lead_intel.sandbox.tokens import BadToken, claims_of, signed

_UPLOAD_URL_SECONDS = 7200
_NOT_THERE = "Either the object does not exist or you do not have access to it"


class SignedEndpoints:
    """/object/sign and /object/upload/sign."""

    def __init__(self, access: Access, objects: ObjectEndpoints) -> None:
        self._access = access
        self._objects = objects

    async def sign(self, call: Call) -> Answer:
        """A URL for one object that is there."""
        order = await json_of(call)
        found = self._access.readable(call, "sign")
        token = _signature(f"{found.bucket}/{found.name}", _seconds(order), scope="download")
        return as_json({"signedURL": f"/object/sign/{found.bucket}/{found.name}?token={token}"})

    async def sign_many(self, call: Call) -> Answer:
        """URLs for many; one that is missing is an error of its own item."""
        identity, order = call.request.path_params["bucket"], await json_of(call)
        role = self._access.begin(call, "sign_many", identity)
        seconds, shown = _seconds(order), self._access.shows(role, identity)
        answers = []
        for path in order.get("paths") or []:
            there = shown and self._access.store.find(identity, path) is not None
            token = _signature(f"{identity}/{path}", seconds, scope="download")
            url = f"/object/sign/{identity}/{path}?token={token}" if there else None
            answers.append({"error": None if there else _NOT_THERE, "path": path, "signedURL": url})
        return as_json(answers)

    async def download(self, call: Call) -> Answer:
        """The bytes, for whoever holds the URL."""
        bucket, key = place(call)
        self._access.begin(call, "download_signed", f"{bucket}/{key}", required=False)
        _verified(call.query.get("token", ""), f"{bucket}/{key}", scope="download")
        if self._access.bucket(bucket) is None:
            raise refused("NoSuchBucket")
        return self._objects.content(call, self._access.found(bucket, key))

    async def sign_upload(self, call: Call) -> Answer:
        """A URL for one upload."""
        bucket, key = place(call)
        role = self._access.begin(call, "sign_upload", f"{bucket}/{key}")
        if role != SERVICE_ROLE:
            raise refused("AccessDenied")
        if self._access.bucket(bucket) is None:
            raise refused("NoSuchBucket")
        upsert = call.request.headers.get("x-upsert") == "true"
        valid(key)
        if not upsert:
            self._access.free(bucket, key)
        token = _signature(f"{bucket}/{key}", _UPLOAD_URL_SECONDS, scope="upload", upsert=upsert)
        return as_json({"url": f"/object/upload/sign/{bucket}/{key}?token={token}", "token": token})

    async def upload(self, call: Call) -> Answer:
        """The upload; a second one with the same URL finds the key taken, unless it may replace."""
        bucket, key = place(call)
        self._access.begin(call, "upload_signed", f"{bucket}/{key}", required=False)
        claims = _verified(call.query.get("token", ""), f"{bucket}/{key}", scope="upload")
        return await self._objects.receive(call, bucket, key, upsert=bool(claims.get("upsert")))


def _seconds(order: dict[str, Any]) -> int:
    text = str(order.get("expiresIn", ""))
    if not text.lstrip("-").isdigit() or int(text) < 1:
        raise refused("InvalidParameter", "body/expiresIn must be >= 1")
    return int(text)


def _signature(url: str, seconds: int, **claims: Any) -> str:
    moment = int(time.time())
    return signed({"url": url, **claims, "iat": moment, "exp": moment + seconds}, settings.JWT_SECRET)


def _verified(token: str, url: str, *, scope: str) -> dict[str, Any]:
    try:
        claims = claims_of(token, settings.JWT_SECRET)
    except BadToken as error:
        raise refused("InvalidJWT", error.message) from None
    if claims.get("scope") != scope or claims.get("url") != url:
        raise refused("InvalidSignature")
    return claims
