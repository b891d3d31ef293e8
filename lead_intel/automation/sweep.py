"""Finds lists that appeared in the bucket and makes uploads of them. Knows no Dagster.

The rows of `bucket_objects` are the memory: each object version is handled once, whoever sees it first and however
often the sweep is interrupted.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import psycopg

from lead_intel.errors import RejectedInput
from lead_intel.record import api_storing, bucket, upload_files
from lead_intel.settings import Settings

UNSORTED = "unsorted"
"""Supplier of objects that lie in no folder."""

_NOT_A_SUPPLIER = re.compile(r"[^A-Za-z0-9_.-]+")


def supplier_of(object_path: str) -> str:
    """The supplier is the first folder."""
    parts = PurePosixPath(object_path).parts
    if len(parts) < 2:
        return UNSORTED
    return _NOT_A_SUPPLIER.sub("-", parts[0]).strip("-.")[:63] or UNSORTED


def accept_new_objects(connection: psycopg.Connection, settings: Settings, at_most: int) -> list[str]:
    """Make uploads of objects not seen before, at most so many a call; returns the new uploads.

    Raises:
        SetupError: the bucket is gone or the key refused: an unreadable bucket is not an empty one.
        TransientError: storage does not answer.
    """
    known = upload_files.objects_listed(connection, settings.lead_intel_bucket)
    fresh = [
        listed
        for listed in bucket.list_objects(settings)
        if (listed.path, listed.updated_at) not in known and not bucket.is_correction(listed.path)
    ]
    created = []
    for listed in sorted(fresh, key=lambda listed: listed.updated_at)[:at_most]:
        try:
            version = bucket.version_of(settings, listed.path)
            if not _is_handled(connection, settings, listed.path, version):
                stored = bucket.read_stored(settings, listed.path)
                version = stored.object_version
                accepted = upload_files.accept(connection, stored, supplier_of(listed.path))
                if accepted.created:
                    created.append(accepted.upload)
        except RejectedInput:
            continue  # gone again, or replaced meanwhile: the next sweep sees what is there then
        upload_files.mark_object_listed(connection, settings.lead_intel_bucket, listed.path, version, listed.updated_at)
    return created


def _is_handled(connection: psycopg.Connection, settings: Settings, path: str, version: str) -> bool:
    """True for an object that was seen before, or that holds posted rows: it may lie there before it is pinned."""
    return upload_files.object_seen(connection, settings.lead_intel_bucket, path, version) or api_storing.owns(
        connection, path
    )
