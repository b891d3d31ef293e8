"""The sandbox outlives itself: what is kept after kill -9; clean ends; one process per home."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from supabase import ClientOptions, create_client

from lead_intel.errors import SetupError
from lead_intel.sandbox.client import Control
from lead_intel.sandbox.settings import BUCKET, environment
from lead_intel.settings import Settings


def lookup(client: httpx.Client, own: Any, number: str) -> httpx.Response:
    return client.get(
        f"{own.settings['TWILIO_LOOKUP_URL']}/v2/PhoneNumbers/{number}",
        params={"Fields": "line_type_intelligence"},
        auth=(own.settings["TWILIO_ACCOUNT_SID"], own.settings["TWILIO_AUTH_TOKEN"]),
    )


def storage_of(own: Any) -> Any:
    options = ClientOptions(auto_refresh_token=False, persist_session=False)
    client = create_client(own.settings["SUPABASE_URL"], own.settings["SUPABASE_SERVICE_KEY"], options)
    return client.storage.from_(BUCKET)


def test_no_answer_that_was_given_is_missing_from_the_ledger_after_kill_9(own_sandbox: Any) -> None:
    answered: set[str] = set()
    stop = threading.Event()

    def ask(worker: int, life: int) -> None:
        with httpx.Client(timeout=5) as client:
            for index in range(life * 100_000, (life + 1) * 100_000):
                if stop.is_set():
                    return
                number = f"+1212{2 + worker}{index:06d}"
                try:
                    lookup(client, own_sandbox, number).raise_for_status()
                except httpx.TransportError:
                    return
                answered.add(number[1:])

    for life in range(3):
        before = len(answered)
        with ThreadPoolExecutor(4) as pool:
            workers = [pool.submit(ask, worker, life) for worker in range(4)]
            while len(answered) < before + 50:
                time.sleep(0.02)
            own_sandbox.kill()
            stop.set()
            for worker in workers:
                worker.result()
        stop.clear()
        own_sandbox.start()
        counts = own_sandbox.control.ledger()["twilio_lookup"]
        kept = {key["key"] for key in own_sandbox.control.keys("twilio_lookup")}
        assert answered <= kept
        # At most one call in flight per worker was entered and not answered.
        assert len(kept) <= len(answered) + 4 * 3
        assert counts["distinct_keys"] == len(kept)


def test_switches_outlive_kill_9(own_sandbox: Any) -> None:
    own_sandbox.control.fault("twilio_lookup", "server_error", {"count": 3})
    with httpx.Client() as client:
        assert lookup(client, own_sandbox, "+12125550123").status_code == 500
        own_sandbox.kill()
        own_sandbox.start()
        assert [lookup(client, own_sandbox, "+12125550123").status_code for _ in range(3)] == [500, 500, 200]


def test_objects_and_profiles_outlive_kill_9_and_leftover_bytes_do_not(own_sandbox: Any) -> None:
    storage_of(own_sandbox).upload("acme/a.csv", b"phone\n", {"content-type": "text/csv"})
    version = storage_of(own_sandbox).info("acme/a.csv")["version"]
    event = {"type": "identify", "userId": "u1", "messageId": "m1", "traits": {"score": 3}}
    body = {"writeKey": own_sandbox.settings["SEGMENT_WRITE_KEY"], "batch": [event]}
    httpx.post(f"{own_sandbox.settings['SEGMENT_TRACKING_URL']}/v1/batch", json=body)
    own_sandbox.kill()
    folder = own_sandbox.home / "storage"
    (folder / "incoming" / "half-an-upload").write_bytes(b"x")
    (folder / "versions" / "bytes-without-a-row").write_bytes(b"x")
    own_sandbox.start()
    assert storage_of(own_sandbox).download("acme/a.csv") == b"phone\n"
    assert storage_of(own_sandbox).info("acme/a.csv")["version"] == version
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [version]
    space = own_sandbox.settings["SEGMENT_SPACE_ID"]
    url = (
        f"{own_sandbox.settings['SEGMENT_PROFILE_URL']}/v1/spaces/{space}/collections/users/profiles/user_id:u1/traits"
    )
    answer = httpx.get(url, auth=(own_sandbox.settings["SEGMENT_PROFILE_TOKEN"], ""))
    assert answer.json()["traits"] == {"score": 3}
    assert own_sandbox.control.ledger()["segment_tracking"]["distinct_message_ids"] == 1


def test_an_upload_is_not_seen_before_it_is_complete(own_sandbox: Any) -> None:
    url = f"{own_sandbox.settings['SUPABASE_URL']}/storage/v1/object/{BUCKET}/slow.csv"
    headers = {"Authorization": f"Bearer {own_sandbox.settings['SUPABASE_SERVICE_KEY']}", "Content-Type": "text/csv"}
    halfway, go_on = threading.Event(), threading.Event()

    def slowly() -> Any:
        yield b"phone\n"
        halfway.set()
        assert go_on.wait(5)
        yield b"2125550123\n"

    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(httpx.post, url, headers=headers, content=slowly())
        assert halfway.wait(5)
        time.sleep(0.1)
        assert storage_of(own_sandbox).list() == []
        go_on.set()
        assert upload.result().status_code == 200
    assert storage_of(own_sandbox).download("slow.csv") == b"phone\n2125550123\n"


def test_replacing_an_object_leaves_one_version_on_disk(own_sandbox: Any) -> None:
    for content in (b"1", b"2", b"3"):
        storage_of(own_sandbox).upload("a.csv", content, {"content-type": "text/csv", "upsert": "true"})
    storage_of(own_sandbox).move("a.csv", "b.csv")
    assert len(list((own_sandbox.home / "storage" / "versions").iterdir())) == 1
    assert not list((own_sandbox.home / "storage" / "incoming").iterdir())


@pytest.mark.parametrize("hanging", [False, True])
def test_sigterm_ends_it_quickly_and_cleanly(own_sandbox: Any, hanging: bool) -> None:
    pool = ThreadPoolExecutor(1)
    if hanging:
        own_sandbox.control.fault("trestle", "black_hole")
        url = f"{own_sandbox.settings['TRESTLE_URL']}/3.0/phone_intel?phone=2125550123"
        pool.submit(lambda: httpx.get(url, timeout=20))
        time.sleep(0.3)
    started = time.monotonic()
    own_sandbox.process.terminate()
    assert own_sandbox.process.wait(timeout=10) == 0
    assert time.monotonic() - started < 4
    pool.shutdown()


def test_a_home_is_used_by_one_process(own_sandbox: Any) -> None:
    command = [sys.executable, "-m", "lead_intel.sandbox", "--home", str(own_sandbox.home)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert "another sandbox runs on" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_port_in_use_is_said_in_one_line(own_sandbox: Any, tmp_path: Any) -> None:
    port = own_sandbox.url.rpartition(":")[2]
    command = [sys.executable, "-m", "lead_intel.sandbox", "--home", str(tmp_path / "other"), "--port", port]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1


def test_nothing_personal_is_said_on_stdout_or_stderr(own_sandbox: Any, tmp_path: Any) -> None:
    home = str(tmp_path / "talk")
    process = subprocess.Popen(
        [sys.executable, "-m", "lead_intel.sandbox", "--home", home],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    url = process.stdout.readline().split('"')[3]
    own = type("Own", (), {"settings": environment(url)})
    with httpx.Client() as client:
        lookup(client, own, "+12125550123")
    Control(url).fault("twilio_lookup", "truncated")
    with httpx.Client() as client, pytest.raises(httpx.TransportError):
        lookup(client, own, "+12125550123")
    process.terminate()
    out, err = process.communicate(timeout=10)
    assert "2125550123" not in out + err
    assert "Traceback" not in err


def test_the_settings_are_settings_of_the_product() -> None:
    known = {name.upper() for name in Settings.model_fields}
    given = environment("http://127.0.0.1:1/")
    assert set(given) <= known
    assert given == environment("http://127.0.0.1:1")
    required = {"database_url", "lead_intel_identity_key"}
    missing = {name for name, field in Settings.model_fields.items() if field.is_required()} - required
    assert {name.upper() for name in missing} <= set(given)


def test_the_control_is_found_through_the_settings_or_not_at_all() -> None:
    assert Control.from_environment(environment("http://127.0.0.1:8911"))._address.port == 8911
    with pytest.raises(SetupError):
        Control.from_environment({"SUPABASE_URL": "https://project.supabase.co"})
    with pytest.raises(SetupError):
        Control("http://127.0.0.1:9").ledger()
