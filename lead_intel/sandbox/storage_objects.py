"""Storage's objects: upload, download, info, list, remove, move, copy."""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import format_datetime

from lead_intel.sandbox import storage_listing, storage_upload
from lead_intel.sandbox.bucket_store import StoredObject
from lead_intel.sandbox.delivery import FilePart
from lead_intel.sandbox.service import Answer, Call, as_json
from lead_intel.sandbox.storage_access import PROJECT_LIMIT, Access, json_of, place, valid
from lead_intel.sandbox.supabase_project import SERVICE_ROLE, refused

_DELETE_MOST = 1000


class ObjectEndpoints:
    """/object/{bucket}/{key} and its relatives."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._store = access.store

    async def list_v1(self, call: Call) -> Answer:
        """One level under a prefix."""
        identity, order = call.request.path_params["bucket"], await json_of(call)
        role = self._access.begin(call, "list", identity)
        prefix = str(order.get("prefix") or "")
        folder = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
        objects = self._store.select(identity, folder) if self._access.shows(role, identity) else []
        return as_json(storage_listing.one_level(objects, order))

    async def list_v2(self, call: Call) -> Answer:
        """Flat, or by folder, with a cursor."""
        identity, order = call.request.path_params["bucket"], await json_of(call)
        role = self._access.begin(call, "list_v2", identity)
        store = self._store if self._access.shows(role, identity) else None
        return as_json(storage_listing.version_2(store, identity, order))

    async def upload(self, call: Call) -> Answer:
        """POST creates (or replaces, when the caller says so); PUT replaces or creates."""
        bucket, key = place(call)
        role = self._access.begin(call, "upload", f"{bucket}/{key}")
        if role != SERVICE_ROLE:
            raise refused("AccessDenied" if self._access.bucket(bucket) else "NoSuchBucket")
        upsert = call.request.method == "PUT" or call.request.headers.get("x-upsert") == "true"
        return await self.receive(call, bucket, key, upsert=upsert)

    async def receive(self, call: Call, identity: str, key: str, *, upsert: bool) -> Answer:
        """Store the body under `key`; it is seen when it is complete, and not before."""
        bucket = self._access.bucket(identity)
        if bucket is None:
            raise refused("NoSuchBucket")
        valid(key)
        if not upsert:
            self._access.free(identity, key)
        limit = min(bucket.file_size_limit or PROJECT_LIMIT, PROJECT_LIMIT)
        with self._store.incoming() as incoming:
            described = await storage_upload.receive(call.request, incoming, limit, bucket.allowed_mime_types)
            if not upsert:
                # Somebody may have been faster while the bytes came in.
                self._access.free(identity, key)
            object_id, replaced = self._store.put(identity, key, incoming, described)
        call.note["size"] = incoming.size
        await self._access.memory.committed()
        self._store.discard([replaced])
        return as_json({"Id": object_id, "Key": f"{identity}/{key}"})

    async def download(self, call: Call) -> Answer:
        """The bytes."""
        return self.content(call, self._access.readable(call, "download"))

    async def download_public(self, call: Call) -> Answer:
        """The bytes of an object in a public bucket."""
        bucket, key = place(call)
        self._access.begin(call, "download_public", f"{bucket}/{key}", required=False)
        seen = self._access.bucket(bucket)
        if seen is None or not seen.public:
            raise refused("NoSuchBucket")
        return self.content(call, self._access.found(bucket, key))

    async def info(self, call: Call) -> Answer:
        """What is known about an object; the only place that shows its version."""
        found = self._access.readable(call, "info")
        body = {
            "id": found.id,
            "name": found.name,
            "version": found.version,
            "bucket_id": found.bucket,
            "size": found.size,
            "content_type": found.mimetype,
            "cache_control": found.cache_control,
            "etag": found.etag,
            "metadata": found.user_metadata,
            "last_modified": storage_listing.to_ms(found.updated_at),
            "created_at": storage_listing.to_ms(found.created_at),
        }
        return as_json(body, headers={"etag": found.etag})

    def content(self, call: Call, found: StoredObject) -> Answer:
        """The bytes of `found` with Range, ETag and If-None-Match."""
        headers = {
            "content-type": found.mimetype,
            "etag": found.etag,
            "last-modified": format_datetime(datetime.fromisoformat(found.updated_at), usegmt=True),
            "cache-control": found.cache_control,
            "accept-ranges": "bytes",
        }
        if "download" in call.query:
            name = call.query["download"]
            headers["content-disposition"] = f"attachment; filename={name}" if name else "attachment;"
        if call.request.headers.get("if-none-match") == found.etag:
            return Answer(304, b"", headers)
        start, length, status = _range(call.request.headers.get("range"), found.size)
        if status == 206:
            headers["content-range"] = f"bytes {start}-{start + length - 1}/{found.size}"
        if call.request.method == "HEAD":
            return Answer(status, b"", {**headers, "content-length": str(length)})
        return Answer(status, FilePart(self._store.path_of(found.version), start, length), headers)

    async def remove(self, call: Call) -> Answer:
        """Remove many; what is missing is ignored, what was there is returned."""
        identity, order = call.request.path_params["bucket"], await json_of(call)
        names = order.get("prefixes")
        role = self._access.begin(call, "remove", identity)
        if not isinstance(names, list) or not names:
            raise refused("InvalidParameter", "body/prefixes must NOT have fewer than 1 items")
        if len(names) > _DELETE_MOST:
            raise refused("InvalidRequest", f"Bulk object requests are limited to {_DELETE_MOST} objects per request.")
        if not self._access.shows(role, identity):
            return as_json([])
        removed = await self._forget(identity, [str(name) for name in names])
        return as_json([storage_listing.entry(found, found.name) | {"bucket_id": identity} for found in removed])

    async def remove_one(self, call: Call) -> Answer:
        """Remove one."""
        found = self._access.readable(call, "remove")
        await self._forget(found.bucket, [found.name])
        return as_json({"message": "Successfully deleted"})

    async def _forget(self, bucket: str, names: list[str]) -> list[StoredObject]:
        removed = self._store.remove(bucket, names)
        await self._access.memory.committed()
        self._store.discard(found.version for found in removed)
        return removed

    async def move(self, call: Call) -> Answer:
        """Same id, same bytes, another name and another version."""
        found, bucket, key = await self._pair(call, "move")
        old = self._store.move(found, bucket, key)
        await self._access.memory.committed()
        self._store.discard([old])
        return as_json({"message": "Successfully moved", "Id": found.id, "Key": key})

    async def copy(self, call: Call) -> Answer:
        """Same bytes under another name and id."""
        found, bucket, key = await self._pair(call, "copy")
        with self._store.incoming() as incoming, self._store.path_of(found.version).open("rb") as source:
            while chunk := source.read(1 << 20):
                incoming.write(chunk)
            identity, _ = self._store.put(bucket, key, incoming, storage_upload.same(found))
        made = self._access.found(bucket, key)
        return as_json({"Id": identity, "Key": f"{bucket}/{key}", **storage_listing.entry(made, key)})

    async def _pair(self, call: Call, operation: str) -> tuple[StoredObject, str, str]:
        order = await json_of(call)
        source = str(order.get("bucketId"))
        target, key = str(order.get("destinationBucket") or source), str(order.get("destinationKey"))
        role = self._access.begin(call, operation, f"{source}/{order.get('sourceKey')}", f"{target}/{key}")
        if self._access.bucket(source) is None or self._access.bucket(target) is None:
            raise refused("NoSuchBucket")
        if role != SERVICE_ROLE:
            raise refused("NoSuchKey")
        found = self._access.found(source, str(order.get("sourceKey")))
        self._access.free(target, key)
        return found, target, key


def _range(header: str | None, size: int) -> tuple[int, int, int]:
    """Start, length and status for a `Range` header of one range."""
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if asked is None or not (asked[1] or asked[2]):
        return 0, size, 200
    if not asked[1]:
        length = min(int(asked[2]), size)
        return size - length, length, 206
    start, end = int(asked[1]), min(int(asked[2]) if asked[2] else size - 1, size - 1)
    if start > end:
        raise refused("InvalidRange")
    return start, end - start + 1, 206
