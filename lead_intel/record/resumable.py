"""Resumable uploads into the bucket: TUS 1.0.0 as Supabase Storage speaks it. One request a function; decides nothing.

Own code, because a list must never be lost: the Python client of the protocol (tuspy) sets no timeouts, follows
redirects with the key, and knows no expired upload. The upload's id is kept, never its URL: a server behind a proxy
names hosts and schemes of its own, and the key goes to `SUPABASE_URL` only.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from lead_intel.errors import LeadIntelError, RejectedInput, SetupError, TransientError
from lead_intel.settings import StorageSettings

CHUNK = 6 * 1024 * 1024
"""Bytes: the only size that Supabase documents. The last chunk of an object is what is left."""

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_MOST_WAIT_SECONDS = 300.0
_TRIES = 3


class NameTaken(Exception):
    """An object of this name is there already."""


class UploadGone(Exception):
    """The server knows this upload no more: it expired, or never was."""


class OffsetConflict(Exception):
    """The server does not stand where we thought: ask it."""


class Busy(TransientError):
    """Storage asks to come later; `seconds` is its own wish, or None."""

    def __init__(self, status: int, seconds: float | None) -> None:
        super().__init__("storage_down", f"Storage answered {status}.", "It is tried again.")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an upload stands at the server, in bytes."""

    offset: int
    length: int


def client() -> httpx.Client:
    """The connection that uploads share: with a timeout, without redirects."""
    return httpx.Client(timeout=_TIMEOUT, follow_redirects=False)


def begin(http: httpx.Client, settings: StorageSettings, path: str, length: int, content_type: str, sha256: str) -> str:
    """Announce an object of `length` bytes; returns the upload's id, to be kept before the first byte goes.

    Raises:
        NameTaken: there is an object of that name; nothing is ever overwritten.
        RejectedInput: the bucket refuses the object (size, type, name).
        SetupError: the bucket is missing or the key is refused.
        TransientError: storage does not answer.
    """
    metadata = {
        "bucketName": settings.lead_intel_bucket,
        "objectName": path,
        "contentType": content_type,
        "cacheControl": "3600",
        "metadata": json.dumps({"sha256": sha256}),
    }
    reply = _send(
        http,
        settings,
        "POST",
        "",
        {"Upload-Length": str(length), "Upload-Metadata": _encoded(metadata), "x-upsert": "false"},
    )
    if reply.status_code == httpx.codes.CONFLICT:
        raise NameTaken
    if reply.status_code != httpx.codes.CREATED:
        raise _refused(settings, reply)
    identity: str = urlsplit(str(reply.headers.get("location", ""))).path.rpartition("/")[2]
    if not identity:
        raise TransientError("storage_down", "Storage gave the upload no place.", "It is tried again.")
    return identity


def progress_of(http: httpx.Client, settings: StorageSettings, identity: str) -> Progress:
    """How far the server is with the upload.

    Raises:
        UploadGone: it expired.
        SetupError, TransientError: as `begin`.
    """
    reply = _send(http, settings, "HEAD", identity, {})
    if reply.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        raise UploadGone
    if reply.status_code not in (httpx.codes.OK, httpx.codes.NO_CONTENT):
        raise _refused(settings, reply)
    return Progress(_number(reply, "upload-offset"), _number(reply, "upload-length"))


def append(
    http: httpx.Client, settings: StorageSettings, identity: str, offset: int, length: int, body: Iterator[bytes]
) -> int:
    """Send the `length` bytes of `body` that begin at `offset`; returns the new offset.

    Raises:
        OffsetConflict: the server stands elsewhere, or the name was taken meanwhile.
        UploadGone, RejectedInput, SetupError, TransientError: as above. What arrived before a cut is kept.
    """
    headers = {
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(length),
    }
    reply = _send(http, settings, "PATCH", identity, headers, body)
    if reply.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        raise UploadGone
    if reply.status_code == httpx.codes.CONFLICT:
        raise OffsetConflict
    if reply.status_code == httpx.codes.BAD_REQUEST:
        # Nothing is wrong with a list that was begun well: another request of ours is still in the way.
        raise Busy(reply.status_code, None)
    if reply.status_code not in (httpx.codes.OK, httpx.codes.NO_CONTENT):
        raise _refused(settings, reply)
    return _number(reply, "upload-offset")


