"""The enrichment stage against the sandbox: sample, fan-out, merge, forecast; paid for once, whatever fails."""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pandas as pd
import psycopg
import pytest
import yaml

import lead_intel.enrichment.assets as enrichment_assets
from lead_intel.automation.frame_io import FrameIO
from lead_intel.enrichment.forecast import forecast, record_forecast
from lead_intel.enrichment.questions import PEOPLE_COLUMNS, VENDORS
from lead_intel.errors import UsageError
from lead_intel.hub.app import create_app
from lead_intel.json_text import json_text
from lead_intel.partition import UPLOADS
from lead_intel.policy import Policy
from lead_intel.record import dnc, spend, spend_report, suppressions
from lead_intel.record.account import account_of
from lead_intel.record.frames import read_frame, write_frame
from lead_intel.settings import Settings, load_settings
from lead_intel.surroundings import Surroundings

UPLOAD = "upl_20261124_eeeeeeeeee"
LEADS = 40
ASKED = ("people_data_labs", "zerobounce", "trestle")
"""The vendors that the shipped policy asks."""
ENRICHMENT = [f"enrichment/{vendor}" for vendor in VENDORS]


def leads() -> pd.DataFrame:
    """Forty people; every tenth gave no address, two share a number."""
    rows = range(LEADS)
    frame = pd.DataFrame(
        {
            "lead_id": [str(uuid.UUID(int=row)) for row in rows],
            "phone": [12125200000 + row for row in rows],
            "email": ["" if row % 10 == 0 else f"Person{row}@example.com" for row in rows],
        }
    )
    frame.loc[1, "phone"] = frame.loc[2, "phone"]
    for name in PEOPLE_COLUMNS[3:]:
        frame[name] = ""
    return frame.astype({"lead_id": "str", "email": "str"})


@pytest.fixture
def upload(database: psycopg.Connection, settings: Settings) -> str:
    database.execute(
        "insert into lead_intel.lead_ingestions (upload, supplier, sha256, sample_percent) "
        "values (%s, 'acme', 'x', 100)",
        (UPLOAD,),
    )
    frame = leads()
    lookups = pd.DataFrame({"phone": frame["phone"].unique()}).assign(line_type="mobile")
    write_frame(settings.frames_dir, "valid_leads", UPLOAD, frame)
    write_frame(settings.frames_dir, "phone_lookups", UPLOAD, lookups)
    verdicts = pd.DataFrame(
        {
            "lead_id": frame["lead_id"],
            "verdict": "send",
            "reasons": "",
            "fresh_until": pd.Timestamp("2099-01-01", tz="UTC"),
        }
    )
    dnc.save_verdicts(database, UPLOAD, verdicts, profile="strict", snapshot=None)
    write_frame(settings.frames_dir, "dnc_verdicts", UPLOAD, verdicts)
    return UPLOAD


@pytest.fixture
def enrich(upload: str, settings: Settings, database: psycopg.Connection) -> Callable[..., dg.ExecuteInProcessResult]:
    def run(percent: int = 100, selection: list[str] | None = None) -> dg.ExecuteInProcessResult:
        database.execute("update lead_intel.lead_ingestions set sample_percent = %s", (percent,))
        keys = ["lead_sample", *ENRICHMENT, "enriched_leads"] if selection is None else selection
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions(UPLOADS.name, [UPLOAD])
            return dg.materialize(
                [
                    *(
                        dg.AssetSpec(name, partitions_def=UPLOADS)
                        for name in ("valid_leads", "phone_lookups", "dnc_verdicts")
                    ),
                    enrichment_assets.lead_sample,
                    enrichment_assets.enrichment,
                    enrichment_assets.enriched_leads,
                ],
                partition_key=UPLOAD,
                resources={"surroundings": Surroundings(), "io_manager": FrameIO()},
                instance=instance,
                selection=dg.AssetSelection.assets(*[key.split("/") for key in keys]),
                raise_on_error=False,
            )

    return run


def frame_of(asset: str) -> pd.DataFrame:
    return read_frame(load_settings().frames_dir, asset, UPLOAD)


def paid(sandbox: Any) -> dict[str, int]:
    return {vendor: sandbox.ledger()[vendor]["calls"] for vendor in ASKED}


