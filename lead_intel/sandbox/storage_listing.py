"""How Storage lists objects: v1 one level at a time, v2 flat or by folder with a cursor. Their caps are silent."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any

from lead_intel.sandbox.bucket_store import BucketStore, StoredObject
from lead_intel.sandbox.supabase_project import refused

_CAP_V1, _CAP_V2 = 1500, 1000
_COLUMNS_V1 = ("name", "updated_at", "created_at", "last_accessed_at")
_COLUMNS_V2 = ("name", "updated_at", "created_at")


def to_ms(moment: str) -> str:
    """The moment as the service shows it: to the millisecond."""
    return f"{moment[:23]}Z"


def entry(found: StoredObject, name: str) -> dict[str, Any]:
    """An object in a listing; it has no version there."""
    return {
        "name": name,
        "id": found.id,
        "updated_at": to_ms(found.updated_at),
        "created_at": to_ms(found.created_at),
        "last_accessed_at": to_ms(found.created_at),
        "metadata": {
            "eTag": found.etag,
            "size": found.size,
            "mimetype": found.mimetype,
            "cacheControl": found.cache_control,
            "lastModified": to_ms(found.updated_at),
            "contentLength": found.size,
            "httpStatusCode": 200,
        },
    }


def one_level(objects: Iterable[StoredObject], order: dict[str, Any]) -> list[dict[str, Any]]:
    """v1: names relative to the prefix; folders are rows without an id; at most 1,500 whatever is asked."""
    prefix = str(order.get("prefix") or "")
    start = len(prefix) if not prefix or prefix.endswith("/") else len(prefix) + 1
    column, order_by = _sorting(order, _COLUMNS_V1)
    limit, offset = _whole(order, "limit", 100, 1), _whole(order, "offset", 0, 0)
    rows: dict[str, dict[str, Any]] = {}
    for found in objects:
        head, slash, _ = found.name[start:].partition("/")
        rows.setdefault(head + slash, _folder(head) if slash else entry(found, head))
    search = str(order.get("search") or "").lower()
    shown = [row for row in rows.values() if search in row["name"].lower()]
    shown.sort(key=lambda row: (row[column] or "", row["name"]), reverse=order_by == "desc")
    return shown[offset : offset + min(limit, _CAP_V1)]


def _folder(name: str) -> dict[str, Any]:
    return {"name": name, **dict.fromkeys(("id", "updated_at", "created_at", "last_accessed_at", "metadata"))}


def version_2(store: BucketStore | None, bucket: str, order: dict[str, Any]) -> dict[str, Any]:
    """v2: at most 1,000 a page; `nextCursor` is absent on the last one. `store` None: nothing to be seen."""
    if order.get("prefix") is not None and not isinstance(order["prefix"], str):
        raise refused("InvalidParameter", "body/prefix must be string")
    column, order_by = _sorting(order, _COLUMNS_V2)
    limit = min(_whole(order, "limit", _CAP_V2, 1), _CAP_V2)
    if store is None:
        return {"hasNext": False, "folders": [], "objects": []}
    prefix, by_folder = order.get("prefix") or "", bool(order.get("with_delimiter"))
    folders: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    after, taken = _after(order.get("cursor")), 0
    while True:
        page = store.page(bucket, prefix, column, order_by, after, limit + 1 if not by_folder else 5000)
        for found in page:
            folder = _folder_of(found.name, prefix) if by_folder else None
            if folder is not None and folders and folders[-1]["name"] == folder:
                after = (getattr(found, column), found.name)
                continue
            if taken == limit:
                return {"hasNext": True, "nextCursor": _cursor(after), "folders": folders, "objects": objects}
            after, taken = (getattr(found, column), found.name), taken + 1
            if folder is not None:
                folders.append({"key": folder.rstrip("/").rpartition("/")[2], "name": folder})
            else:
                objects.append(entry(found, found.name) | {"key": found.name.rpartition("/")[2]})
        if len(page) < (limit + 1 if not by_folder else 5000):
            return {"hasNext": False, "folders": folders, "objects": objects}


def _folder_of(name: str, prefix: str) -> str | None:
    head, slash, _ = name[len(prefix) :].partition("/")
    return prefix + head + slash if slash else None


def _cursor(after: tuple[str, str] | None) -> str:
    return base64.urlsafe_b64encode(json.dumps(after).encode()).decode()


def _after(cursor: Any) -> tuple[str, str] | None:
    if not cursor:
        return None
    try:
        value, name = json.loads(base64.urlsafe_b64decode(str(cursor)))
    except (ValueError, TypeError, binascii.Error):
        raise refused("InvalidParameter", "cursor is not valid") from None
    return str(value), str(name)


def _sorting(order: dict[str, Any], columns: tuple[str, ...]) -> tuple[str, str]:
    sorting = order.get("sortBy") or {}
    column = sorting.get("column", "name")
    if column not in columns:
        raise refused("InvalidParameter", "body/sortBy/column must be equal to one of the allowed values")
    return str(column), "desc" if sorting.get("order") == "desc" else "asc"


def _whole(order: dict[str, Any], name: str, default: int, least: int) -> int:
    value = order.get(name, default)
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise refused("InvalidParameter", f"body/{name} must be >= {least}")
    return value
