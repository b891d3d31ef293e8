"""The storage bucket that receives lists: put, list, describe, read. Speaks to Supabase Storage; decides nothing.

Listing and describing go through the official client. Reading does not: its `download` holds the whole object in
memory, so bytes are streamed from the same HTTP route.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from lead_intel.errors import RejectedInput, SetupError, TransientError, UsageError
from lead_intel.record import resumable
from lead_intel.record.upload_files import StoredObject, UploadFile
from lead_intel.settings import Settings, StorageSettings

if TYPE_CHECKING:
    from supabase import Client

_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_PAGE = 1000  # the server's own cap of list-v2
_BLOCK = 1 << 20
MIME = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_FALLBACK_MIME = "application/octet-stream"
# Supabase Storage's own rule for keys; everything else becomes a dash (the real name is kept as data).
_NOT_A_KEY = re.compile(r"[^A-Za-z0-9_!.*'() &$=@;:+,?-]")
SUPPLIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_CORRECTION = re.compile(r"[^/]+/corrections/upl_[0-9]{8}_[0-9a-z]{10}/[^/]+")


def checked_supplier(name: str) -> str:
    """`name`, if it can be a supplier's folder. Raises UsageError otherwise."""
    if not SUPPLIER.fullmatch(name):
        raise UsageError(
            "supplier_name", f"{name!r} cannot be a supplier.", "Use letters, digits, dot, dash, underscore."
        )
    return name


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One object as the bucket lists it."""

    path: str
    updated_at: datetime


def object_name(file_name: str) -> str:
    """The file's name as far as it can be a key."""
    return _NOT_A_KEY.sub("-", file_name)


def other_object_name(name: str, sha256: str) -> str:
    """The name for a list whose own is taken by another list."""
    stem = PurePosixPath(name)
    return f"{stem.stem}-{sha256[:12]}{stem.suffix}"


def mime_of(file_name: str) -> str:
    """What the bucket is told that the file is."""
    return MIME.get(PurePosixPath(file_name).suffix.lower(), _FALLBACK_MIME)


def put_list(settings: Settings, source: Path, supplier: str, sha256: str) -> StoredObject:
    """Upload `source` as `<supplier>/<file>`; another list under that name is never overwritten.

    Raises:
        RejectedInput: the bucket refuses the object (size, type, name).
        TransientError: storage does not answer.
    """
    name = object_name(source.name)
    path = f"{supplier}/{name}"
    if not _put(settings, source, path, sha256) and read_stored(settings, path, source.name).sha256 != sha256:
        path = f"{supplier}/{other_object_name(name, sha256)}"
        _put(settings, source, path, sha256)
    return StoredObject(
        bucket=settings.lead_intel_bucket,
        object_path=path,
        object_version=version_of(settings, path),
        file_name=source.name,
        bytes=source.stat().st_size,
        sha256=sha256,
    )


def put_correction(settings: Settings, source: Path, supplier: str, upload: str, sha256: str) -> StoredObject:
    """Upload a corrected file as `<supplier>/corrections/<upload>/<file>`, where no sweep takes it for a new list.

    Raises: as `put_list`.
    """
    return put_list(settings, source, f"{supplier}/corrections/{upload}", sha256)


def is_correction(path: str) -> bool:
    """True for the path of an object that `put_correction` put."""
    return _CORRECTION.fullmatch(path) is not None


def _put(settings: Settings, source: Path, path: str, sha256: str) -> bool:
    """False when the name is taken."""
    from storage3.exceptions import StorageApiError

    mime = mime_of(source.name)
    if source.stat().st_size > resumable.CHUNK:
        # Supabase caps standard uploads, and a list of a million rows is beyond the cap.
        try:
            resumable.put_file(settings, source, path, mime, sha256)
        except resumable.NameTaken:
            return False
        return True
    try:
        with _storage(settings) as client:
            client.storage.from_(settings.lead_intel_bucket).upload(path, source, {"content-type": mime})
    except StorageApiError as error:
        if str(error.status) == "409":
            return False
        raise _refused(settings, error) from None
    except httpx.HTTPError as error:
        raise _unreachable(error) from None
    return True


def list_objects(settings: Settings) -> Iterator[ListedObject]:
    """Every object of the bucket, page by page.

    Raises:
        SetupError: the bucket does not exist (a list alone would answer "empty").
        TransientError: storage does not answer.
    """
    from storage3.exceptions import StorageApiError

    try:
        with _storage(settings) as client:
            client.storage.get_bucket(settings.lead_intel_bucket)
            bucket, cursor = client.storage.from_(settings.lead_intel_bucket), None
            while True:
                options: dict[str, Any] = {"limit": _PAGE, "with_delimiter": False}
                if cursor:
                    options["cursor"] = cursor
                page = bucket.list_v2(options)  # type: ignore[arg-type]  # a TypedDict with optional keys
                for listed in page.objects:
                    if not listed.name.endswith(".emptyFolderPlaceholder"):
                        yield ListedObject(listed.name, listed.updated_at)
                cursor = page.nextCursor
                if not page.hasNext or not cursor:
                    return
    except StorageApiError as error:
        raise _refused(settings, error) from None
    except httpx.HTTPError as error:
        raise _unreachable(error) from None


