"""Segment's Public API: the models of the official SDK, guards, paging, counts, erasure."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from lead_intel.sandbox import settings as keys
from lead_intel.sandbox.client import Control
from lead_intel.sandbox.segment_audiences import audience_id

MODELS = json.loads(
    (Path(__file__).parents[1] / "data/specs/segment_public_api_73.2.0_models.schemas.json").read_text()
)
V1 = "application/vnd.segment.v1+json"


def fits(model: str, value: Any) -> None:
    jsonschema.Draft202012Validator(MODELS[model]).validate(value)


@pytest.fixture
def public(http: httpx.Client, vendor: dict[str, str]) -> Any:
    def ask(path: str, method: str = "GET", **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {vendor['SEGMENT_PUBLIC_TOKEN']}", "Accept": V1}
        return http.request(method, vendor["SEGMENT_PUBLIC_URL"] + path, headers=headers, **more)

    return ask


@pytest.fixture
def audiences(vendor: dict[str, str]) -> str:
    return f"/spaces/{vendor['SEGMENT_SPACE_ID']}/audiences"


def test_workspace_sources_and_spaces_fit_the_sdks_models(public: Any, vendor: dict[str, str]) -> None:
    workspace = public("/")
    assert workspace.headers["content-type"] == V1
    fits("WorkspaceV1", workspace.json()["data"]["workspace"])
    listed = public("/sources").json()["data"]
    fits("PaginationOutput", listed["pagination"])
    source = public(f"/sources/{vendor['SEGMENT_SOURCE_ID']}").json()["data"]["source"]
    assert listed["sources"] == [source]
    fits("SourceV1", source)
    assert (source["enabled"], source["writeKeys"]) == (True, [vendor["SEGMENT_WRITE_KEY"]])
    fits("Space", public("/spaces").json()["data"]["spaces"][0])


def test_audiences_of_the_policy_exist_and_fit_the_sdks_models(public: Any, audiences: str, policy: Any) -> None:
    for persona in policy.personas.personas.values():
        audience = public(f"{audiences}/{audience_id(persona.audience_key)}").json()["data"]["audience"]
        fits("AudienceSummaryWithAudienceTypeAndLookback", audience)
        fits("AudienceSummary", audience)
        assert (audience["key"], audience["enabled"], audience["status"]) == (persona.audience_key, True, "Live")


def test_audiences_are_paged_by_a_cursor(public: Any, audiences: str) -> None:
    seen, cursor = [], None
    while True:
        params = {"pagination[count]": 3} | ({"pagination[cursor]": cursor} if cursor else {})
        data = public(audiences, params=params).json()["data"]
        fits("PaginationOutput", data["pagination"])
        seen += [audience["key"] for audience in data["audiences"]]
        cursor = data["pagination"]["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == data["pagination"]["totalEntries"] == 8
    assert public(audiences, params={"pagination[count]": 201}).status_code == 422
    assert public(audiences, params={"pagination[cursor]": "???"}).status_code == 422


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("audience_disabled", {"enabled": False, "status": "Disabled"}),
        ("audience_computing", {"enabled": True, "status": "Computing"}),
        ("audience_key_changed", {"key": "li_verified_email_v2"}),
    ],
)
def test_an_audience_changes_under_a_fault(
    public: Any, audiences: str, control: Control, kind: str, seen: dict[str, Any]
) -> None:
    control.fault("segment_public", kind, {"match": "li_verified_email"})
    touched = public(f"{audiences}/{audience_id('li_verified_email')}").json()["data"]["audience"]
    assert seen.items() <= touched.items()
    other = public(f"{audiences}/{audience_id('li_reachable_mobile')}").json()["data"]["audience"]
    assert (other["key"], other["status"]) == ("li_reachable_mobile", "Live")


def test_a_deleted_audience_is_404_and_comes_back_with_the_trip_cleared(
    public: Any, audiences: str, control: Control
) -> None:
    control.trip(8, options={"match": "li_verified_email"})
    gone = public(f"{audiences}/{audience_id('li_verified_email')}")
    assert gone.status_code == 404
    fits("RequestErrorEnvelope", gone.json())
    assert gone.json()["errors"][0]["type"] == "NotFound"
    assert len(public(audiences).json()["data"]["audiences"]) == 7
    control.clear_trip(8)
    assert public(f"{audiences}/{audience_id('li_verified_email')}").status_code == 200


def test_an_audience_can_be_deleted_by_the_api_itself(public: Any, audiences: str, control: Control) -> None:
    one = f"{audiences}/{audience_id('li_verified_email')}"
    assert public(one, "DELETE").status_code == 200
    assert public(one).status_code == 404
    control.reset()
    assert public(one).status_code == 200


def test_guardrail_7_sees_a_disabled_source_a_rotated_key_or_nothing(
    public: Any, control: Control, vendor: dict[str, str]
) -> None:
    def source() -> dict[str, Any]:
        return public(f"/sources/{vendor['SEGMENT_SOURCE_ID']}").json()["data"]["source"]

    control.trip(7)
    assert source()["enabled"] is False
    control.clear_trip(7)
    control.fault("segment_public", "write_keys_hidden")
    assert (source()["enabled"], source()["writeKeys"]) == (True, [])
    control.clear_fault("segment_public")
    control.fault("segment_public", "write_key_rotated")
    assert keys.SEGMENT_WRITE_KEY not in source()["writeKeys"]
    control.fault("segment_public", "source_gone")
    assert public(f"/sources/{vendor['SEGMENT_SOURCE_ID']}").status_code == 404


def test_a_rate_limit_says_in_its_body_and_an_rfc_5322_date_when_it_ends(public: Any, control: Control) -> None:
    control.fault("segment_public", "rate_limited", {"retry_after": 30})
    answer = public("/")
    assert answer.status_code == 429
    fits("RequestErrorEnvelope", answer.json())
    assert answer.json()["errors"][0]["data"] == {
        "remainingPoints": 0, "msBeforeNext": 30_000, "consumedPoints": 601,
    }  # fmt: skip
    wait = parsedate_to_datetime(answer.headers["x-ratelimit-reset"]).astimezone(UTC) - datetime.now(UTC)
    assert timedelta(seconds=25) < wait <= timedelta(seconds=31)
    assert answer.headers["retry-after"] == "30"


def test_a_wrong_token_is_401(http: httpx.Client, vendor: dict[str, str]) -> None:
    answer = http.get(vendor["SEGMENT_PUBLIC_URL"] + "/", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401
    fits("RequestErrorEnvelope", answer.json())


def test_the_delivery_overview_counts_what_was_kept_and_what_was_dropped(
    public: Any, http: httpx.Client, vendor: dict[str, str]
) -> None:
    event = {"type": "identify", "userId": "u1", "messageId": "m1", "traits": {}}
    body = {"writeKey": vendor["SEGMENT_WRITE_KEY"], "batch": [event, event, {**event, "messageId": "m2"}]}
    http.post(f"{vendor['SEGMENT_TRACKING_URL']}/v1/batch", json=body)
    now = datetime.now(UTC)
    params = {
        "sourceId": vendor["SEGMENT_SOURCE_ID"],
        "startTime": (now - timedelta(minutes=5)).isoformat(),
        "endTime": (now + timedelta(minutes=5)).isoformat(),
        "granularity": "MINUTE",
    }
    received = public("/delivery-overview/successfully-received", params=params).json()["data"]["dataset"]
    assert sum(row["total"] for row in received) == 2
    assert sum(point["count"] for point in received[0]["series"]) == 2
    failed = public("/delivery-overview/failed-on-ingest", params={**params, "groupBy": "discardReason"}).json()
    assert failed["data"]["dataset"][0]["discardReason"] == "duplicate"
    wide = {**params, "startTime": (now - timedelta(hours=5)).isoformat()}
    assert public("/delivery-overview/successfully-received", params=wide).status_code == 422


def test_an_erasure_is_followed_to_its_end_and_later_events_are_dropped(
    public: Any, http: httpx.Client, vendor: dict[str, str], control: Control
) -> None:
    def send(message: str) -> None:
        event = {"type": "identify", "userId": "u1", "messageId": message, "traits": {"email": "ann@example.com"}}
        http.post(
            f"{vendor['SEGMENT_TRACKING_URL']}/v1/batch",
            json={"writeKey": vendor["SEGMENT_WRITE_KEY"], "batch": [event]},
        )

    control.fault("segment_public", "regulation_slow", {"seconds": 1})
    send("m1")
    order = {"regulationType": "SUPPRESS_WITH_DELETE", "subjectType": "USER_ID", "subjectIds": ["u1"]}
    regulation = public("/regulations", "POST", json=order).json()["data"]["regulateId"]
    assert public(f"/regulations/{regulation}").json()["data"]["regulation"]["overallStatus"] == "RUNNING"
    time.sleep(1.1)
    assert public(f"/regulations/{regulation}").json()["data"]["regulation"]["overallStatus"] == "FINISHED"
    send("m2")
    kept, dropped = control.events("segment_tracking")
    assert (kept["event"], dropped["reason"]) == (None, "suppressed")
    assert public("/suppressions").json()["data"]["suppressed"][0]["userId"] == "u1"
    public("/regulations", "POST", json={**order, "regulationType": "UNSUPPRESS"})
    send("m3")
    assert control.ledger()["segment_tracking"]["distinct_message_ids"] == 2


def test_an_erasure_order_is_checked(public: Any) -> None:
    order = {"regulationType": "SUPPRESS_ONLY", "subjectType": "USER_ID", "subjectIds": ["u"] * 5001}
    assert public("/regulations", "POST", json=order).status_code == 422
    assert public("/regulations", "POST", json={**order, "subjectIds": ["u"], "regulationType": "X"}).status_code == 422
    assert public("/regulations", "POST", content=b"{").status_code == 422
    assert public("/regulations/reg_unknown").status_code == 404