def give_up(http: httpx.Client, settings: StorageSettings, identity: str) -> None:
    """Let the server forget an upload that will not be finished; it expires anyway."""
    try:
        _send(http, settings, "DELETE", identity, {})
    except TransientError:
        return


def put_file(settings: StorageSettings, source: Path, path: str, content_type: str, sha256: str) -> None:
    """Upload a file in one go, over a line that may break a few times.

    Raises:
        NameTaken: there is an object of that name.
        RejectedInput, SetupError, TransientError: as `begin`.
    """
    size, tries = source.stat().st_size, 0
    with client() as http, source.open("rb") as file:
        identity = begin(http, settings, path, size, content_type, sha256)
        offset = 0
        while offset < size:
            file.seek(offset)
            chunk = file.read(CHUNK)
            try:
                offset = append(http, settings, identity, offset, len(chunk), iter((chunk,)))
            except OffsetConflict:
                raise NameTaken from None
            except UploadGone:
                raise TransientError("upload_expired", "The upload expired.", "Upload the list again.") from None
            except TransientError:
                tries += 1
                if tries > _TRIES:
                    raise
                time.sleep(tries)
                offset = progress_of(http, settings, identity).offset


def _send(
    http: httpx.Client,
    settings: StorageSettings,
    method: str,
    identity: str,
    headers: Mapping[str, str],
    body: Iterator[bytes] | None = None,
) -> httpx.Response:
    key = settings.supabase_service_key.get_secret_value()
    url = f"{settings.supabase_url.rstrip('/')}/storage/v1/upload/resumable"
    try:
        return http.request(
            method,
            f"{url}/{identity}" if identity else url,
            content=body,
            headers={"apikey": key, "Authorization": f"Bearer {key}", "Tus-Resumable": "1.0.0", **headers},
        )
    except httpx.HTTPError as error:
        raise TransientError(
            "storage_down",
            f"Storage does not answer ({type(error).__name__}).",
            "Check SUPABASE_URL; it is tried again.",
        ) from None


def _encoded(metadata: Mapping[str, str]) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items())


def _number(reply: httpx.Response, name: str) -> int:
    value = reply.headers.get(name, "")
    if not value.isdecimal():
        # A captive portal or a proxy answers 200 too.
        raise TransientError("storage_down", "What answers is not Storage.", "Check SUPABASE_URL and the network.")
    return int(value)


def _refused(settings: StorageSettings, reply: httpx.Response) -> LeadIntelError:
    status = _status(reply)
    if reply.is_redirect:
        return TransientError("storage_down", "Storage redirects elsewhere.", "Check SUPABASE_URL and the network.")
    match status:
        case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
            return SetupError(
                "storage_key",
                "Storage refuses the key.",
                "Set SUPABASE_SERVICE_KEY to the project's service key.",
            )
        case httpx.codes.NOT_FOUND:
            return SetupError(
                "bucket_missing",
                f"The bucket {settings.lead_intel_bucket!r} does not exist.",
                "Create it (private), or set LEAD_INTEL_BUCKET.",
            )
        case httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            return RejectedInput(
                "list_too_large", "The bucket takes no file of this size.", "Split the list, or raise the limit."
            )
        case httpx.codes.UNSUPPORTED_MEDIA_TYPE:
            return RejectedInput("list_type", "The bucket takes no file of this type.", "Save the list as CSV or XLSX.")
        case httpx.codes.LOCKED | httpx.codes.TOO_MANY_REQUESTS | httpx.codes.REQUEST_TIMEOUT:
            return Busy(status, _wait(reply))
        case _ if status >= httpx.codes.INTERNAL_SERVER_ERROR or status < httpx.codes.BAD_REQUEST:
            return Busy(status, _wait(reply))
        case _:
            return RejectedInput("storage_refused", f"Storage refuses the list ({status}).", "Check its name.")


def _status(reply: httpx.Response) -> int:
    """The real status: Storage's gateway answers 400 to much, and says in the body what it means."""
    if reply.status_code == httpx.codes.BAD_REQUEST:
        try:
            said = str(reply.json()["statusCode"])
        except (ValueError, KeyError, TypeError):
            return reply.status_code
        return int(said) if said.isdecimal() else reply.status_code
    return reply.status_code


def _wait(reply: httpx.Response) -> float | None:
    try:
        return min(max(float(reply.headers["retry-after"]), 0.0), _MOST_WAIT_SECONDS)
    except (KeyError, ValueError):
        return None
