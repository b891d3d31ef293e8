"""`lead-intel watch`: every list that rests in the folder lies whole in the bucket, whatever happens on the way."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from typing import Any

import pytest

CHUNK = 6 * 1024 * 1024
SMALL = b"phone,email,consent_source\n2125550123,a@example.com,web_form\n"
OTHER = SMALL.replace(b"0123", b"0124")


def large(chunks: float, seed: int = 7) -> bytes:
    return SMALL + random.Random(seed).randbytes(int(chunks * CHUNK))


def offsets(cloud: Any) -> list[int]:
    return [call["note"]["offset"] for call in cloud.uploads() if call["operation"] == "tus_append"]


def ended(process: subprocess.Popen[str], by: signal.Signals) -> str:
    process.send_signal(by)
    _, told = process.communicate(timeout=15)
    return told


def test_lists_of_several_suppliers_are_uploaded_and_read_back(companion: Any, cloud: Any) -> None:
    companion.put("plain.csv", SMALL)
    companion.put("acme/list.csv", SMALL)
    companion.put("beta.inc/deep/list.csv", OTHER)
    companion.put("beta.inc/list.xlsx", b"PK\x03\x04 not looked into here")

    answer = companion.once("--supplier", "mine")

    assert cloud.objects() == {
        "mine/plain.csv": SMALL,
        "acme/list.csv": SMALL,
        "beta.inc/list.csv": OTHER,
        "beta.inc/list.xlsx": b"PK\x03\x04 not looked into here",
    }
    assert sorted(one["object"] for one in answer["uploaded"]) == sorted(cloud.objects())
    assert answer["known"] == answer["refused"] == answer["failed"] == []


def test_the_same_bytes_are_not_sent_again(companion: Any, cloud: Any) -> None:
    companion.put("list.csv", SMALL)
    companion.once()
    sent = cloud.bytes_announced()
    companion.put("list.csv", SMALL)
    companion.put("copy of list.csv", SMALL)

    again = companion.once()

    assert {one["file"] for one in again["known"]} == {"list.csv", "copy of list.csv"}
    assert again["uploaded"] == []
    assert cloud.bytes_announced() == sent
    assert list(cloud.objects()) == ["default/list.csv"]


@pytest.mark.slow
def test_a_companion_without_its_memory_finds_its_lists_in_the_bucket(companion: Any, cloud: Any) -> None:
    companion.put("list.csv", SMALL)
    companion.once()
    sent = cloud.bytes_announced()
    for file in (companion.home / "companion").iterdir():
        file.unlink()

    again = companion.once()

    assert [one["object"] for one in again["known"]] == ["default/list.csv"]
    assert cloud.bytes_announced() == sent


def test_another_list_of_the_same_name_overwrites_nothing(companion: Any, cloud: Any) -> None:
    companion.put("list.csv", SMALL)
    companion.once()
    companion.put("list.csv", OTHER)

    (second,) = companion.once()["uploaded"]

    assert cloud.objects() == {"default/list.csv": SMALL, second["object"]: OTHER}
    assert second["object"] == f"default/list-{second['sha256'][:12]}.csv"


def test_what_is_no_list_is_said_and_left(companion: Any, cloud: Any) -> None:
    companion.put("holiday.png", b"\x89PNG")
    companion.put("Müller & Söhne/list.csv", SMALL)
    companion.put("nothing.csv", b"")
    (companion.folder / "list.csv.crdownload").write_bytes(SMALL)
    (companion.folder / "~$list.xlsx").write_bytes(b"locked by a person")
    (companion.folder / ".hidden.csv").write_bytes(SMALL)
    (companion.folder / "elsewhere.csv").symlink_to("/etc/hostname")

    answer = companion.once(exit_code=3)

    assert {one["file"]: one["code"] for one in answer["refused"]} == {
        "holiday.png": "file_type",
        "Müller & Söhne/list.csv": "supplier_name",
        "nothing.csv": "empty_file",
    }
    assert answer["error"]["code"] == "lists_refused"
    assert cloud.uploads() == []
    assert len(list(companion.folder.iterdir())) == 7


def test_a_file_that_is_no_list_is_no_failure(companion: Any) -> None:
    companion.put("readme.pdf", b"%PDF")
    companion.put("list.csv", SMALL)
    answer = companion.once()
    assert [one["code"] for one in answer["refused"]] == ["file_type"]
    assert len(answer["uploaded"]) == 1


def test_what_the_bucket_refuses_is_said_with_its_reason(companion: Any, cloud: Any) -> None:
    cloud.control.fault("supabase_storage", "bucket_types", {"types": ["image/png"]})
    companion.put("list.csv", SMALL)
    answer = companion.once(exit_code=3)
    assert [one["code"] for one in answer["refused"]] == ["list_type"]


def test_a_name_that_storage_cannot_keep_is_written_otherwise(companion: Any, cloud: Any) -> None:
    companion.put("Größe [1].csv", SMALL)
    companion.once()
    assert list(cloud.objects()) == ["default/Gr--e -1-.csv"]


def test_a_file_is_taken_when_it_rests(companion: Any, cloud: Any, eventually: Any) -> None:
    watching = companion.start(settle="0.8")
    eventually(lambda: "companion.started" in cloud.events())
    growing = companion.folder / "slow.csv"
    with growing.open("wb", buffering=0) as file:
        for _ in range(12):
            file.write(OTHER)
            time.sleep(0.15)
            assert cloud.uploads() == []
    eventually(cloud.objects)
    assert cloud.objects() == {"default/slow.csv": OTHER * 12}
    ended(watching, signal.SIGTERM)


def test_a_file_that_changes_while_it_is_read_is_started_again(companion: Any, cloud: Any, eventually: Any) -> None:
    cloud.control.fault("supabase_storage", "slow", {"seconds": 0.7, "match": "tus_append"})
    first, second = large(2.5), large(1.5, seed=8)
    path = companion.put("list.csv", first)
    watching = companion.start()
    eventually(lambda: offsets(cloud))
    path.write_bytes(second)
    eventually(cloud.objects)
    assert cloud.objects() == {"default/list.csv": second}
    assert "list.changed" in cloud.events()
    assert [call["operation"] for call in cloud.uploads()].count("tus_terminate") == 1
    ended(watching, signal.SIGINT)


@pytest.mark.parametrize(
    "narrow",
    [pytest.param(True, id="within a chunk"), pytest.param(False, id="between chunks", marks=pytest.mark.slow)],
)
def test_after_a_kill_the_list_goes_on_where_the_server_is(
    companion: Any, cloud: Any, eventually: Any, narrow: bool
) -> None:
    content = large(3.3)
    companion.put("list.csv", content)
    if narrow:
        cloud.control.fault("supabase_storage", "narrow", {"bytes_per_second": 8_000_000, "match": "tus_append"})
    else:
        cloud.control.fault("supabase_storage", "slow", {"seconds": 1, "match": "tus_append", "every": 2})
    killed = companion.start()
    eventually(lambda: len(offsets(cloud)) >= 1)
    time.sleep(0.3)
    killed.kill()
    killed.wait()
    assert cloud.objects() == {}
    cloud.control.clear_fault(None)

    (done,) = companion.once()["uploaded"]

    assert cloud.objects() == {"default/list.csv": content}
    assert [call["operation"] for call in cloud.uploads()].count("tus_create") == 1
    assert cloud.bytes_announced() - len(content) <= CHUNK
    assert done["bytes_sent"] < len(content)
    assert "list.resumed" in cloud.events()


def test_a_cut_connection_loses_what_was_on_the_wire_only(companion: Any, cloud: Any) -> None:
    content = large(2.4)
    companion.put("list.csv", content)
    cloud.control.fault("supabase_storage", "cut", {"bytes": 2_000_000, "every": 2, "match": "tus_append"})
    companion.once()
    # The second cut falls between the last byte and the object.
    assert cloud.objects() == {"default/list.csv": content}
    cuts = [call for call in cloud.uploads() if call["fault"] and "cut" in call["fault"]]
    assert cuts
    assert cloud.bytes_announced() - len(content) <= len(cuts) * CHUNK


@pytest.mark.parametrize(
    "kind",
    [
        "server_error",
        "drop_after",
        *(
            pytest.param(kind, marks=pytest.mark.slow)
            for kind in ("rate_limited", "bad_gateway", "garbage", "redirect")
        ),
    ],
)
def test_an_unwell_server_costs_time_and_nothing_else(companion: Any, cloud: Any, kind: str) -> None:
    content = large(1.2)
    companion.put("list.csv", content)
    cloud.control.fault("supabase_storage", kind, {"count": 2, "match": "tus_append"})
    companion.once()
    assert cloud.objects() == {"default/list.csv": content}
    assert "list.delayed" in cloud.events()


@pytest.mark.slow
def test_an_expired_upload_begins_again(companion: Any, cloud: Any, eventually: Any) -> None:
    content = large(1.5)
    companion.put("list.csv", content)
    cloud.control.fault("supabase_storage", "slow", {"seconds": 5, "match": "tus_append"})
    killed = companion.start()
    eventually(lambda: offsets(cloud) or any(call["operation"] == "tus_create" for call in cloud.uploads()))
    time.sleep(0.3)
    killed.kill()
    killed.wait()
    cloud.control.clear_fault(None)
    cloud.control.fault("supabase_storage", "upload_expired", {"count": 1})

    companion.once()

    assert cloud.objects() == {"default/list.csv": content}
    assert [call["operation"] for call in cloud.uploads()].count("tus_create") == 2


@pytest.mark.slow
def test_a_server_that_restarts_finds_the_upload_where_it_was(
    own_cloud: Any, companion_of: Any, eventually: Any
) -> None:
    companion = companion_of(own_cloud)
    content = large(3.2)
    companion.put("list.csv", content)
    own_cloud.control.fault("supabase_storage", "slow", {"seconds": 0.4, "match": "tus_append"})
    watching = companion.start()
    eventually(lambda: len(offsets(own_cloud)) >= 1)
    own_cloud.kill()
    time.sleep(0.5)
    own_cloud.start()
    own_cloud.control.clear_fault(None)
    eventually(own_cloud.objects)
    assert own_cloud.objects() == {"default/list.csv": content}
    assert [call["operation"] for call in own_cloud.uploads()].count("tus_create") == 1
    assert own_cloud.bytes_announced() - len(content) <= 2 * CHUNK
    eventually(lambda: "list.uploaded" in own_cloud.events())
    ended(watching, signal.SIGTERM)


@pytest.mark.parametrize("by", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_it_ends_cleanly_and_says_so(companion: Any, cloud: Any, eventually: Any, by: signal.Signals) -> None:
    companion.put("list.csv", large(2))
    cloud.control.fault("supabase_storage", "narrow", {"bytes_per_second": 1_000_000, "match": "tus_append"})
    watching = companion.start("--json")
    eventually(lambda: "list.started" in cloud.events())
    began = time.monotonic()
    told = ended(watching, by)
    assert watching.returncode == 0
    assert time.monotonic() - began < 5
    assert "Traceback" not in told
    assert cloud.events()[-1] == "companion.stopped"
    assert cloud.said()[-1][1]["data"]["reason"] == "interrupted"


def test_two_companions_on_one_folder_are_one_too_many(companion: Any, cloud: Any, eventually: Any) -> None:
    first = companion.start()
    eventually(lambda: "companion.started" in cloud.events())
    assert companion.once(exit_code=2)["error"]["code"] == "already_watched"
    ended(first, signal.SIGTERM)


def test_what_it_misses_is_named(companion: Any, tmp_path: Any) -> None:
    companion.put("list.csv", SMALL)
    companion.cloud = type("Nothing", (), {"settings": {}})()
    assert companion.once(exit_code=1)["error"]["code"] == "not_up"
    companion.folder = tmp_path / "nowhere"
    assert companion.once(exit_code=2)["error"]["code"] == "folder_unreadable"


def test_a_bucket_that_is_gone_is_named(companion: Any, cloud: Any) -> None:
    cloud.control.fault("supabase_storage", "bucket_gone", {})
    companion.put("list.csv", SMALL)
    answer = companion.once(exit_code=1)
    assert [one["code"] for one in answer["failed"]] == ["bucket_missing"]


def test_no_name_of_a_file_reaches_the_channel_or_a_readable_place(companion: Any, cloud: Any) -> None:
    companion.put("Jane Doe 2125550199.csv", SMALL)
    companion.put("John Roe.png", b"x")
    companion.once()
    said = str(cloud.said())
    assert cloud.said()
    assert not [word for word in ("Jane", "Doe", "2125550199", "Roe", str(companion.folder)) if word in said]
    memory = companion.home / "companion" / "lists.sqlite3"
    assert memory.stat().st_mode & 0o077 == 0
