"""The Lookup stage: cache first, guardrail before paying, every number labelled, assets rerun without change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import dagster as dg
import pandas as pd
import psycopg
import pytest

import lead_intel.lookup.assets as lookup_assets
from lead_intel.automation.frame_io import FrameIO
from lead_intel.contract import PhoneLookups, checked
from lead_intel.errors import Paused
from lead_intel.lookup.lookup import LookedUp, look_up
from lead_intel.partition import UPLOADS
from lead_intel.policy import Policy
from lead_intel.record.frames import read_frame, write_frame
from lead_intel.settings import Settings
from lead_intel.surroundings import Surroundings

UPLOAD = "upl_20261124_aaaaaaaaaa"


@pytest.fixture
def upload(database: psycopg.Connection) -> str:
    database.execute(
        "insert into lead_intel.lead_ingestions (upload, supplier, sha256) values (%s, 'acme', 'x')", (UPLOAD,)
    )
    return UPLOAD


@pytest.fixture
def run(database: psycopg.Connection, settings: Settings, policy: Policy) -> Callable[..., LookedUp]:
    def look(phones: list[int], before_paying: Callable[[], None] = lambda: None, **limits: Any) -> LookedUp:
        changed = policy.limits_of("twilio_lookup").model_copy(update=limits)
        vendors = policy.vendors.model_copy(update={"vendors": {**policy.vendors.vendors, "twilio_lookup": changed}})
        looked_up = look_up(
            pd.Series(phones, dtype="int64"),
            database,
            settings=settings,
            policy=policy.model_copy(update={"vendors": vendors}),
            upload=UPLOAD,
            supplier="acme",
            stop=threading.Event(),
            progress=lambda done, total: None,
            before_paying=before_paying,
        )
        checked(looked_up.frame, PhoneLookups)
        return looked_up

    return look


PHONES = [12125200000 + n for n in range(50)]


def test_an_answer_found_in_the_ledger_stays_as_old_as_its_call(
    database: psycopg.Connection, upload: str, run: Callable[..., LookedUp], sandbox: Any
) -> None:
    run(PHONES)
    database.execute("update lead_intel.vendor_calls set answered_at = answered_at - interval '5 days'")
    database.execute("delete from lead_intel.phone_lookups")
    calls = sandbox.ledger()["twilio_lookup"]["calls"]

    run(PHONES)

    assert sandbox.ledger()["twilio_lookup"]["calls"] == calls
    (ages,) = database.execute(
        "select count(*) filter (where answered_at < now() - interval '4 days'), count(*) from lead_intel.phone_lookups"
    ).fetchall()
    assert ages[0] == ages[1] > 0


def test_a_number_is_asked_once_however_often_it_stands_in_the_list(run: Any, sandbox: Any) -> None:
    assert len(run(PHONES + PHONES).frame) == 50
    assert sandbox.ledger()["twilio_lookup"]["calls"] == 50


def test_the_cache_is_asked_first_and_then_there_is_nothing_to_pay(run: Any, sandbox: Any) -> None:
    first = run(PHONES).frame

    def never() -> None:
        raise AssertionError

    again = run(PHONES, before_paying=never)
    assert (again.cached, again.calls) == (50, None)
    pd.testing.assert_frame_equal(again.frame, first)
    assert run([*PHONES, 12125299999]).calls.asked == 1
    assert sandbox.ledger()["twilio_lookup"]["calls"] == 51


def test_an_answer_past_its_age_is_bought_again(run: Any, sandbox: Any, database: psycopg.Connection) -> None:
    run(PHONES)
    database.execute("update lead_intel.phone_lookups set answered_at = now() - interval '31 days'")
    database.execute("update lead_intel.vendor_calls set answered_at = now() - interval '31 days'")
    assert run(PHONES).calls.asked == 50


def test_the_guardrail_is_asked_before_the_first_paid_call(run: Any, sandbox: Any) -> None:
    def refuse() -> None:
        raise Paused("credentials", "No.", "Mend it.")

    with pytest.raises(Paused):
        run(PHONES, before_paying=refuse)
    assert sandbox.ledger()["twilio_lookup"]["calls"] == 0


def test_numbers_without_an_answer_say_why_and_are_asked_again_next_time(run: Any, sandbox: Any) -> None:
    sandbox.fault("twilio_lookup", "slow", options={"seconds": 5, "match": str(PHONES[3])})
    sandbox.fault("twilio_lookup", "garbage", options={"match": str(PHONES[4])})
    frame = run(PHONES, deadline_seconds=0.5, late_seconds=0).frame.set_index("phone")
    assert frame.loc[PHONES[3], "outcome"] == "timeout"
    assert frame.loc[PHONES[4], "outcome"] == "vendor_error"
    assert set(frame.loc[PHONES[3:5], "line_type"]) == {"unknown"}
    sandbox.clear()
    again = run(PHONES)
    assert again.calls.asked == 2
    assert set(again.frame["outcome"]) == {"ok"}


def test_invalid_and_package_errors_are_told_apart_and_cached(run: Any, sandbox: Any) -> None:
    sandbox.fault("twilio_lookup", "invalid", options={"match": str(PHONES[0])})
    sandbox.fault("twilio_lookup", "package_error", options={"match": str(PHONES[1]), "code": 60601})
    frame = run(PHONES[:3]).frame.set_index("phone")
    assert (frame.loc[PHONES[0], "outcome"], frame.loc[PHONES[0], "valid"]) == ("invalid", False)
    assert (frame.loc[PHONES[1], "outcome"], frame.loc[PHONES[1], "error_code"]) == ("ok", 60601)
    assert frame.loc[PHONES[1], "line_type"] == "unknown"
    sandbox.clear()
    assert run(PHONES[:3]).calls is None


def materialize(settings: Settings) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(UPLOADS.name, [UPLOAD])
        return dg.materialize(
            [
                dg.AssetSpec("valid_leads", partitions_def=UPLOADS),
                lookup_assets.phone_lookups,
                lookup_assets.carrier_breakout,
            ],
            partition_key=UPLOAD,
            resources={"surroundings": Surroundings(), "io_manager": FrameIO()},
            instance=instance,
            selection=["phone_lookups", "carrier_breakout"],
            raise_on_error=False,
        )


def test_the_assets_hand_on_their_frames_and_a_rerun_changes_nothing(
    upload: str, settings: Settings, sandbox: Any, database: psycopg.Connection
) -> None:
    write_frame(settings.frames_dir, "valid_leads", upload, pd.DataFrame({"phone": PHONES}))
    assert materialize(settings).success
    breakout = read_frame(settings.frames_dir, "carrier_breakout", upload)
    assert breakout["numbers"].sum() == len(PHONES)
    paid = sandbox.ledger()["twilio_lookup"]["paid_calls"]
    stored = "select carrier, line_type, numbers, share from lead_intel.carrier_breakouts order by 1, 2"
    rows = database.execute(stored).fetchall()
    assert sum(row[2] for row in rows) == len(PHONES)
    assert materialize(settings).success
    assert database.execute(stored).fetchall() == rows
    pd.testing.assert_frame_equal(read_frame(settings.frames_dir, "carrier_breakout", upload), breakout)
    assert sandbox.ledger()["twilio_lookup"]["paid_calls"] == paid


def test_a_revoked_credential_parks_the_upload_before_anything_is_paid(
    upload: str, settings: Settings, sandbox: Any, database: psycopg.Connection
) -> None:
    write_frame(settings.frames_dir, "valid_leads", upload, pd.DataFrame({"phone": PHONES}))
    sandbox.fault("twilio_lookup", "unauthorized")
    assert not materialize(settings).success
    row = database.execute("select state, state_reason from lead_intel.lead_ingestions").fetchone()
    assert row == ("paused", "credentials")
    assert sandbox.ledger()["twilio_lookup"]["paid_calls"] == 0


def test_no_number_stands_in_dagsters_metadata(upload: str, settings: Settings, sandbox: Any) -> None:
    write_frame(settings.frames_dir, "valid_leads", upload, pd.DataFrame({"phone": PHONES}))
    result = materialize(settings)
    assert result.success
    for event in result.all_events:
        assert "2125200" not in str(event.event_specific_data)


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = [
        event for event in result.get_asset_materialization_events() if event.asset_key.to_user_string() == asset
    ]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_the_assets_page_shows_brands_states_and_a_picture_and_canada_is_mentioned_once(
    upload: str, settings: Settings, sandbox: Any, database: psycopg.Connection
) -> None:
    canadian = [14165550100 + n for n in range(5)]
    write_frame(settings.frames_dir, "valid_leads", upload, pd.DataFrame({"phone": PHONES + canadian}))
    result = materialize(settings)
    assert result.success

    told = metadata_of(result, "phone_lookups")
    assert (told["package_errors"], told["alerts"].count("NPAC")) == ("60601: 5", 1)
    shown = metadata_of(result, "carrier_breakout")
    assert "Verizon" in shown["brands"]
    assert "CA-ON" in shown["states"]
    assert shown["brand_shares"].startswith("![")
    assert len(shown["brand_shares"]) < 1000
    cells = "select sum(numbers), sum(numbers) filter (where place = 'CA-ON') from lead_intel.carrier_cells"
    assert database.execute(cells).fetchone() == (55, 5)


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [("package_error", {"code": 60611}, "quota"), ("unauthorized", {}, "credentials")],
)
def test_a_refusal_in_the_middle_parks_the_upload_and_resuming_pays_for_the_rest_only(
    upload: str,
    settings: Settings,
    sandbox: Any,
    database: psycopg.Connection,
    kind: str,
    options: dict[str, Any],
    reason: str,
) -> None:
    write_frame(settings.frames_dir, "valid_leads", upload, pd.DataFrame({"phone": PHONES}))
    sandbox.fault("twilio_lookup", kind, options={**options, "match": str(PHONES[40])})
    assert not materialize(settings).success
    state = "select state, state_reason from lead_intel.lead_ingestions"
    assert database.execute(state).fetchone() == ("paused", reason)
    assert 0 < sandbox.ledger()["twilio_lookup"]["paid_calls"] < len(PHONES)
    sandbox.clear()
    # Guardrail 3 holds a refused package back for some seconds; here they have passed.
    database.execute("update lead_intel.vendor_calls set answered_at = answered_at - interval '1 minute'")
    database.execute("update lead_intel.lead_ingestions set state = 'received', run_id = null")
    assert materialize(settings).success
    ledger = sandbox.ledger()["twilio_lookup"]
    assert ledger["paid_calls"] == ledger["distinct_keys"] == len(PHONES)


def test_a_vendor_that_is_silent_about_many_parks_the_upload_and_what_came_late_is_not_paid_again(
    upload: str, settings: Settings, sandbox: Any, database: psycopg.Connection
) -> None:
    write_frame(settings.frames_dir, "valid_leads", upload, pd.DataFrame({"phone": PHONES}))
    for phone in PHONES[:3]:
        sandbox.fault("twilio_lookup", "slow", options={"seconds": 5.5, "match": str(phone)})

    assert not materialize(settings).success

    row = database.execute("select state, state_reason, state_message from lead_intel.lead_ingestions").fetchone()
    assert row is not None
    assert row[:2] == ("paused", "lookup")
    assert "3 of 50" in row[2]
    late = "select count(*) from lead_intel.vendor_calls where late"
    deadline = time.monotonic() + 5
    while database.execute(late).fetchone() != (3,) and time.monotonic() < deadline:
        time.sleep(0.1)
    sandbox.clear()
    database.execute("update lead_intel.lead_ingestions set state = 'received', run_id = null")
    assert materialize(settings).success
    ledger = sandbox.ledger()["twilio_lookup"]
    assert ledger["paid_calls"] == ledger["distinct_keys"] == len(PHONES)


def test_a_short_list_does_not_wait_for_one_number_that_nobody_answers_about(
    upload: str, settings: Settings, sandbox: Any, database: psycopg.Connection
) -> None:
    write_frame(settings.frames_dir, "valid_leads", upload, pd.DataFrame({"phone": PHONES[:10]}))
    sandbox.fault("twilio_lookup", "garbage", options={"match": str(PHONES[3])})
    assert materialize(settings).success
    outcomes = read_frame(settings.frames_dir, "phone_lookups", upload)["outcome"].value_counts().to_dict()
    assert outcomes == {"ok": 9, "vendor_error": 1}
