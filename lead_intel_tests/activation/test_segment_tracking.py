"""The wire to Segment: the official package's function, and what is added around it."""

import logging
import threading
import time
from typing import Any

import pytest
from segment.analytics import request as official

from lead_intel.settings import Settings
from lead_intel.vendors.segment_tracking import Delivery, Fate, Tracking, judged, size_of


def event(number: int, **traits: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": f"lead-{number}", "messageId": f"li-test-{number}", "traits": traits}


@pytest.fixture
def tracking(settings: Settings) -> Tracking:
    return Tracking(settings, threading.Event())


def test_a_batch_is_taken_and_seen_by_the_workspace(tracking: Tracking, sandbox: Any) -> None:
    assert tracking.send([event(1), event(2)]) == Delivery(Fate.ACCEPTED)
    assert sandbox.ledger()["segment_tracking"]["distinct_message_ids"] == 2


def test_the_packages_session_is_hardened_in_the_one_place_it_has(tracking: Tracking) -> None:
    session = official._session
    assert session.trust_env is False
    assert session.max_redirects == 0
    assert type(session.get_adapter("https://api.segment.io")).__name__ == "_CappedAdapter"


@pytest.mark.parametrize(
    ("kind", "options", "fate"),
    [
        ("redirect", {}, Fate.NO_ANSWER),
        ("server_error", {}, Fate.NO_ANSWER),
        ("bad_gateway", {}, Fate.NO_ANSWER),
        ("garbage", {}, Fate.NO_ANSWER),
        ("empty", {}, Fate.NO_ANSWER),
        ("truncated", {}, Fate.NO_ANSWER),
        ("drop_after", {}, Fate.NO_ANSWER),
        ("huge", {"bytes": 3_000_000}, Fate.NO_ANSWER),
        ("rate_limited", {"retry_after": 7}, Fate.BUSY),
        ("unauthorized", {}, Fate.WRITE_KEY),
        ("forbidden", {}, Fate.WRITE_KEY),
    ],
)
def test_every_other_answer_has_a_fate(
    tracking: Tracking, sandbox: Any, kind: str, options: dict[str, Any], fate: Fate
) -> None:
    sandbox.fault("segment_tracking", kind, **options)
    delivery = tracking.send([event(1)])
    assert delivery.fate is fate
    assert delivery.retry_after == (7 if kind == "rate_limited" else None)


@pytest.mark.parametrize("kind", ["slow", "trickle", "black_hole"])
def test_one_deadline_covers_the_whole_exchange(tracking: Tracking, sandbox: Any, kind: str) -> None:
    sandbox.fault("segment_tracking", kind, seconds=20)
    started = time.monotonic()
    assert tracking.send([event(1)], deadline=0.8).fate is Fate.NO_ANSWER
    assert time.monotonic() - started < 1.3


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_not_json_never_leaves(tracking: Tracking, sandbox: Any, number: float) -> None:
    with pytest.raises(ValueError):
        tracking.send([event(1, score=number)])
    assert sandbox.ledger()["segment_tracking"]["calls"] == 0


def test_size_is_counted_as_the_package_writes_it() -> None:
    assert size_of({"a": "é"}) == len('{"a": "\\u00e9"}')


def test_nothing_of_a_person_is_logged(tracking: Tracking, sandbox: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        tracking.send([event(1, email="ann@example.com")])
        sandbox.fault("segment_tracking", "server_error")
        tracking.send([event(1, email="ann@example.com")])
    assert "ann@" not in caplog.text


@pytest.mark.parametrize("status", [400, 413])
def test_a_400_is_about_the_batch_unless_it_names_the_key(status: int) -> None:
    assert judged(status, {}, b'{"success":false,"message":"Exceeds maximum allowed size"}').fate is Fate.REFUSED
    assert judged(400, {}, b'{"success":false,"message":"An invalid write key was provided"}').fate is Fate.WRITE_KEY


def test_nobody_there_is_no_answer(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"segment_tracking_url": "http://127.0.0.1:9"})
    assert Tracking(nowhere, threading.Event()).send([event(1)]).fate is Fate.NO_ANSWER
