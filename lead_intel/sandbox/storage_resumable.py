"""Storage's resumable uploads: TUS 1.0.0 (core, creation, creation-with-upload, expiration, termination).

As the service's own TUS server does it: plain-text errors with their real status, an id that is bucket, key and
version in base64url, bytes that arrived before a cut are kept, the object appears with the last byte. Stricter than
the server in one point, where the documentation is: a chunk is 6 MiB, or what is left.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import NoReturn

from starlette.requests import ClientDisconnect, Request

from lead_intel.sandbox import storage_upload
from lead_intel.sandbox.bucket_store import Bucket, Description
from lead_intel.sandbox.delivery import drop
from lead_intel.sandbox.resumable_store import Resumable, ResumableStore
from lead_intel.sandbox.service import Answer, Call, Refused
from lead_intel.sandbox.storage_access import KEY, PROJECT_LIMIT, Access
from lead_intel.sandbox.supabase_project import SERVICE_ROLE

CHUNK = 6 * 1024 * 1024
_OFFSET_TYPE = "application/offset+octet-stream"
_TUS = {"tus-resumable": "1.0.0"}
_SECONDS = re.compile(r"-?\d+")
_ABOUT = {
    "tus-version": "1.0.0",
    "tus-extension": "creation,creation-with-upload,creation-defer-length,termination,expiration",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the creation of an upload asks for."""

    bucket: str
    key: str
    metadata: Mapping[str, str]


