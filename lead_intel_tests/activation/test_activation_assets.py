"""The activation assets in Dagster, from enriched leads to receipts and a re-sync, with guardrails and checks on."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from lead_intel.activation.approval import approve
from lead_intel.automation.schedules import resync_activated
from lead_intel.build import build_definitions
from lead_intel.partition import UPLOADS
from lead_intel.record import frames, ingestions, members, suppressions
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import State

UPLOAD = "upl_20261124_0000000001"
PLANNED = ("persona_members", "activation_plan")
RESYNCED = ("activation_plan", "activation_receipts")


class Bench:
    """Runs parts of the graph for one upload."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.definitions = build_definitions()

    def run(self, *assets: str, job: str = "part") -> dg.ExecuteInProcessResult:
        part = dg.define_asset_job(job, selection=dg.AssetSelection.assets(*assets))
        definitions = dg.Definitions(
            assets=self.definitions.assets,
            asset_checks=self.definitions.asset_checks,
            resources=self.definitions.resources,
            jobs=[part],
        )
        resolved = definitions.resolve_job_def(job)
        return resolved.execute_in_process(partition_key=UPLOAD, instance=self.instance, raise_on_error=False)


@pytest.fixture
def bench(campaign: Any) -> Any:
    ids = [campaign.lead_of(n) for n in range(20)]
    phones = [12_125_550_000 + n for n in range(20)]
    blank = dict.fromkeys(
        (
            "city", "state", "postal_code", "consent_url", "consent_text", "consent_ip", "consent_seller",
            "consent_channel", "consent_purpose", "certificate_type", "certificate_url", "email_flags",
        ),
        "",
    )  # fmt: skip
    leads = pd.DataFrame({"lead_id": ids, "phone": phones, "email": [f"person{n}@example.com" for n in range(20)]})
    leads = leads.assign(region="US", first_name="Ann", last_name="Lee", consent_source="web_form", **blank)
    leads = leads.assign(consent_at="2026-10-01", attributes="{}", file_no=1, line=range(1, 21), shared_phone=False)
    lookups = pd.DataFrame({"phone": phones, "outcome": "ok", "valid": True, "line_type": "mobile"})
    enriched = pd.DataFrame({"lead_id": ids, "email_status": "valid", "activity_score": 90.0, "litigator_risk": False})
    enriched = enriched.assign(job_title="", company="", seniority="", match_likelihood=None, outcomes="{}")
    for name, frame in {
        "valid_leads": leads,
        "phone_lookups": lookups.assign(carrier_name="Carrier", error_code=0),
        "enriched_leads": enriched.astype({"match_likelihood": "float64"}).assign(provenance="{}"),
    }.items():
        frames.write_frame(campaign.settings.frames_dir, name, UPLOAD, frame)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(UPLOADS.name), [UPLOAD])
        yield Bench(instance)


def state_of(campaign: Any) -> State:
    return State(ingestions.find(campaign.connection, UPLOAD).state)


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def test_from_enriched_leads_to_receipts_and_a_resync(campaign: Any, bench: Bench) -> None:
    planned = bench.run(*PLANNED)
    assert planned.success
    assert state_of(campaign) is State.PLANNED
    assert metadata_of(planned, "activation_plan")["additions"] == 40
    assert set(members.exclusion_counts(campaign.connection, UPLOAD)) == set()

    refused = bench.run("activation_receipts")
    assert not refused.success
    assert state_of(campaign) is State.AWAITING_APPROVAL
    assert ingestions.find(campaign.connection, UPLOAD).state_reason == "approval"
    assert campaign.sandbox.ledger()["segment_tracking"]["calls"] == 0

    approve(campaign.connection, campaign.newest().plan, "ann", campaign.policy.activation)
    pushed = bench.run("activation_receipts")
    assert pushed.success
    assert state_of(campaign) is State.ACTIVATED
    assert campaign.counts() == {"planned": 20, "pushed": 20, "failed": 0, "pending": 0}
    assert metadata_of(pushed, "activation_receipts")["dagster/row_count"] == 40

    campaign.receive(UPLOAD, [4], verdict="block")
    assert bench.run(*RESYNCED, job="resync").success
    assert state_of(campaign) is State.ACTIVATED
    assert campaign.audience() == campaign.leads(set(range(20)) - {4})
    assert members.exclusion_counts(campaign.connection, UPLOAD) == {"verdict_block": 1}

    calls = campaign.sandbox.ledger()["segment_tracking"]["calls"]
    assert bench.run(*RESYNCED, job="resync").success
    assert campaign.sandbox.ledger()["segment_tracking"]["calls"] == calls
    assert state_of(campaign) is State.ACTIVATED


def test_no_personal_data_enters_metadata(campaign: Any, bench: Bench) -> None:
    result = bench.run(*PLANNED)
    events = " ".join(str(event) for event in result.all_events)
    assert "person1@" not in events
    assert "2125550001" not in events


def test_a_guardrail_stops_the_push_before_the_first_message(campaign: Any, bench: Bench) -> None:
    assert bench.run(*PLANNED).success
    approve(campaign.connection, campaign.newest().plan, "ann", campaign.policy.activation)
    campaign.sandbox.fault("segment_public", "source_disabled")
    assert not bench.run("activation_receipts").success
    assert ingestions.find(campaign.connection, UPLOAD).state_reason == "guardrail:7"
    assert campaign.sandbox.ledger()["segment_tracking"]["calls"] == 0
    assert campaign.messages() == {"planned": 40, "sent": 0, "failed": 0}


