"""The objects of the bucket and the files of an upload: each version is handled once.

The unique rows here are the guard against double work; whoever inserts first owns the upload.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from lead_intel.record import database
from lead_intel.uploads import new_upload_key


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of the bucket whose bytes were read once: the base of an upload."""

    bucket: str
    object_path: str
    object_version: str
    file_name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class UploadFile:
    """One file of an upload, pinned to an object version and a digest."""

    upload: str
    file_no: int
    kind: str
    bucket: str
    object_path: str
    object_version: str
    file_name: str
    bytes: int
    sha256: str
    rows: int | None
    """Rows with text, as counted apart from the reader when the file was last read."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Result of `accept`: the upload, and whether this call created it."""

    upload: str
    created: bool


def accept(connection: psycopg.Connection, stored: StoredObject, supplier: str, profile: str = "strict") -> Accepted:
    """Make the upload of `stored`, or find it: the same bytes from the same supplier are the same upload.

    The profile of an existing upload is left alone (`set_profile` changes it).
    """
    with connection.transaction():
        key = new_upload_key(database.now(connection))
        row = connection.execute(
            "insert into lead_intel.lead_ingestions (upload, supplier, profile, sha256) values (%s, %s, %s, %s) "
            "on conflict (supplier, sha256) do nothing returning upload",
            (key, supplier, profile, stored.sha256),
        ).fetchone()
        created = row is not None
        if row is None:
            row = connection.execute(
                "select upload from lead_intel.lead_ingestions where supplier = %s and sha256 = %s",
                (supplier, stored.sha256),
            ).fetchone()
        assert row is not None  # noqa: S101  # rows of lead_ingestions are never deleted
        upload = str(row[0])
        if created:
            connection.execute(
                "insert into lead_intel.upload_files (upload, file_no, bucket, object_path, object_version, "
                "file_name, bytes, sha256) values (%s, 1, %s, %s, %s, %s, %s, %s)",
                (
                    upload,
                    stored.bucket,
                    stored.object_path,
                    stored.object_version,
                    stored.file_name,
                    stored.bytes,
                    stored.sha256,
                ),
            )
        connection.execute(
            "insert into lead_intel.bucket_objects (bucket, object_path, object_version, upload) "
            "values (%s, %s, %s, %s) on conflict do nothing",
            (stored.bucket, stored.object_path, stored.object_version, upload),
        )
    return Accepted(upload, created)


def replace_object(connection: psycopg.Connection, upload: str, file_no: int, stored: StoredObject) -> None:
    """The same bytes lie in the bucket under another version now, or another name: the upload reads that one."""
    with connection.transaction():
        connection.execute(
            "update lead_intel.upload_files set bucket = %s, object_path = %s, object_version = %s "
            "where upload = %s and file_no = %s and sha256 = %s",
            (stored.bucket, stored.object_path, stored.object_version, upload, file_no, stored.sha256),
        )
        connection.execute(
            "insert into lead_intel.bucket_objects (bucket, object_path, object_version, upload) "
            "values (%s, %s, %s, %s) on conflict do nothing",
            (stored.bucket, stored.object_path, stored.object_version, upload),
        )


def object_seen(connection: psycopg.Connection, bucket: str, object_path: str, object_version: str) -> bool:
    """True when this version of the object was handled before, by whomever."""
    row = connection.execute(
        "select 1 from lead_intel.bucket_objects where bucket = %s and object_path = %s and object_version = %s",
        (bucket, object_path, object_version),
    ).fetchone()
    return row is not None


def objects_listed(connection: psycopg.Connection, bucket: str) -> set[tuple[str, datetime]]:
    """(path, updated_at) of every object version that a sweep has handled."""
    rows = connection.execute(
        "select object_path, listed_at from lead_intel.bucket_objects where bucket = %s and listed_at is not null",
        (bucket,),
    ).fetchall()
    return {(str(path), listed) for path, listed in rows}


def mark_object_listed(
    connection: psycopg.Connection, bucket: str, object_path: str, object_version: str, listed_at: datetime
) -> None:
    """Remember that a sweep has handled this object version (one without an upload is one we cannot take)."""
    connection.execute(
        "insert into lead_intel.bucket_objects (bucket, object_path, object_version, listed_at) "
        "values (%s, %s, %s, %s) on conflict (bucket, object_path, object_version) "
        "do update set listed_at = excluded.listed_at",
        (bucket, object_path, object_version, listed_at),
    )


def files_of(connection: psycopg.Connection, upload: str) -> list[UploadFile]:
    """The upload's files in order."""
    with connection.cursor(row_factory=class_row(UploadFile)) as cursor:
        return cursor.execute(
            "select upload, file_no, kind, bucket, object_path, object_version, file_name, bytes, sha256, rows "
            "from lead_intel.upload_files where upload = %s order by file_no",
            (upload,),
        ).fetchall()


def set_file_reading(connection: psycopg.Connection, upload: str, file_no: int, reading: dict[str, str | None]) -> None:
    """Store how the file was read: format, encoding, delimiter, sheet."""
    connection.execute(
        "update lead_intel.upload_files set format = %s, encoding = %s, delimiter = %s, sheet = %s "
        "where upload = %s and file_no = %s",
        (
            reading.get("format"),
            reading.get("encoding"),
            reading.get("delimiter"),
            reading.get("sheet"),
            upload,
            file_no,
        ),
    )


def set_file_rows(connection: psycopg.Connection, upload: str, file_no: int, rows: int) -> None:
    """Store how many rows the file holds, as counted apart from the reader."""
    connection.execute(
        "update lead_intel.upload_files set rows = %s where upload = %s and file_no = %s", (rows, upload, file_no)
    )