class ResumableEndpoints:
    """/upload/resumable and the uploads below it."""

    def __init__(self, access: Access, home: Path) -> None:
        self._access = access
        self._uploads = ResumableStore(home, access.memory)
        self._writers: dict[str, asyncio.Task[int]] = {}

    def sweep(self) -> None:
        """Forget the bytes of uploads that are in no row."""
        self._uploads.sweep()

    async def options(self, call: Call) -> Answer:
        """What the server can do."""
        call.about("tus_options")
        return Answer(204, b"", {**_TUS, **_ABOUT, "tus-max-size": str(PROJECT_LIMIT)})

    async def create(self, call: Call) -> Answer:
        """A new upload; a body is its first chunk."""
        headers = call.request.headers
        wanted = _wanted(headers.get("upload-metadata"))
        role = self._access.begin(call, "tus_create", f"{wanted.bucket}/{wanted.key}")
        _speaks_tus(headers)
        if not KEY.fullmatch(wanted.key):
            _refuse(400, f"Invalid key: {wanted.key}")
        bucket = self._permitted(role, wanted.bucket, wanted.key, upsert=headers.get("x-upsert") == "true")
        length = _number(headers.get("upload-length"))
        if length is None:
            _refuse(400, "Upload-Length or Upload-Defer-Length header required\n")
        if length > _limit(bucket):
            _refuse(413, "Maximum size exceeded\n")
        if mimetype := wanted.metadata.get("contentType"):
            _allowed(mimetype, bucket)
        upload = Resumable(
            version=str(uuid.uuid4()),
            bucket=wanted.bucket,
            name=wanted.key,
            length=length,
            description=_description(wanted.metadata),
            metadata=headers.get("upload-metadata", ""),
            upsert=headers.get("x-upsert") == "true",
            expires_at=self._uploads.next_expiry(),
            is_complete=False,
        )
        self._uploads.create(upload)
        call.note["upload"], call.note["length"] = upload.version, length
        answer = {**_TUS, "location": _location(call.request, upload), **_expires(upload)}
        if headers.get("content-type") == _OFFSET_TYPE:
            offset = await self._write(call, upload, 0)
            answer["upload-offset"] = str(offset)
        elif length == 0:
            await self._complete(upload)
        return Answer(201, b"", answer)

    async def head(self, call: Call) -> Answer:
        """How far the upload is."""
        upload = await self._existing(call, "tus_head")
        offset = self._uploads.offset(upload)
        call.note["upload"], call.note["offset"] = upload.version, offset
        return Answer(
            200,
            b"",
            {
                **_TUS,
                "upload-offset": str(offset),
                "upload-length": str(upload.length),
                "upload-metadata": upload.metadata,
                "cache-control": "no-store",
                **_expires(upload),
            },
        )

    async def append(self, call: Call) -> Answer:
        """The next bytes, from exactly where the upload is."""
        upload = await self._existing(call, "tus_append")
        headers = call.request.headers
        if headers.get("content-type") != _OFFSET_TYPE:
            _refuse(403, "Content-Type header required\n")
        offset = _number(headers.get("upload-offset"))
        if offset is None:
            _refuse(403, "Upload-Offset header required\n")
        self._permitted(SERVICE_ROLE, upload.bucket, upload.name, upsert=upload.upsert)
        if upload.is_complete or offset != self._uploads.offset(upload):
            _refuse(409, "Upload-Offset conflict\n")
        new = await self._write(call, upload, offset)
        return Answer(204, b"", {**_TUS, "upload-offset": str(new), **_expires(upload)})

    async def terminate(self, call: Call) -> Answer:
        """Forget an upload that is not complete."""
        upload = await self._existing(call, "tus_terminate")
        if upload.is_complete:
            _refuse(400, "Cannot terminate an already completed upload\n")
        self._uploads.forget(upload)
        return Answer(204, b"", dict(_TUS))

    async def _existing(self, call: Call, operation: str) -> Resumable:
        identity = _identity(call.request.path_params["id"])
        role = self._access.begin(call, operation, identity.rpartition("/")[0])
        _speaks_tus(call.request.headers)
        if role != SERVICE_ROLE:
            _refuse(403, "new row violates row-level security policy")
        version = identity.rpartition("/")[2]
        # A client that comes again takes the upload over from its own dead connection.
        if writer := self._writers.pop(version, None):
            writer.cancel()
            await asyncio.wait({writer})
        upload = self._uploads.find(version)
        if upload is None:
            _refuse(404, "The file for this url was not found\n")
        if call.fault("upload_expired"):
            upload = self._uploads.expire(upload)
        if not upload.is_complete and upload.expires_at <= time.time():
            _refuse(410, "The file for this url no longer exists\n")
        return upload

    def _permitted(self, role: str | None, identity: str, key: str, *, upsert: bool) -> Bucket:
        """The bucket, when the caller may put `key` there."""
        bucket = self._access.bucket(identity)
        if bucket is None:
            _refuse(404, "Bucket not found")
        if role != SERVICE_ROLE:
            _refuse(403, "new row violates row-level security policy")
        if not upsert and self._access.store.find(identity, key):
            _refuse(409, "The resource already exists")
        return bucket

    async def _write(self, call: Call, upload: Resumable, offset: int) -> int:
        """Keep what comes; returns the new offset, and makes the object when it is whole."""
        left = upload.length - offset
        announced = _number(call.request.headers.get("content-length"))
        if announced is not None and announced > left:
            _refuse(413, "upload's size exceeded\n")
        if announced is not None and announced not in (CHUNK, left):
            _refuse(400, "Chunks must be 6 MB\n")
        cut = call.fault("cut")
        most = int(cut.number("bytes", CHUNK // 2)) if cut else left
        narrow = call.fault("narrow")
        rate = narrow.number("bytes_per_second", 1_000_000) if narrow else math.inf
        writer = asyncio.create_task(self._take(call.request, upload, min(most, left), rate))
        self._writers[upload.version] = writer
        try:
            await asyncio.wait({writer})
        finally:
            # This very writer only: a newer one may have taken the upload over.
            if self._writers.get(upload.version) is writer:
                del self._writers[upload.version]
        new = self._uploads.offset(upload)
        call.note.update(upload=upload.version, offset=offset, announced=announced, taken=new - offset)
        if cut:
            await drop(call.request.scope)
        if writer.cancelled() or cut:
            _refuse(400, "Request aborted")
        if new == upload.length:
            await self._complete(upload)
        return new

    async def _take(self, request: Request, upload: Resumable, most: int, rate: float) -> int:
        taken = 0
        with self._uploads.open(upload) as file:
            async for chunk in _body(request):
                part = chunk[: most - taken]
                file.write(part)
                taken += len(part)
                await asyncio.sleep(len(part) / rate)
                if taken == most:
                    break
        return taken

    async def _complete(self, upload: Resumable) -> None:
        whole = self._uploads.complete(upload)
        _, replaced = self._access.store.adopt(upload.bucket, upload.name, whole, upload.description)
        await self._access.memory.committed()
        self._access.store.discard([replaced])


async def _body(request: Request) -> AsyncIterator[bytes]:
    """The body as far as it comes."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        return


def _wanted(header: str | None) -> Wanted:
    """Bucket, key and the rest of `Upload-Metadata`: pairs of a name and base64."""
    metadata = {}
    for pair in filter(None, (header or "").split(",")):
        name, _, value = pair.strip().partition(" ")
        try:
            metadata[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            _refuse(400, "Upload-Metadata is invalid. It MUST consist of one or more comma-separated key-value pairs\n")
    return Wanted(metadata.get("bucketName", ""), metadata.get("objectName", ""), metadata)


def _description(metadata: Mapping[str, str]) -> Description:
    seconds = metadata.get("cacheControl", "")
    cache = f"max-age={seconds}" if _SECONDS.fullmatch(seconds) else "no-cache"
    mimetype = metadata.get("contentType", "application/octet-stream")
    return Description(mimetype, cache, storage_upload.user_metadata(metadata.get("metadata")))


def _location(request: Request, upload: Resumable) -> str:
    identity = f"{upload.bucket}/{upload.name}/{upload.version}"
    name = base64.urlsafe_b64encode(identity.encode()).decode().rstrip("=")
    return f"{request.url.scheme}://{request.url.netloc}{request.url.path}/{name}"


def _identity(name: str) -> str:
    try:
        return base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        _refuse(404, "The file for this url was not found\n")


def _expires(upload: Resumable) -> dict[str, str]:
    return {} if upload.is_complete else {"upload-expires": formatdate(upload.expires_at, usegmt=True)}


def _speaks_tus(headers: Mapping[str, str]) -> None:
    if headers.get("tus-resumable") != "1.0.0":
        _refuse(412, "Tus-Resumable Required\n")


def _number(header: str | None) -> int | None:
    return int(header) if header is not None and header.isdecimal() else None


def _limit(bucket: Bucket) -> int:
    return min(bucket.file_size_limit or PROJECT_LIMIT, PROJECT_LIMIT)


def _allowed(mimetype: str, bucket: Bucket) -> None:
    try:
        storage_upload.must_be_allowed(mimetype, bucket.allowed_mime_types)
    except Refused:
        _refuse(415, f"mime type {mimetype} is not supported")


def _refuse(status: int, text: str) -> NoReturn:
    """An error of the TUS server: plain text and, unlike the rest of Storage, its real status."""
    raise Refused(Answer(status, text.encode(), {**_TUS, "content-type": "text/plain"}))
