"""Supabase Storage: the official client, unchanged, and the service's oddities."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from storage3.exceptions import StorageApiError
from supabase import Client, ClientOptions, create_client

from lead_intel.sandbox import settings as keys
from lead_intel.sandbox.client import Control

CSV = {"content-type": "text/csv"}
BUCKET = "lead-uploads"


def connected(vendor: dict[str, str], key: str) -> Client:
    options = ClientOptions(auto_refresh_token=False, persist_session=False)
    return create_client(vendor["SUPABASE_URL"], key, options)


@pytest.fixture
def supabase(vendor: dict[str, str]) -> Client:
    return connected(vendor, vendor["SUPABASE_SERVICE_KEY"])


@pytest.fixture
def files(supabase: Client) -> Any:
    return supabase.storage.from_(BUCKET)


@pytest.fixture
def raw(vendor: dict[str, str]) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {vendor['SUPABASE_SERVICE_KEY']}"}
    with httpx.Client(base_url=f"{vendor['SUPABASE_URL']}/storage/v1", headers=headers, timeout=30) as client:
        yield client


def refusal(work: Any) -> tuple[str, str]:
    with pytest.raises(StorageApiError) as refused:
        work()
    return refused.value.status, refused.value.code


# Buckets


def test_the_products_bucket_is_private_and_limited(supabase: Client) -> None:
    bucket = supabase.storage.get_bucket(BUCKET)
    assert bucket.public is False
    assert bucket.file_size_limit
    assert {"text/csv", "application/vnd.ms-excel"} <= set(bucket.allowed_mime_types)
    assert [seen.id for seen in supabase.storage.list_buckets()] == [BUCKET]


def test_a_bucket_lives_from_its_creation_to_its_deletion(supabase: Client) -> None:
    storage = supabase.storage
    assert storage.create_bucket("other", options={"file_size_limit": "50MB", "allowed_mime_types": ["text/*"]}) == {
        "name": "other"
    }
    assert refusal(lambda: storage.create_bucket("other")) == ("409", "Duplicate")
    storage.update_bucket("other", {"public": True})
    changed = storage.get_bucket("other")
    assert (changed.public, changed.file_size_limit, changed.allowed_mime_types) == (True, 50_000_000, ["text/*"])
    storage.from_("other").upload("a.txt", b"x", {"content-type": "text/plain"})
    assert refusal(lambda: storage.delete_bucket("other")) == ("409", "ResourceNotEmpty")
    storage.empty_bucket("other")
    assert storage.delete_bucket("other") == {"message": "Successfully deleted"}
    assert refusal(lambda: storage.get_bucket("other")) == ("404", "Bucket not found")


def test_bucket_names_and_limits_are_checked(supabase: Client) -> None:
    assert refusal(lambda: supabase.storage.create_bucket("a/b"))[0] == "400"
    assert refusal(lambda: supabase.storage.create_bucket("x" * 101)) == ("400", "Invalid Input")
    assert refusal(lambda: supabase.storage.create_bucket("big", options={"file_size_limit": "6GB"}))[0] == "413"


def test_errors_are_http_400_with_the_real_status_in_the_body(raw: httpx.Client) -> None:
    answer = raw.get("/bucket/nowhere")
    assert answer.status_code == 400
    assert answer.json() == {
        "statusCode": "404", "error": "Bucket not found", "message": "Bucket not found", "code": "NoSuchBucket",
    }  # fmt: skip


# Objects


def test_bytes_come_back_as_they_went_in(files: Any) -> None:
    content = bytes(range(256)) * 20_000
    stored = files.upload("acme/list.csv", content, CSV)
    assert stored.full_path == f"{BUCKET}/acme/list.csv"
    assert files.download("acme/list.csv") == content
    info = files.info("acme/list.csv")
    assert info["size"] == len(content)
    assert info["content_type"] == "text/csv"
    assert info["etag"] == f'"{hashlib.md5(content).hexdigest()}"'
    assert files.exists("acme/list.csv")
    assert not files.exists("acme/other.csv")


def test_an_object_is_created_once_unless_it_may_be_replaced(files: Any) -> None:
    files.upload("a.csv", b"1", CSV)
    assert refusal(lambda: files.upload("a.csv", b"2", CSV)) == ("409", "Duplicate")
    first = files.info("a.csv")
    time.sleep(0.01)
    files.upload("a.csv", b"1", {**CSV, "upsert": "true"})
    same = files.info("a.csv")
    assert (same["id"], same["etag"], same["created_at"]) == (first["id"], first["etag"], first["created_at"])
    assert same["version"] != first["version"]
    assert same["last_modified"] > first["last_modified"]
    files.update("a.csv", b"3", CSV)
    assert files.info("a.csv")["etag"] != same["etag"]
    files.update("new.csv", b"4", CSV)
    assert files.download("new.csv") == b"4"


def test_only_allowed_types_within_the_limit_are_taken(files: Any, supabase: Client) -> None:
    assert refusal(lambda: files.upload("a.png", b"x", {"content-type": "image/png"})) == ("415", "invalid_mime_type")
    supabase.storage.create_bucket("strict", options={"allowed_mime_types": ["text/csv"], "file_size_limit": "10B"})
    strict = supabase.storage.from_("strict")
    # The client's own default type is text/plain.
    assert refusal(lambda: strict.upload("a.csv", b"x")) == ("415", "invalid_mime_type")
    assert refusal(lambda: strict.upload("a.csv", b"x" * 11, CSV)) == ("413", "Payload too large")
    assert strict.upload("a.csv", b"x" * 10, CSV)
    assert strict.upload("empty.csv", b"", CSV)
    assert [row["name"] for row in strict.list()] == ["a.csv", "empty.csv"]


@pytest.mark.parametrize("key", ["ü.csv", "客.csv", "a#b.csv", "a[1].csv", "a~.csv", 'a".csv', "a\\b.csv"])
def test_keys_outside_the_rules_are_invalid(files: Any, key: str) -> None:
    assert refusal(lambda: files.upload(key, b"x", CSV)) == ("400", "InvalidKey")


def test_keys_inside_the_rules(files: Any) -> None:
    files.upload("a b/(1)!.'*&$=@;:+,?-_.csv", b"x", CSV)
    files.upload("p%20ct.csv", b"y", CSV)
    files.upload("double//slash.csv", b"z", CSV)
    names = [found.name for found in files.list_v2().objects]
    assert names == ["a b/(1)!.'*&$=@;:+,?-_.csv", "double/slash.csv", "p ct.csv"]


def test_metadata_and_cache_control_are_kept(files: Any) -> None:
    files.upload("a.csv", b"x", {**CSV, "cache-control": "60", "metadata": {"supplier": "acme"}})
    info = files.info("a.csv")
    assert (info["metadata"], info["cache_control"]) == ({"supplier": "acme"}, "max-age=60")


def test_a_bare_body_can_be_uploaded_with_curl(raw: httpx.Client, files: Any) -> None:
    answer = raw.post(f"/object/{BUCKET}/acme/curl.csv", content=b"phone\n", headers={"Content-Type": "text/csv"})
    assert answer.json()["Key"] == f"{BUCKET}/acme/curl.csv"
    assert files.download("acme/curl.csv") == b"phone\n"


def test_downloads_know_ranges_etags_and_conditions(files: Any, raw: httpx.Client) -> None:
    files.upload("a.csv", b"0123456789", CSV)
    url = f"/object/authenticated/{BUCKET}/a.csv"
    whole = raw.get(url)
    assert (whole.headers["content-type"], whole.headers["content-length"]) == ("text/csv", "10")
    assert whole.headers["last-modified"].endswith("GMT")
    for asked, got in (("bytes=2-4", b"234"), ("bytes=7-", b"789"), ("bytes=-3", b"789"), ("bytes=5-99", b"56789")):
        part = raw.get(url, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, got)
    assert part.headers["content-range"] == "bytes 5-9/10"
    assert raw.get(url, headers={"Range": "bytes=20-"}).json()["code"] == "InvalidRange"
    assert raw.get(url, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert raw.head(url).headers["content-length"] == "10"


def test_large_downloads_are_streamed_whole(files: Any, raw: httpx.Client) -> None:
    content = b"0123456789abcdef" * 131_072
    files.upload("big.csv", io.BufferedReader(io.BytesIO(content)), CSV)
    with raw.stream("GET", f"/object/authenticated/{BUCKET}/big.csv") as answer:
        assert b"".join(answer.iter_bytes(65_536)) == content


def test_move_copy_and_remove(files: Any) -> None:
    files.upload("a.csv", b"x", CSV)
    before = files.info("a.csv")
    files.move("a.csv", "b/a.csv")
    moved = files.info("b/a.csv")
    assert (moved["id"], moved["etag"]) == (before["id"], before["etag"])
    assert moved["version"] != before["version"]
    copied = files.copy("b/a.csv", "c.csv")
    assert copied["Key"] == f"{BUCKET}/c.csv"
    assert files.info("c.csv")["id"] != before["id"]
    assert files.download("c.csv") == files.download("b/a.csv") == b"x"
    assert refusal(lambda: files.move("b/a.csv", "c.csv")) == ("409", "Duplicate")
    assert refusal(lambda: files.copy("nowhere.csv", "d.csv")) == ("404", "not_found")
    assert [gone["name"] for gone in files.remove(["c.csv", "nowhere.csv"])] == ["c.csv"]
    assert refusal(lambda: files.download("c.csv")) == ("404", "not_found")
    with pytest.raises(StorageApiError):
        files.remove([f"{index}.csv" for index in range(1001)])


# Listings


def test_a_list_of_a_missing_bucket_is_an_empty_200(supabase: Client) -> None:
    assert supabase.storage.from_("nowhere").list() == []
    assert supabase.storage.from_("nowhere").list_v2().objects == []


def test_version_1_lists_one_level_with_folders(files: Any) -> None:
    for name in ("acme/b.csv", "acme/a.csv", "acme/old/z.csv", "zeta/c.csv", "top.csv"):
        files.upload(name, b"x", CSV)
    assert [(row["name"], row["id"] is None) for row in files.list()] == [
        ("acme", True), ("top.csv", False), ("zeta", True),
    ]  # fmt: skip
    assert [row["name"] for row in files.list("acme")] == ["a.csv", "b.csv", "old"]
    newest = files.list("acme", {"sortBy": {"column": "created_at", "order": "desc"}})
    assert [row["name"] for row in newest] == ["a.csv", "b.csv", "old"]
    assert [row["name"] for row in files.list("acme", {"search": "A.C"})] == ["a.csv"]
    row = files.list("acme")[0]
    assert set(row) == {"name", "id", "updated_at", "created_at", "last_accessed_at", "metadata"}
    assert {"eTag", "size", "mimetype", "cacheControl", "lastModified", "contentLength", "httpStatusCode"} == set(
        row["metadata"]
    )
    assert refusal(lambda: files.list("", {"sortBy": {"column": "size"}}))[0] == "400"


@pytest.mark.slow
def test_the_caps_of_both_listings_are_silent(files: Any, raw: httpx.Client) -> None:
    for index in range(1520):
        raw.post(f"/object/{BUCKET}/many/{index:05d}.csv", content=b"x", headers={"Content-Type": "text/csv"})
    assert len(files.list("many")) == 100
    assert len(files.list("many", {"limit": 5000})) == 1500
    assert len(files.list("many", {"limit": 1000, "offset": 1000})) == 520
    seen: list[str] = []
    page = files.list_v2({"prefix": "many/", "limit": 5000})
    assert len(page.objects) == 1000
    while True:
        seen += [found.name for found in page.objects]
        if not page.hasNext:
            break
        page = files.list_v2({"prefix": "many/", "cursor": page.nextCursor})
    assert seen == [f"many/{index:05d}.csv" for index in range(1520)]
    newest = files.list_v2({"limit": 3, "sortBy": {"column": "updated_at", "order": "desc"}})
    assert [found.name for found in newest.objects] == [f"many/{index:05d}.csv" for index in (1519, 1518, 1517)]
    assert files.list_v2({"prefix": "many/0", "with_delimiter": True, "limit": 1}).hasNext


def test_version_2_can_list_by_folder(files: Any) -> None:
    for name in ("acme/a.csv", "acme/b.csv", "top.csv", "zeta/c.csv"):
        files.upload(name, b"x", CSV)
    page = files.list_v2({"with_delimiter": True, "limit": 2})
    assert ([f.name for f in page.folders], [o.name for o in page.objects]) == (["acme/"], ["top.csv"])
    page = files.list_v2({"with_delimiter": True, "limit": 2, "cursor": page.nextCursor})
    assert ([f.name for f in page.folders], page.hasNext) == (["zeta/"], False)


# Signed URLs


def test_signed_urls_open_one_object_for_a_time(files: Any, http: httpx.Client) -> None:
    files.upload("a b.csv", b"x", CSV)
    signed = files.create_signed_url("a b.csv", 60)["signedURL"]
    assert http.get(signed).content == b"x"
    assert http.get(signed.replace("token=", "token=x")).json()["code"] == "InvalidJWT"
    short = files.create_signed_url("a b.csv", 1)["signedURL"]
    time.sleep(2.1)
    expired = http.get(short)
    assert (expired.status_code, expired.json()["error"]) == (400, "InvalidJWT")
    assert refusal(lambda: files.create_signed_url("nowhere.csv", 60)) == ("404", "not_found")
    first, second = files.create_signed_urls(["a b.csv", "nowhere.csv"], 60)
    assert (first["error"], second["signedURL"]) == (None, None)
    assert "does not exist" in second["error"]


def test_a_signed_upload_url_serves_once(files: Any) -> None:
    signed = files.create_signed_upload_url("late.csv")
    files.upload_to_signed_url("late.csv", signed["token"], b"x", CSV)
    assert files.download("late.csv") == b"x"
    again = lambda: files.upload_to_signed_url("late.csv", signed["token"], b"y", CSV)  # noqa: E731
    assert refusal(again) == ("409", "Duplicate")
    assert refusal(lambda: files.upload_to_signed_url("other.csv", signed["token"], b"y", CSV))[0] == "400"


# Keys and roles


def test_the_anon_key_sees_an_empty_world(files: Any, vendor: dict[str, str]) -> None:
    files.upload("a.csv", b"x", CSV)
    anon = connected(vendor, keys.SUPABASE_ANON_KEY)
    assert refusal(lambda: anon.storage.get_bucket(BUCKET)) == ("404", "Bucket not found")
    assert anon.storage.list_buckets() == []
    assert anon.storage.from_(BUCKET).list() == []
    assert refusal(lambda: anon.storage.from_(BUCKET).download("a.csv")) == ("404", "not_found")
    assert refusal(lambda: anon.storage.from_(BUCKET).upload("b.csv", b"x", CSV)) == ("403", "Unauthorized")


def test_a_key_of_another_project_is_refused(vendor: dict[str, str]) -> None:
    foreign = vendor["SUPABASE_SERVICE_KEY"][:-3] + "AAA"
    stranger = connected(vendor, foreign)
    assert refusal(lambda: stranger.storage.get_bucket(BUCKET)) == ("403", "Unauthorized")


# Faults of its own


def test_guardrail_1_a_bucket_that_is_gone_keeps_its_objects(files: Any, supabase: Client, control: Control) -> None:
    files.upload("a.csv", b"x", CSV)
    control.trip(1)
    assert refusal(lambda: supabase.storage.get_bucket(BUCKET)) == ("404", "Bucket not found")
    assert files.list() == []
    assert files.list_v2().objects == []
    assert refusal(lambda: files.upload("b.csv", b"x", CSV)) == ("404", "Bucket not found")
    assert refusal(lambda: files.download("a.csv")) == ("404", "Bucket not found")
    control.clear_trip(1)
    assert files.download("a.csv") == b"x"


def test_guardrail_1_a_bucket_that_is_misconfigured(supabase: Client, control: Control) -> None:
    control.trip(1, kind="bucket_public")
    assert supabase.storage.get_bucket(BUCKET).public is True
    control.clear_trip(1)
    assert supabase.storage.get_bucket(BUCKET).public is False
    control.fault("supabase_storage", "bucket_unlimited")
    control.fault("supabase_storage", "bucket_types", {"types": ["image/png"]})
    bucket = supabase.storage.get_bucket(BUCKET)
    assert (bucket.file_size_limit, bucket.allowed_mime_types) == (None, ["image/png"])


@pytest.mark.parametrize(("kind", "status"), [("rate_limited", 429), ("database_timeout", 544), ("server_error", 500)])
def test_breakdowns_have_their_own_status(raw: httpx.Client, control: Control, kind: str, status: int) -> None:
    control.fault("supabase_storage", kind)
    answer = raw.get(f"/bucket/{BUCKET}")
    assert (answer.status_code, answer.json()["statusCode"]) == (status, str(status))
