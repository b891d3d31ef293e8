"""Reading Segment's Public and Profile API: what an answer says, and what it does not say."""

from __future__ import annotations

from typing import Any

import pytest

from lead_intel.calls.ports import Reply, Request
from lead_intel.calls.transport import fetch
from lead_intel.settings import Settings
from lead_intel.vendors import segment_public as public
from lead_intel.vendors.segment_public import Audience, AudienceCondition, Standing


@pytest.mark.parametrize(
    ("status", "body", "standing"),
    [
        (200, {"data": {"source": {}}}, Standing.FOUND),
        (200, None, Standing.UNREADABLE),
        (200, {"data": []}, Standing.UNREADABLE),
        (302, None, Standing.UNREADABLE),
        (401, {"errors": []}, Standing.REFUSED),
        (403, {"errors": []}, Standing.REFUSED),
        (404, {"errors": []}, Standing.GONE),
        (429, {"errors": []}, Standing.BUSY),
        (500, None, Standing.BUSY),
        (503, None, Standing.BUSY),
    ],
)
def test_only_404_means_gone(status: int, body: Any, standing: Standing) -> None:
    assert public.standing(Reply(status, {}, body)) is standing


@pytest.mark.parametrize(
    ("enabled", "status", "condition"),
    [
        (True, "Live", AudienceCondition.LIVE),
        (True, "Not Computing", AudienceCondition.LIVE),
        (True, "Awaiting Destinations", AudienceCondition.LIVE),
        (True, "Computing", AudienceCondition.COMPUTING),
        (True, "Backfilling", AudienceCondition.COMPUTING),
        (True, "Preparing", AudienceCondition.COMPUTING),
        (True, "Locked", AudienceCondition.COMPUTING),
        (True, "Something of next year", AudienceCondition.COMPUTING),
        (True, "", AudienceCondition.COMPUTING),
        (True, "Failed", AudienceCondition.OFF),
        (True, "Error", AudienceCondition.OFF),
        (True, "Disabled", AudienceCondition.OFF),
        (False, "Live", AudienceCondition.OFF),
    ],
)
def test_an_unknown_status_holds(*, enabled: bool, status: str, condition: AudienceCondition) -> None:
    assert Audience("a", "k", "n", enabled, status).condition is condition


@pytest.mark.parametrize(
    "source", [None, [], {}, {"id": "s"}, {"id": "s", "enabled": "yes"}, {"id": "s", "enabled": None}]
)
def test_a_source_of_another_shape_is_not_guessed_at(source: Any) -> None:
    assert public.read_source(Reply(200, {}, {"data": {"source": source}})) is None


def test_keys_that_are_not_shown_are_none_rather_than_wrong() -> None:
    read = public.read_source(Reply(200, {}, {"data": {"source": {"id": "s", "enabled": True, "writeKeys": None}}}))
    assert read is not None
    assert read.write_keys == ()


@pytest.mark.parametrize("listed", [None, {}, [1], [{"id": 1, "key": "k"}], [{"id": "a"}]])
def test_a_list_of_audiences_of_another_shape_is_not_read_in_part(listed: Any) -> None:
    assert public.read_audiences(Reply(200, {}, {"data": {"audiences": listed}})) is None


def test_a_page_says_where_the_next_one_begins(settings: Settings) -> None:
    assert settings.segment_public_token is not None
    assert settings.segment_space_id is not None
    token, space = settings.segment_public_token.get_secret_value(), settings.segment_space_id
    whole = public.audiences_request(settings.segment_public_url, token, space)
    small = Request(whole.method, whole.url, {"pagination[count]": "3"}, whole.headers)
    first = public.read_audiences(fetch(settings, small, 5))
    assert first is not None
    assert len(first.audiences) == 3
    assert first.next_cursor
    request = public.audiences_request(settings.segment_public_url, token, space, first.next_cursor)
    rest = public.read_audiences(fetch(settings, request, 5))
    assert rest is not None
    assert rest.next_cursor is None
    assert "li_verified_email" in {a.key for a in (*first.audiences, *rest.audiences)}
    assert not {a.key for a in first.audiences} & {a.key for a in rest.audiences}


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://api.segment.io", "us"),
        ("https://api.segmentapis.com", "us"),
        ("https://profiles.segment.com", "us"),
        ("https://events.eu1.segmentapis.com", "eu"),
        ("https://eu1.api.segmentapis.com", "eu"),
        ("https://profiles.euw1.segment.com", "eu"),
        ("http://127.0.0.1:8080/segment", None),
        ("https://segment.io.example", None),
    ],
)
def test_the_region_is_read_from_segments_own_hosts_only(url: str, region: str | None) -> None:
    assert public.region_of(url) == region


def test_ids_stay_inside_their_place_in_the_path() -> None:
    request = public.audience_request("https://api.segmentapis.com", "t", "spa/../x", "aud?x=1")
    assert request.url == "https://api.segmentapis.com/spaces/spa%2F..%2Fx/audiences/aud%3Fx%3D1"
