"""Who calls Storage, what that caller may see, and the bucket as the faults let it be seen."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from lead_intel.sandbox.bucket_store import Bucket, BucketStore, StoredObject
from lead_intel.sandbox.faults import Switches
from lead_intel.sandbox.memory import Memory
from lead_intel.sandbox.service import Call
from lead_intel.sandbox.supabase_project import SERVICE_ROLE, refused, storage_role

KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+")
PROJECT_LIMIT = 5_000_000_000
"""Bytes: the project's own limit of one file."""


class Access:
    """The store, behind the rules of who may reach what. Every endpoint begins here."""

    def __init__(self, service: str, store: BucketStore, switches: Switches, memory: Memory) -> None:
        self.store = store
        self.memory = memory
        self._service = service
        self._switches = switches

    def begin(self, call: Call, operation: str, *keys: str, required: bool = True) -> str | None:
        """Name the call; returns the caller's role, None for a caller without one where none is required."""
        call.about(operation, *keys)
        if call.fault("database_timeout"):
            raise refused("DatabaseTimeout")
        return storage_role(call.request.headers, required=required)

    def bucket(self, identity: str) -> Bucket | None:
        """The bucket as it is to be seen now."""
        bucket = None if self._is_on("bucket_gone", identity) else self.store.bucket(identity)
        if bucket is None:
            return None
        if self._is_on("bucket_public", identity):
            bucket = replace(bucket, public=True)
        if self._is_on("bucket_unlimited", identity):
            bucket = replace(bucket, file_size_limit=None)
        if types := self._is_on("bucket_types", identity):
            bucket = replace(bucket, allowed_mime_types=tuple(types.options.get("types", ["image/png"])))
        return bucket

    def owned(self, call: Call, operation: str) -> Bucket:
        """The bucket of the path, for a caller who may change it."""
        identity = call.request.path_params["bucket"]
        role = self.begin(call, operation, identity)
        bucket = self.bucket(identity)
        if bucket is None or role != SERVICE_ROLE:
            raise refused("NoSuchBucket")
        return bucket

    def shows(self, role: str | None, identity: str) -> bool:
        """Whether this role sees anything in the bucket; if not, its listings are empty, and no error."""
        return role == SERVICE_ROLE and self.bucket(identity) is not None

    def readable(self, call: Call, operation: str) -> StoredObject:
        """The object of the path, for a caller who may read it."""
        bucket, key = place(call)
        role = self.begin(call, operation, f"{bucket}/{key}", required=False)
        seen = self.bucket(bucket)
        if seen is None or (role is None and not seen.public):
            raise refused("NoSuchBucket")
        if role != SERVICE_ROLE and not seen.public:
            raise refused("NoSuchKey")
        return self.found(bucket, key)

    def found(self, bucket: str, key: str) -> StoredObject:
        """The object, or the error that it is not there."""
        found = self.store.find(bucket, key)
        if found is None:
            raise refused("NoSuchKey")
        return found

    def free(self, bucket: str, key: str) -> None:
        """Refuse a key that breaks the rules or is taken."""
        valid(key)
        if self.store.find(bucket, key):
            raise refused("KeyAlreadyExists")

    def _is_on(self, kind: str, identity: str) -> Any:
        return self._switches.is_on(self._service, kind, identity)


def valid(key: str) -> None:
    """Refuse a key with characters that the service does not take."""
    if not KEY.fullmatch(key):
        raise refused("InvalidKey", f"Invalid key: {key}")


def place(call: Call) -> tuple[str, str]:
    """Bucket and key of the path; a double slash counts as one."""
    key = re.sub("/{2,}", "/", call.request.path_params["key"]).lstrip("/")
    return call.request.path_params["bucket"], key


async def json_of(call: Call) -> dict[str, Any]:
    """The JSON object in the body."""
    try:
        order = json.loads(await call.request.body() or b"{}")
    except ValueError:
        raise refused("InvalidParameter", "Body is not valid JSON") from None
    if not isinstance(order, dict):
        raise refused("InvalidParameter", "body must be object")
    return order
