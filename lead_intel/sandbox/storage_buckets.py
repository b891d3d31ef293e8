"""Storage's buckets: create, look at, change, empty, delete."""

from __future__ import annotations

import re
from typing import Any

from lead_intel.sandbox.bucket_store import Bucket
from lead_intel.sandbox.service import Answer, Call, as_json
from lead_intel.sandbox.storage_access import PROJECT_LIMIT, Access, json_of
from lead_intel.sandbox.storage_listing import to_ms
from lead_intel.sandbox.supabase_project import SERVICE_ROLE, refused

_NAME = re.compile(r"[A-Za-z0-9_!.*'() &$=@;:+,?-]{1,100}")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB)", re.IGNORECASE)
_UNITS = {"b": 1, "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000}


class BucketEndpoints:
    """/bucket and what is below it."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._store = access.store

    async def list_all(self, call: Call) -> Answer:
        """Every bucket; none for a caller without the role."""
        role = self._access.begin(call, "list_buckets")
        shown = [seen for bucket in self._store.buckets() if (seen := self._access.bucket(bucket.id))]
        return as_json([_as_json(bucket) for bucket in shown] if role == SERVICE_ROLE else [])

    async def get(self, call: Call) -> Answer:
        """One bucket; missing and not permitted look the same."""
        return as_json(_as_json(self._access.owned(call, "get_bucket")))

    async def create(self, call: Call) -> Answer:
        """A new bucket."""
        order = await json_of(call)
        identity = str(order.get("id") or order.get("name") or "")
        role = self._access.begin(call, "create_bucket", identity)
        if role != SERVICE_ROLE:
            raise refused("AccessDenied")
        if not _NAME.fullmatch(identity):
            raise refused("InvalidBucketName")
        if self._store.bucket(identity) is not None:
            raise refused("BucketAlreadyExists")
        limit = _bytes(order.get("file_size_limit"))
        self._store.create_bucket(identity, order.get("allowed_mime_types"), limit, public=bool(order.get("public")))
        return as_json({"name": identity})

    async def update(self, call: Call) -> Answer:
        """Change what is given; the rest stays."""
        bucket, order = self._access.owned(call, "update_bucket"), await json_of(call)
        changes: dict[str, Any] = {
            name: order[name] for name in ("public", "file_size_limit", "allowed_mime_types") if name in order
        }
        if "file_size_limit" in changes:
            changes["file_size_limit"] = _bytes(changes["file_size_limit"])
        self._store.update_bucket(bucket.id, changes)
        return as_json({"message": "Successfully updated"})

    async def empty(self, call: Call) -> Answer:
        """Remove every object (here at once, though the service only queues it)."""
        bucket = self._access.owned(call, "empty_bucket")
        removed = self._store.remove(bucket.id, [found.name for found in self._store.select(bucket.id, "")])
        await self._access.memory.committed()
        self._store.discard(found.version for found in removed)
        return as_json({"message": "Empty bucket has been queued. Completion may take up to an hour."})

    async def delete(self, call: Call) -> Answer:
        """Delete an empty bucket."""
        bucket = self._access.owned(call, "delete_bucket")
        if not self._store.is_empty(bucket.id):
            raise refused("ResourceNotEmpty")
        self._store.delete_bucket(bucket.id)
        return as_json({"message": "Successfully deleted"})


def _as_json(bucket: Bucket) -> dict[str, Any]:
    return {
        "id": bucket.id,
        "name": bucket.id,
        "owner": "",
        "public": bucket.public,
        "type": "STANDARD",
        "file_size_limit": bucket.file_size_limit,
        "allowed_mime_types": None if bucket.allowed_mime_types is None else list(bucket.allowed_mime_types),
        "created_at": to_ms(bucket.created_at),
        "updated_at": to_ms(bucket.updated_at),
    }


def _bytes(limit: Any) -> int | None:
    """A size limit as a number or as text such as 50MB (decimal units)."""
    if limit is None:
        return None
    text = str(limit).strip()
    unit = _SIZE.fullmatch(text)
    if not text.isdigit() and unit is None:
        raise refused("InvalidRequest", "Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B")
    size = int(text) if unit is None else int(float(unit[1]) * _UNITS[unit[2].lower()])
    if size > PROJECT_LIMIT:
        raise refused("EntityTooLarge")
    return size
