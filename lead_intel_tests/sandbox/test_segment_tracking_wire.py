"""Segment tracking: the official library, three kinds of write key, limits, and what was truly kept."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from segment.analytics import Client
from segment.analytics.request import APIError, post

from lead_intel.sandbox import settings as keys
from lead_intel.sandbox.client import Control


def identify(user: str, message: str | None = None, **traits: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": user, "messageId": message or f"m-{user}", "traits": traits}


@pytest.fixture
def send(http: httpx.Client, vendor: dict[str, str]) -> Any:
    def batch(*events: Any, key: str = keys.SEGMENT_WRITE_KEY) -> httpx.Response:
        body = {"writeKey": key, "batch": list(events), "sentAt": "2026-11-24T00:00:00Z"}
        return http.post(f"{vendor['SEGMENT_TRACKING_URL']}/v1/batch", json=body)

    return batch


@pytest.fixture
def profile(http: httpx.Client, vendor: dict[str, str]) -> Any:
    def read(identity: str, part: str = "traits", **params: str) -> httpx.Response:
        space = vendor["SEGMENT_SPACE_ID"]
        url = f"{vendor['SEGMENT_PROFILE_URL']}/v1/spaces/{space}/collections/users/profiles/{identity}/{part}"
        return http.get(url, params=params, auth=(vendor["SEGMENT_PROFILE_TOKEN"], ""))

    return read


def traits_when_visible(profile: Any, identity: str) -> dict[str, Any]:
    for _ in range(100):
        answer = profile(identity, limit="200")
        if answer.status_code == 200:
            return answer.json()["traits"]
        time.sleep(0.05)
    raise AssertionError(answer.text)


@pytest.mark.parametrize("gzip", [False, True])
def test_the_official_library_delivers_batches(vendor: dict[str, str], control: Control, gzip: bool) -> None:
    failures: list[Any] = []
    client = Client(
        vendor["SEGMENT_WRITE_KEY"],
        host=vendor["SEGMENT_TRACKING_URL"],
        gzip=gzip,
        upload_size=100,
        upload_interval=0.05,
        on_error=lambda error, batch: failures.append(error),
    )
    for index in range(250):
        client.identify(f"user-{index}", {"phone": f"+1212555{index:04d}"}, message_id=f"message-{index}")
    client.flush()
    client.shutdown()
    assert failures == []
    counts = control.ledger()["segment_tracking"]
    assert (counts["distinct_message_ids"], counts["distinct_user_ids"]) == (250, 250)
    assert counts["calls"] >= 3
    assert counts["paid_calls"] == counts["dropped_events"] == 0


def test_the_librarys_own_wire_function_sees_the_rate_limit(vendor: dict[str, str], control: Control) -> None:
    control.fault("segment_tracking", "rate_limited", {"retry_after": 2, "count": 1})
    arguments = {"host": vendor["SEGMENT_TRACKING_URL"], "batch": [identify("u1")]}
    with pytest.raises(APIError) as refused:
        post(vendor["SEGMENT_WRITE_KEY"], **arguments)
    assert (refused.value.status, refused.value.response.headers["Retry-After"]) == (429, "2")
    assert post(vendor["SEGMENT_WRITE_KEY"], **arguments).json() == {"success": True}
    assert control.ledger()["segment_tracking"]["distinct_message_ids"] == 1


def test_a_message_id_is_kept_once_whoever_sends_it(send: Any, control: Control) -> None:
    assert send(identify("u1", "m1", score=1)).json() == {"success": True}
    assert send(identify("u2", "m1", score=2), identify("u2", "m2")).json() == {"success": True}
    assert control.ledger()["segment_tracking"] == {
        "calls": 2, "distinct_keys": 2, "paid_calls": 0,
        "distinct_message_ids": 2, "distinct_user_ids": 2, "dropped_events": 1,
    }  # fmt: skip
    assert [key["key"] for key in control.keys("segment_tracking", more_than=1)] == ["m1"]
    events = control.events("segment_tracking")
    assert [(event["kept"], event["reason"]) for event in events] == [(True, None), (False, "duplicate"), (True, None)]


@pytest.mark.parametrize("key", ["0" * 32, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
def test_a_wrong_key_that_looks_right_is_a_200_and_everything_is_dropped(send: Any, control: Control, key: str) -> None:
    assert send(identify("u1"), key=key).json() == {"success": True}
    counts = control.ledger()["segment_tracking"]
    assert (counts["distinct_message_ids"], counts["dropped_events"], counts["distinct_keys"]) == (0, 1, 0)


@pytest.mark.parametrize("key", ["", "short"])
def test_a_short_key_is_refused(send: Any, key: str) -> None:
    answer = send(identify("u1"), key=key)
    assert answer.status_code == 400
    assert answer.json() == {"success": False, "message": "An invalid write key was provided"}


def test_the_key_may_come_as_basic_auth(http: httpx.Client, vendor: dict[str, str], control: Control) -> None:
    url = f"{vendor['SEGMENT_TRACKING_URL']}/v1/identify"
    http.post(url, json={"userId": "u1", "messageId": "m1"}, auth=(vendor["SEGMENT_WRITE_KEY"], ""))
    assert control.ledger()["segment_tracking"]["distinct_message_ids"] == 1


def test_sizes_beyond_the_limits_are_400(send: Any, control: Control) -> None:
    assert send(identify("u1", note="x" * 33_000)).status_code == 400
    assert send(*(identify(f"u{index}", note="x" * 20_000) for index in range(30))).status_code == 400
    assert control.ledger()["segment_tracking"]["distinct_message_ids"] == 0


def test_too_many_events_are_a_200_and_dropped(send: Any, control: Control) -> None:
    assert send(*(identify(f"u{index}") for index in range(2501))).status_code == 200
    assert control.ledger()["segment_tracking"]["distinct_message_ids"] == 0
    assert send(*(identify(f"u{index}") for index in range(2500))).status_code == 200
    assert control.ledger()["segment_tracking"]["distinct_message_ids"] == 2500


def test_what_is_not_json_is_400(http: httpx.Client, vendor: dict[str, str]) -> None:
    url = f"{vendor['SEGMENT_TRACKING_URL']}/v1/batch"
    for body in (b"{", b'{"batch": [{"userId": "u", "traits": {"a": NaN}}]}', b"[]", b'{"batch": 3}'):
        assert http.post(url, content=body).status_code == 400
    assert http.post(url, content=b"no gzip", headers={"Content-Encoding": "gzip"}).status_code == 400


def test_events_that_nobody_sent_or_with_long_ids_are_dropped(send: Any, control: Control) -> None:
    nobody = {"type": "identify", "messageId": "m1", "traits": {}}
    assert send(nobody, identify("u1", "m" * 101), {**identify("u2"), "type": "shout"}).status_code == 200
    assert [event["reason"] for event in control.events("segment_tracking")] == [
        "no_user_anon_id", "message_id_too_long", "type",
    ]  # fmt: skip


def test_traits_show_in_the_profile_a_little_later_and_null_removes_one(
    send: Any, profile: Any, control: Control
) -> None:
    control.fault("segment_profile", "late", {"seconds": 1})
    send(identify("Lead-1", "m1", email="Ann@example.com", li_mobile=True, score=3))
    assert profile("user_id:lead-1").status_code == 404
    assert traits_when_visible(profile, "user_id:lead-1") == {
        "email": "Ann@example.com", "li_mobile": True, "score": 3,
    }  # fmt: skip
    assert traits_when_visible(profile, "email:ann@EXAMPLE.com")["score"] == 3
    assert profile("user_id:lead-1", **{"class": "audience"}).json()["traits"] == {"li_mobile": True}
    assert profile("user_id:lead-1", include="score").json()["traits"] == {"score": 3}
    send(identify("Lead-1", "m2", li_mobile=None, score=4))
    assert traits_when_visible(profile, "user_id:lead-1")["score"] == 3
    time.sleep(1.1)
    assert traits_when_visible(profile, "user_id:lead-1") == {"email": "Ann@example.com", "score": 4}


def test_a_profile_shows_ten_traits_unless_more_are_asked_for(send: Any, profile: Any) -> None:
    send(identify("u1", **{f"t{index}": index for index in range(15)}))
    assert len(traits_when_visible(profile, "user_id:u1")) == 15
    first = profile("user_id:u1").json()
    assert (len(first["traits"]), first["cursor"]["has_more"]) == (10, True)
    assert profile("user_id:u1", limit="201").status_code == 400
    assert [row["type"] for row in profile("user_id:u1", "external_ids").json()["data"]] == ["user_id"]
    assert profile("user_id:u1", "events").json()["data"][0]["messageId"] == "m-u1"
    assert profile("user_id:u1", "metadata").json()["metadata"]["created_at"]


def test_errors_of_the_profile_api(
    send: Any, profile: Any, control: Control, http: httpx.Client, vendor: dict[str, str]
) -> None:
    assert profile("user_id:nobody").json()["error"]["code"] == "not_found"
    url = f"{vendor['SEGMENT_PROFILE_URL']}/v1/spaces/spa_other/collections/users/profiles/user_id:u/traits"
    assert http.get(url, auth=("wrong", "")).json()["error"]["code"] == "authentication_error"
    control.fault("segment_profile", "rate_limited", {"count": 1})
    assert profile("user_id:u1").json()["error"]["code"] == "rate_limit_error"
    control.fault("segment_profile", "never_appears")
    send(identify("u1"))
    time.sleep(0.4)
    assert profile("user_id:u1").status_code == 404


@pytest.mark.parametrize(
    ("service", "kind"),
    [
        ("segment_tracking", "write_key_revoked"),
        ("segment_tracking", "wrong_region"),
        ("segment_public", "source_disabled"),
        ("segment_public", "write_key_rotated"),
    ],
)
def test_a_dead_key_drops_silently(send: Any, control: Control, service: str, kind: str) -> None:
    control.fault(service, kind)
    assert send(identify("u1")).json() == {"success": True}
    assert control.ledger()["segment_tracking"]["distinct_message_ids"] == 0
    control.clear_fault(service)
    send(identify("u1"))
    assert control.ledger()["segment_tracking"]["distinct_message_ids"] == 1


def test_what_was_kept_can_be_read_event_by_event(send: Any, control: Control) -> None:
    send(identify("u1", "m1", score=1))
    (event,) = control.events("segment_tracking")
    assert event["event"] == json.loads(json.dumps(identify("u1", "m1", score=1)))
    assert control.calls("segment_tracking")[0]["note"] == {"events": 1, "dropped": 0}