def test_everybody_is_asked_once_per_key_and_a_rerun_pays_and_changes_nothing(
    enrich: Any, sandbox: Any, database: psycopg.Connection
) -> None:
    assert enrich().success
    # Two leads share a number, four have no address.
    assert paid(sandbox) == {"people_data_labs": LEADS, "zerobounce": LEADS - 4, "trestle": LEADS - 1}
    enriched = frame_of("enriched_leads")
    assert len(enriched) == LEADS
    assert (enriched["email_status"] == "").sum() == 4
    assert enriched["outcomes"].str.contains('"zerobounce": "not_asked"').sum() == 4
    assert enriched["provenance"].str.contains('"activity_score": "trestle"').sum() == LEADS
    assert (enriched["company"] != "").any()
    stored = dict(database.execute("select vendor, count(*) from lead_intel.enrichments group by 1").fetchall())
    assert stored == {"people_data_labs": LEADS, "zerobounce": LEADS - 4, "trestle": LEADS}
    kept = "select lead_id, field, vendor, value, answered_at, confidence, chosen from lead_intel.enriched_values"
    said = set(database.execute(kept).fetchall())
    assert sum(1 for row in said if row[1] == "activity_score" and row[2] == "trestle" and row[6]) == LEADS
    assert all(0 < row[5] <= 1 for row in said if row[2] == "people_data_labs")
    calls = paid(sandbox)
    assert enrich().success
    assert paid(sandbox) == calls
    assert set(database.execute(kept).fetchall()) == said
    pd.testing.assert_frame_equal(frame_of("enriched_leads"), enriched)


def test_raising_the_percent_pays_the_difference_and_lowering_it_deletes_no_answer(
    enrich: Any, sandbox: Any, database: psycopg.Connection
) -> None:
    enrich(10)
    ten = set(frame_of("lead_sample")["lead_id"])
    enrich(25)
    quarter = set(frame_of("lead_sample")["lead_id"])
    assert ten < quarter
    assert (len(ten), len(quarter)) == (4, 10)
    assert paid(sandbox)["people_data_labs"] == 10
    enrich(10)
    assert set(frame_of("lead_sample")["lead_id"]) == ten
    assert paid(sandbox)["people_data_labs"] == 10
    count = "select count(*) from lead_intel.enrichments where vendor = 'people_data_labs'"
    assert database.execute(count).fetchone() == (10,)
    sampled = database.execute("select count(*) from lead_intel.lead_samples").fetchone()
    assert sampled == (4,)


def test_leads_whose_line_type_became_known_stay_in_the_sample_and_raising_it_pays_the_difference_only(
    enrich: Any, sandbox: Any, settings: Settings, database: psycopg.Connection
) -> None:
    # Each number a stratum of its own gives one lead each; then all of them turn out to be mobile.
    phones = leads()["phone"].unique()[:8]
    lookups = pd.DataFrame({"phone": leads()["phone"].unique()}).assign(line_type="mobile")
    alone = lookups["line_type"].mask(lookups["phone"].isin(phones), "type" + lookups["phone"].astype("str"))
    write_frame(settings.frames_dir, "phone_lookups", UPLOAD, lookups.assign(line_type=alone))
    enrich(10)
    ten = set(frame_of("lead_sample")["lead_id"])
    assert len(ten) >= 8
    write_frame(settings.frames_dir, "phone_lookups", UPLOAD, lookups)
    enrich(25)
    quarter = set(frame_of("lead_sample")["lead_id"])
    assert ten < quarter
    assert paid(sandbox)["people_data_labs"] == len(quarter)


def test_no_percent_is_the_empty_sample_and_costs_nothing(enrich: Any, sandbox: Any) -> None:
    assert enrich(0).success
    assert frame_of("enriched_leads").empty
    assert sum(paid(sandbox).values()) == 0