def activated(campaign: Any, bench: Bench) -> None:
    assert bench.run(*PLANNED).success
    approve(campaign.connection, campaign.newest().plan, "ann", campaign.policy.activation)
    assert bench.run("activation_receipts").success
    assert campaign.audience() == campaign.leads(range(20))


def opt_out(campaign: Any, number: int) -> None:
    key = campaign.settings.lead_intel_identity_key
    suppressions.add_phone(campaign.connection, key, 12_125_550_000 + number, "stop", "sms")


def resynced(bench: Bench, *, alone: bool = False) -> dg.ExecuteInProcessResult:
    """The re-sync as the schedule launches it; `alone`: its exits and nothing else."""
    return bench.definitions.resolve_job_def("resync").execute_in_process(
        partition_key=UPLOAD,
        instance=bench.instance,
        raise_on_error=False,
        asset_selection=[dg.AssetKey("audience_exits")] if alone else None,
    )


def test_an_opt_out_leaves_first_although_the_do_not_call_list_is_missing(
    campaign: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    activated(campaign, bench)
    opt_out(campaign, 4)
    # Nothing brings a list there: guardrail 4 ends the re-sync before it plans.
    monkeypatch.setenv("LEAD_INTEL_ENVIRONMENT", "production")
    result = resynced(bench)
    assert not result.success
    assert ingestions.find(campaign.connection, UPLOAD).state_reason == "guardrail:4"
    assert campaign.audience() == campaign.leads(set(range(20)) - {4})
    assert next(event.step_key for event in result.all_events if event.is_step_start) == "audience_exits"
    assert metadata_of(result, "audience_exits")["leads"] == 1


def test_an_opt_out_leaves_although_the_sample_is_zero(campaign: Any, bench: Bench) -> None:
    activated(campaign, bench)
    opt_out(campaign, 4)
    campaign.connection.execute("update lead_intel.lead_ingestions set sample_percent = 0")
    assert not resynced(bench).success
    assert ingestions.find(campaign.connection, UPLOAD).state_reason == "guardrail:9"
    assert campaign.lead_of(4) not in campaign.audience()


@pytest.mark.parametrize("state", [State.STOPPED, State.REJECTED, State.PAUSED, State.AWAITING_APPROVAL])
def test_exits_go_whatever_the_state_and_leave_it_as_it_was(campaign: Any, bench: Bench, state: State) -> None:
    activated(campaign, bench)
    opt_out(campaign, 4)
    ingestions.request_stop(campaign.connection, UPLOAD)
    ingestions.set_state(campaign.connection, UPLOAD, state, reason="why", message="What.", remedy="How.")
    before = ingestions.find(campaign.connection, UPLOAD)
    result = resynced(bench, alone=True)
    assert result.success
    assert ingestions.find(campaign.connection, UPLOAD) == before
    assert campaign.audience() == campaign.leads(set(range(20)) - {4})
    assert "2125550004" not in " ".join(str(event) for event in result.all_events)


def test_exits_ask_guardrail_7_and_no_other(campaign: Any, bench: Bench) -> None:
    activated(campaign, bench)
    opt_out(campaign, 4)
    campaign.sandbox.fault("segment_public", "source_disabled")
    assert not resynced(bench, alone=True).success
    assert campaign.audience() == campaign.leads(range(20))
    campaign.sandbox.clear()
    campaign.sandbox.fault("segment_public", "audience_deleted")
    assert resynced(bench, alone=True).success
    assert campaign.audience() == campaign.leads(set(range(20)) - {4})


def test_a_push_that_breaks_leaves_evidence_of_what_it_did(campaign: Any, bench: Bench) -> None:
    assert bench.run(*PLANNED).success
    approve(campaign.connection, campaign.newest().plan, "ann", campaign.policy.activation)
    campaign.sandbox.fault("segment_tracking", "server_error")
    assert not bench.run("activation_receipts").success
    [body] = campaign.connection.execute(
        "select body from lead_intel.evidence where upload = %s and stage = 'activation' order by seq desc limit 1",
        (UPLOAD,),
    ).fetchone()
    assert body == {"pending": 40}


def test_without_an_answer_about_litigators_nobody_joins_an_audience_that_excludes_them(
    campaign: Any, bench: Bench
) -> None:
    enriched = frames.read_frame(campaign.settings.frames_dir, "enriched_leads", UPLOAD)
    unknown = enriched.assign(litigator_risk=pd.array([None] * 5 + [True] + [False] * 14, dtype="boolean"))
    frames.write_frame(campaign.settings.frames_dir, "enriched_leads", UPLOAD, unknown)
    assert bench.run(*PLANNED).success
    found = frames.read_frame(campaign.settings.frames_dir, "persona_members", UPLOAD)
    assert set(found["lead_id"]) == campaign.leads(range(6, 20))


def test_the_schedule_launches_exits_alone_for_what_a_person_stopped(campaign: Any, bench: Bench) -> None:
    activated(campaign, bench)
    [whole] = scheduled(bench)
    assert (whole.partition_key, whole.asset_selection) == (UPLOAD, None)
    ingestions.set_state(campaign.connection, UPLOAD, State.STOPPED)
    [exits] = scheduled(bench)
    assert (exits.partition_key, exits.asset_selection) == (UPLOAD, [dg.AssetKey("audience_exits")])


def scheduled(bench: Bench) -> list[dg.RunRequest]:
    moment = datetime(2026, 11, 25, 5, tzinfo=UTC)
    with dg.build_schedule_context(
        bench.instance, scheduled_execution_time=moment, resources={"surroundings": Surroundings()}
    ) as context:
        return list(resync_activated(context))
