"""Supabase Storage's resumable uploads: the protocol's own client, unchanged, and what the server refuses."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tusclient.client import TusClient

from lead_intel.sandbox.client import Control

BUCKET = "lead-uploads"
CHUNK = 6 * 1024 * 1024
CONTENT = bytes(range(256)) * (CHUNK // 256) + b"the end"
OFFSET = "application/offset+octet-stream"


@pytest.fixture
def tus(vendor: dict[str, str]) -> Iterator[httpx.Client]:
    key = vendor["SUPABASE_SERVICE_KEY"]
    headers = {"Authorization": f"Bearer {key}", "apikey": key, "Tus-Resumable": "1.0.0"}
    with httpx.Client(base_url=f"{vendor['SUPABASE_URL']}/storage/v1", headers=headers, timeout=30) as client:
        yield client


def metadata(**values: str) -> str:
    wanted = {"bucketName": BUCKET, "objectName": "acme/list.csv", "contentType": "text/csv", **values}
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in wanted.items())


def created(tus: httpx.Client, length: int = len(CONTENT), **values: str) -> httpx.Response:
    return tus.post("/upload/resumable", headers={"Upload-Length": str(length), "Upload-Metadata": metadata(**values)})


def place(reply: httpx.Response) -> str:
    assert reply.status_code == 201, reply.text
    return "/upload/resumable/" + reply.headers["location"].rpartition("/")[2]


def patched(tus: httpx.Client, url: str, offset: int, body: bytes) -> httpx.Response:
    return tus.patch(url, content=body, headers={"Upload-Offset": str(offset), "Content-Type": OFFSET})


def downloaded(tus: httpx.Client, key: str = "acme/list.csv") -> bytes | None:
    reply = tus.get(f"/object/authenticated/{BUCKET}/{key}")
    return reply.content if reply.status_code == 200 else None


def test_the_protocols_own_client_uploads(tus: httpx.Client, vendor: dict[str, str], control: Control) -> None:
    key = vendor["SUPABASE_SERVICE_KEY"]
    client = TusClient(f"{vendor['SUPABASE_URL']}/storage/v1/upload/resumable", {"Authorization": f"Bearer {key}"})
    uploader = client.uploader(
        file_stream=io.BytesIO(CONTENT),
        chunk_size=CHUNK,
        metadata={
            "bucketName": BUCKET,
            "objectName": "acme/list.csv",
            "contentType": "text/csv",
            "cacheControl": "60",
            "metadata": '{"from": "tuspy"}',
        },
    )
    uploader.upload_chunk()
    assert downloaded(tus) is None  # nothing half-written is ever seen
    uploader.upload()

    assert downloaded(tus) == CONTENT
    info = tus.get(f"/object/info/{BUCKET}/acme/list.csv").json()
    assert (info["size"], info["content_type"], info["cache_control"]) == (len(CONTENT), "text/csv", "max-age=60")
    assert info["metadata"] == {"from": "tuspy"}
    assert info["etag"] == f'"{hashlib.md5(CONTENT).hexdigest()}"'
    operations = [call["operation"] for call in control.calls("supabase_storage")]
    assert operations.count("tus_append") == 2


def test_offsets_are_told_and_kept_to(tus: httpx.Client) -> None:
    url = place(created(tus))
    assert tus.head(url).headers["upload-offset"] == "0"

    done = patched(tus, url, 0, CONTENT[:CHUNK])

    assert (done.status_code, done.headers["upload-offset"]) == (204, str(CHUNK))
    assert "upload-expires" in done.headers
    for wrong in (0, CHUNK - 1, len(CONTENT)):
        assert patched(tus, url, wrong, b"the end").status_code == 409
    head = tus.head(url)
    assert (head.headers["upload-offset"], head.headers["upload-length"]) == (str(CHUNK), str(len(CONTENT)))
    assert head.headers["cache-control"] == "no-store"
    assert head.headers["upload-metadata"] == metadata()
    assert patched(tus, url, CHUNK, b"the end").status_code == 204
    assert downloaded(tus) == CONTENT
    # After a lost acknowledgement, the client reads here that it is done.
    assert tus.head(url).headers["upload-offset"] == str(len(CONTENT))
    assert patched(tus, url, len(CONTENT), b"").status_code == 409


def test_what_it_refuses(tus: httpx.Client, vendor: dict[str, str]) -> None:
    assert created(tus, 10**12).status_code == 413
    assert created(tus, contentType="image/png").status_code == 415
    assert created(tus, objectName="acme/ünï.csv").status_code == 400
    assert created(tus, bucketName="no-such-bucket").status_code == 404
    assert tus.post("/upload/resumable", headers={"Upload-Metadata": metadata()}).status_code == 400
    assert tus.post("/upload/resumable", headers={"Upload-Length": "1", "Tus-Resumable": "0.2"}).status_code == 412
    assert tus.head("/upload/resumable/bm8vc3VjaC91cGxvYWQ").status_code == 404
    url = place(created(tus))
    assert tus.patch(url, content=b"x", headers={"Upload-Offset": "0"}).status_code == 403
    assert patched(tus, url, 0, b"x" * (len(CONTENT) + 1)).status_code == 413
    assert patched(tus, url, 0, b"not 6 MB").status_code == 400
    assert httpx.post(f"{vendor['SUPABASE_URL']}/storage/v1/upload/resumable").status_code == 400
    answer = tus.request("OPTIONS", "/upload/resumable")
    assert (answer.status_code, answer.headers["tus-version"]) == (204, "1.0.0")


def test_a_taken_name_is_refused_unless_the_caller_says_so(tus: httpx.Client) -> None:
    late = place(created(tus, 3))
    assert patched(tus, place(created(tus, 3)), 0, b"one").status_code == 204
    assert created(tus, 3).status_code == 409
    assert patched(tus, late, 0, b"two").status_code == 409
    headers = {"Upload-Length": "3", "Upload-Metadata": metadata(), "x-upsert": "true", "Content-Type": OFFSET}
    done = tus.post("/upload/resumable", headers=headers, content=b"new")
    assert (done.status_code, done.headers["upload-offset"]) == (201, "3")
    assert downloaded(tus) == b"new"


def test_an_upload_can_be_given_up_and_expires(tus: httpx.Client, control: Control) -> None:
    url = place(created(tus))
    assert tus.delete(url).status_code == 204
    assert tus.head(url).status_code == 404
    url = place(created(tus))
    control.fault("supabase_storage", "upload_expired", {"count": 1})
    assert tus.head(url).status_code == 410
    assert patched(tus, url, 0, CONTENT[:CHUNK]).status_code == 410


def test_what_arrived_before_a_cut_is_kept(tus: httpx.Client, control: Control) -> None:
    url = place(created(tus))
    control.fault("supabase_storage", "cut", {"bytes": 1_000_000, "count": 1, "match": "tus_append"})
    with pytest.raises(httpx.TransportError):
        patched(tus, url, 0, CONTENT[:CHUNK])
    assert tus.head(url).headers["upload-offset"] == "1000000"
    assert patched(tus, url, 1_000_000, CONTENT[1_000_000:]).status_code == 204
    assert downloaded(tus) == CONTENT


def test_a_client_takes_over_from_its_own_dead_connection(tus: httpx.Client, control: Control, vendor: Any) -> None:
    url = place(created(tus))
    control.fault("supabase_storage", "narrow", {"bytes_per_second": 500_000, "match": "tus_append"})
    ended: list[int] = []
    first = threading.Thread(target=lambda: ended.append(patched(tus, url, 0, CONTENT[:CHUNK]).status_code))
    first.start()
    time.sleep(0.5)
    with httpx.Client(base_url=tus.base_url, headers=tus.headers) as again:
        offset = int(again.head(url).headers["upload-offset"])
    first.join(5)
    assert ended == [400]
    assert 0 < offset < CHUNK
    assert int(tus.head(url).headers["upload-offset"]) == offset