def test_who_opted_out_or_lost_the_verdict_since_the_screening_is_told_no_vendor(
    enrich: Any, sandbox: Any, database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    people = leads()
    suppressions.add_phone(database, settings.lead_intel_identity_key, int(people.loc[3, "phone"]), "stop", "sms")
    suppressions.add_email(database, settings.lead_intel_identity_key, people.loc[4, "email"], "stop", "email")
    changed = "update lead_intel.dnc_verdicts set {} where lead_id = %s"
    database.execute(changed.format("verdict = 'hold'"), (people.loc[6, "lead_id"],))
    database.execute(changed.format("profile = 'lenient'"), (people.loc[7, "lead_id"],))
    told = forecast(database, settings, policy, UPLOAD, 100)
    assert (told["stage"], told["leads"]) == ("enrichment", LEADS - 4)
    database.execute(changed.format("fresh_until = now()"), (people.loc[5, "lead_id"],))
    # A verdict that holds no longer is asked for again before anybody is enriched: that is what comes next, and costs.
    told = forecast(database, settings, policy, UPLOAD, 100)
    assert (told["stage"], told["leads"]) == ("screening", LEADS)
    assert enrich().success
    sampled = set(frame_of("lead_sample")["lead_id"])
    assert sampled == set(people["lead_id"]) - set(people.loc[3:7, "lead_id"])
    assert sandbox.ledger()["people_data_labs"]["calls"] == LEADS - 5


def test_an_answer_that_nobody_gave_about_litigators_is_missing_and_not_false(enrich: Any, sandbox: Any) -> None:
    sandbox.fault("trestle", "unauthorized")
    assert enrich().success
    assert frame_of("enriched_leads")["litigator_risk"].isna().all()
    sandbox.clear()
    assert enrich().success
    assert frame_of("enriched_leads")["litigator_risk"].notna().all()


def test_what_a_vendor_did_not_answer_says_nothing_about_the_whole_list(
    enrich: Any, sandbox: Any, database: psycopg.Connection
) -> None:
    sandbox.fault("zerobounce", "unauthorized")
    assert enrich(50).success
    told = account_of(database, UPLOAD)["estimate"]
    with_address = int((leads().set_index("lead_id").loc[frame_of("lead_sample")["lead_id"], "email"] != "").sum())
    assert told["left_out"] == {"people_data_labs": 0, "zerobounce": with_address, "trestle": 0}
    assert (told["by_vendor"]["zerobounce"]["low"], told["by_vendor"]["zerobounce"]["high"]) == (0, 1)
    # The four without an address are certain not to get it.
    assert told["by_field"]["email_status"]["high"] == (LEADS - 4) / LEADS
    sandbox.clear()
    sandbox.fault("zerobounce", "status", options={"status": "valid"})
    assert enrich(100).success
    told = account_of(database, UPLOAD)["estimate"]
    assert set(told["left_out"].values()) == {0}
    assert told["by_vendor"]["zerobounce"] == {"value": 1, "low": 1, "high": 1}
    # Everybody was asked: the cost of the whole list is what was billed, a shared number once.
    cost = {vendor: Decimal(part["value"]) for vendor, part in told["cost_by_vendor"].items()}
    billed = dict(
        database.execute(
            "select vendor, sum(price) from lead_intel.vendor_calls where billed <> 'no' group by 1"
        ).fetchall()
    )
    assert cost == {vendor: price.quantize(Decimal("0.01")) for vendor, price in billed.items()}
    assert billed["trestle"] == (LEADS - 1) * Decimal("0.015")


def test_a_vendor_without_credentials_labels_its_rows_and_the_others_go_on(enrich: Any, sandbox: Any) -> None:
    sandbox.fault("zerobounce", "unauthorized")
    assert enrich().success
    assert set(frame_of("enrichment/zerobounce")["outcome"]) == {"auth", "not_asked"}
    assert set(frame_of("enrichment/trestle")["outcome"]) <= {"ok", "no_match", "partial", "invalid"}
    sandbox.clear()
    assert enrich(selection=["enrichment/zerobounce"]).success
    assert "auth" not in set(frame_of("enrichment/zerobounce")["outcome"])
    assert paid(sandbox)["trestle"] == LEADS - 1


@pytest.mark.slow
def test_a_slow_vendor_costs_five_seconds_and_labels_its_rows(enrich: Any, sandbox: Any) -> None:
    sandbox.fault("people_data_labs", "black_hole", options={"seconds": 30})
    started = time.monotonic()
    assert enrich().success
    # Ten at a time: one wave meets the deadline, then the breaker is open.
    assert time.monotonic() - started < 14
    outcomes = frame_of("enrichment/people_data_labs")["outcome"].value_counts().to_dict()
    assert sum(outcomes.values()) == LEADS
    assert set(outcomes) == {"timeout", "vendor_error"}
    assert (frame_of("enriched_leads")["activity_score"].notna()).all()


def test_vendors_are_asked_side_by_side(enrich: Any, sandbox: Any, database: psycopg.Connection) -> None:
    for vendor in ASKED:
        sandbox.fault(vendor, "slow", options={"seconds": 0.5})
    assert enrich(10).success
    rows = database.execute(
        "select vendor, min(intended_at), max(answered_at) from lead_intel.vendor_calls group by vendor"
    ).fetchall()
    assert {vendor for vendor, _, _ in rows} == set(ASKED)
    # Each had begun before any of them was through.
    assert max(begun for _, begun, _ in rows) < min(through for _, _, through in rows)
    assert paid(sandbox)["people_data_labs"] == 4


def test_a_reached_budget_parks_the_upload_and_a_higher_one_resumes_it(
    enrich: Any, sandbox: Any, database: psycopg.Connection, settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = tmp_path / "policy"
    shutil.copytree(settings.lead_intel_policy_dir, folder)
    budgets = yaml.safe_load((folder / "budgets.yml").read_text())
    (folder / "budgets.yml").write_text(yaml.safe_dump(budgets | {"per_upload": "2.00"}))
    monkeypatch.setenv("LEAD_INTEL_POLICY_DIR", str(folder))
    assert not enrich().success
    state = database.execute("select state, state_reason from lead_intel.lead_ingestions").fetchone()
    assert state == ("paused", "budget")
    money = spend.spend_of_upload(database, UPLOAD)
    assert money["reserved"] == 0
    assert Decimal("1.80") < money["settled"] <= Decimal("2.00")
    (folder / "budgets.yml").write_text(yaml.safe_dump(budgets))
    assert enrich().success
    assert paid(sandbox) == {"people_data_labs": LEADS, "zerobounce": LEADS - 4, "trestle": LEADS - 1}


def test_the_forecast_is_what_is_then_asked(
    enrich: Any, sandbox: Any, database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    def predicted(percent: int) -> dict[str, Any]:
        return forecast(database, settings, policy, UPLOAD, percent)

    first = predicted(25)
    assert first["leads"] == 10
    told = first["by_vendor"]["people_data_labs"]
    assert (told["calls"], told["cached"], told["cost"]) == (10, 0, Decimal("1.00"))
    enrich(25)
    assert {vendor: part["calls"] for vendor, part in first["by_vendor"].items()} == paid(sandbox)
    after = predicted(25)
    assert all(part["calls"] == 0 for part in after["by_vendor"].values())
    assert (after["cost"], after["seconds"]) == (0, 0)
    assert after["budget_left"] == policy.budgets.per_upload - spend.spend_of_upload(database, UPLOAD)["settled"]
    assert predicted(50)["by_vendor"]["people_data_labs"]["calls"] == 10


def test_what_was_forecast_stands_beside_what_was_spent_and_calls_that_were_not_billed_explain_the_difference(
    enrich: Any, sandbox: Any, database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    shown = forecast(database, settings, policy, UPLOAD, 50)
    record_forecast(database, settings, policy, UPLOAD, Decimal(50))
    chosen = account_of(database, UPLOAD)["forecast"]
    assert (chosen["cost"], chosen["spent"], chosen["ended_at"]) == (shown["cost"], 0, None)
    assert enrich(50).success
    account = account_of(database, UPLOAD)
    told = account["forecast"]
    assert told["shown_at"] == chosen["shown_at"]
    assert (told["percent"], told["cost"]) == (50, shown["cost"])
    assert told["spent"] == account["spend"]["settled"]
    for vendor, part in told["by_vendor"].items():
        paid_calls = sandbox.ledger()[vendor]["paid_calls"]
        assert part["spent"] == paid_calls * policy.limits_of(vendor).price_usd
        assert part["called"] == part["calls"]
        assert part["cost"] == part["spent"] + part["not_billed"]
    # These two bill every answer: the forecast is what was paid, to the cent.
    for vendor in ("zerobounce", "trestle"):
        assert told["by_vendor"][vendor]["spent"] == shown["by_vendor"][vendor]["cost"]
    assert told["by_vendor"]["people_data_labs"]["not_billed"] > 0
    assert told["difference"] == -told["by_vendor"]["people_data_labs"]["not_billed"]
    after = forecast(database, settings, policy, UPLOAD, 50)
    assert (after["cost"], after["already_paid"]) == (0, told["spent"])
    # Vendors did not charge for all of it lately.
    more = forecast(database, settings, policy, UPLOAD, 100)
    assert 0 < more["most_likely_cost"] < more["cost"]
    estimate = account["estimate"]
    assert (estimate["leads"], estimate["sampled"]) == (LEADS, LEADS // 2)
    for share in (*estimate["by_vendor"].values(), *estimate["by_field"].values()):
        assert 0 <= share["low"] <= share["value"] <= share["high"] <= 1
    assert estimate["by_vendor"]["people_data_labs"]["low"] < estimate["by_vendor"]["people_data_labs"]["high"]
    assert estimate["line_types"] == {"mobile": {"value": 1, "low": 1, "high": 1}}
    assert Decimal(estimate["cost"]["low"]) < Decimal(estimate["cost"]["value"]) < Decimal(estimate["cost"]["high"])


def test_the_hub_tells_the_forecast_that_the_command_line_tells(
    upload: str, database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    async def told(question: str, of: str = UPLOAD) -> httpx.Response:
        way = httpx.ASGITransport(create_app())
        async with httpx.AsyncClient(transport=way, base_url="http://localhost") as client:
            return await client.get(f"/forecast/{of}{question}")

    answer = asyncio.run(told("?sample=50"))
    assert answer.status_code == 200
    assert answer.text == json_text(forecast(database, settings, policy, UPLOAD, 50))
    assert "example.com" not in answer.text
    for question, status in (("?sample=101", 400), ("?sample=NaN", 400), ("", 400), ("?sample=1e-99", 200)):
        assert asyncio.run(told(question)).status_code == status
    unknown = asyncio.run(told("?sample=5", "upl_20261124_zzzzzzzzzz"))
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "upload_unknown")


def test_a_forecast_names_the_budget_that_would_stop_it(
    upload: str, database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    def stopped_by(**caps: Any) -> Any:
        capped = policy.model_copy(update={"budgets": policy.budgets.model_copy(update=caps)})
        return forecast(database, settings, capped, UPLOAD, 100)["stopped_by"]

    assert stopped_by() is None
    stop = stopped_by(per_vendor={"trestle": Decimal("0.15")})
    assert (stop["scope"], stop["vendor"], stop["left"]) == ("vendor", "trestle", Decimal("0.15"))
    assert stop["missing"] == (LEADS - 1) * Decimal("0.015") - Decimal("0.15")
    assert stopped_by(per_upload=Decimal("1.00"))["scope"] == "upload"
    assert stopped_by(per_day=Decimal(0)) == {
        "scope": "day", "vendor": None, "left": 0, "calls": 0,
        "missing": forecast(database, settings, policy, UPLOAD, 100)["cost"],
    }  # fmt: skip


def test_a_list_that_is_validated_but_not_screened_gets_the_forecast_of_its_screening(
    upload: str, database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    for asset in ("phone_lookups", "dnc_verdicts"):
        shutil.rmtree(settings.frames_dir / asset)
    database.execute(
        "insert into lead_intel.phone_lookups (phone, package, outcome) "
        "values (12125200005, 'line_type_intelligence', 'ok')"
    )
    told = forecast(database, settings, policy, UPLOAD, 10)
    assert (told["stage"], told["leads"]) == ("screening", LEADS)
    lookup = told["by_vendor"]["twilio_lookup"]
    assert (lookup["calls"], lookup["cached"], lookup["cost"]) == (LEADS - 2, 1, (LEADS - 2) * Decimal("0.008"))
    assert told["by_vendor"]["dncscrub"]["calls"] == LEADS - 1


def test_a_forecast_needs_a_list_that_was_read(
    upload: str, database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    shutil.rmtree(settings.frames_dir)
    with pytest.raises(UsageError, match="not been screened"):
        forecast(database, settings, policy, UPLOAD, 10)


def test_spending_is_told_by_vendor_supplier_upload_and_day(
    enrich: Any, sandbox: Any, database: psycopg.Connection
) -> None:
    enrich(10)
    told = spend_report.spend_summary(database)
    assert told["by_supplier"] == {"acme": told["total"]}
    assert told["by_upload"] == {UPLOAD: told["total"]}
    assert list(told["by_day"].values()) == [told["total"]]
    assert sum(told["by_vendor"].values()) == told["total"] > 0
    assert spend.spend_of_upload(database, UPLOAD)["by_vendor"].keys() == set(ASKED)
    assert told["per_contactable_lead"]["total"] == {
        "leads": LEADS, "cost": (told["total"] / LEADS).quantize(Decimal("0.0001")).normalize()
    }  # fmt: skip
    assert told["per_contactable_lead"]["by_upload"].keys() == {UPLOAD}
    for vendor in ASKED:
        one = spend_report.spend_summary(database, spend_report.Filters(vendor=vendor))
        assert one["total"] == told["by_vendor"].get(vendor, 0)
    day = date.fromisoformat(next(iter(told["by_day"])))
    both = spend_report.spend_summary(database, spend_report.Filters(since=day, until=day, supplier="acme"))
    assert both == told
    before = spend_report.spend_summary(database, spend_report.Filters(until=day - timedelta(days=1)))
    assert (before["total"], before["by_upload"]) == (0, {})
    charged_for_nothing = database.execute(
        "select coalesce(sum(price), 0) from lead_intel.vendor_calls where outcome = 'no_match' and billed = 'yes'"
    ).fetchone()
    assert (sum(told["misses"].values()),) == charged_for_nothing


def test_nobody_stands_in_dagsters_metadata(enrich: Any, sandbox: Any) -> None:
    result = enrich(25)
    assert result.success
    for event in result.all_events:
        text = str(event.event_specific_data)
        assert "2125200" not in text
        assert "example.com" not in text