def version_of(settings: StorageSettings, path: str) -> str:
    """The version of the object's present bytes."""
    from storage3.exceptions import StorageApiError

    try:
        with _storage(settings) as client:
            return str(client.storage.from_(settings.lead_intel_bucket).info(path)["version"])
    except StorageApiError as error:
        raise _refused(settings, error) from None
    except httpx.HTTPError as error:
        raise _unreachable(error) from None


def still_holds(settings: Settings, file: UploadFile) -> bool:
    """True while the object is there in the very version that was accepted.

    Raises:
        SetupError: the bucket is gone or the key refused.
        TransientError: storage does not answer.
    """
    try:
        return version_of(settings, file.object_path) == file.object_version
    except RejectedInput:
        return False


def read_stored(settings: StorageSettings, path: str, file_name: str | None = None) -> StoredObject:
    """Digest the object's bytes, pinned to one version: bytes that change under the reader are read again."""
    for _ in range(3):
        before = version_of(settings, path)
        digest, size = hashlib.sha256(), 0
        for block in _blocks(settings, path):
            digest.update(block)
            size += len(block)
        if version_of(settings, path) == before:
            return StoredObject(
                bucket=settings.lead_intel_bucket,
                object_path=path,
                object_version=before,
                file_name=file_name or PurePosixPath(path).name,
                bytes=size,
                sha256=digest.hexdigest(),
            )
    raise TransientError("object_changing", "The object keeps changing while it is read.", "Try again later.")


def fetch_object(settings: Settings, file: UploadFile, target: Path) -> None:
    """Stream the upload's file to `target`, proven to be the bytes that were accepted.

    Raises:
        RejectedInput: the object is gone or holds other bytes than those accepted.
        TransientError: storage does not answer.
    """
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as handle:
        for block in _blocks(settings, file.object_path):
            digest.update(block)
            handle.write(block)
    if digest.hexdigest() != file.sha256:
        target.unlink(missing_ok=True)
        raise RejectedInput(
            "object_changed",
            "The list in the bucket is no longer the one that was accepted.",
            "Upload the list again; its new content becomes an upload of its own.",
        )


def _blocks(settings: StorageSettings, path: str) -> Iterator[bytes]:
    url = f"{settings.supabase_url}/storage/v1/object/authenticated/{settings.lead_intel_bucket}/{quote(path)}"
    key = settings.supabase_service_key.get_secret_value()
    headers = {"apikey": key, "Authorization": f"Bearer {key}", "Cache-Control": "no-cache"}
    try:
        with httpx.stream("GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=False) as reply:
            if reply.status_code != httpx.codes.OK:
                if reply.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                    raise TransientError("storage_down", f"Storage answered {reply.status_code}.", "Try again.")
                raise RejectedInput("object_missing", "The list is no longer in the bucket.", "Upload the list again.")
            yield from reply.iter_bytes(_BLOCK)
    except httpx.HTTPError as error:
        raise _unreachable(error) from None


class _storage:  # noqa: N801  # reads as a verb at its call sites
    """The official client, with a timeout of ours and closed after use."""

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        self._http = httpx.Client(timeout=_TIMEOUT, follow_redirects=False)

    def __enter__(self) -> Client:
        from supabase import ClientOptions, create_client

        return create_client(
            self._settings.supabase_url,
            self._settings.supabase_service_key.get_secret_value(),
            ClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=self._http),
        )

    def __exit__(self, *_: object) -> None:
        self._http.close()


def _refused(settings: StorageSettings, error: Any) -> RejectedInput | SetupError | TransientError:
    status = str(error.status)
    if status.startswith("5"):
        return TransientError("storage_down", f"Storage answered {status}.", "Try again in a moment.")
    if error.code in ("Bucket not found", "NoSuchBucket"):
        return SetupError(
            "bucket_missing",
            f"The bucket {settings.lead_intel_bucket!r} does not exist.",
            "Create it (private), or set LEAD_INTEL_BUCKET.",
        )
    if status in ("401", "403"):
        return SetupError(
            "storage_key",
            "Storage refuses the key.",
            "Set SUPABASE_SERVICE_KEY to the project's service key.",
        )
    return RejectedInput("storage_refused", f"Storage refuses the list: {error.code}.", "Check its size and type.")


def _unreachable(error: httpx.HTTPError) -> TransientError:
    return TransientError(
        "storage_down",
        f"Storage does not answer ({type(error).__name__}).",
        "Check SUPABASE_URL and try again.",
    )
