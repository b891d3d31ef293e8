"""Plan, approve and push against the sandbox's Segment, counted at the sandbox."""

import threading
import time
from typing import Any

import pytest

from lead_intel.activation.approval import approve
from lead_intel.contract import ActivationReceipts, checked
from lead_intel.errors import GuardrailFailed, Paused, Stopped, TransientError, UsageError
from lead_intel.record import ingestions, members, outbox, plans, suppressions
from lead_intel.uploads import State

UPLOAD = "upl_20261124_0000000001"
OTHER = "upl_20261124_0000000002"


def sandbox_counts(campaign: Any) -> tuple[int, int]:
    ledger = campaign.sandbox.ledger()["segment_tracking"]
    return ledger["distinct_message_ids"], ledger["distinct_user_ids"]


def test_a_dry_run_sends_nothing_and_says_what_it_would_send(campaign: Any) -> None:
    planned = campaign.plan(campaign.members_of(range(20)))
    assert (planned.plan.state, planned.plan.additions, planned.plan.size) == ("draft", 20, 20)
    assert planned.plan.personas["verified_email"] == 20
    assert campaign.sandbox.ledger()["segment_tracking"]["calls"] == 0
    assert campaign.counts() == {"planned": 20, "pushed": 0, "failed": 0, "pending": 20}
    assert campaign.messages() == {"planned": 20, "sent": 0, "failed": 0}


def test_an_approved_plan_arrives_once(campaign: Any) -> None:
    receipts = checked(campaign.activate(campaign.members_of(range(20))), ActivationReceipts)
    assert set(receipts["state"]) == {"sent"}
    assert sandbox_counts(campaign) == (20, 20)
    assert campaign.audience() == campaign.leads(range(20))
    assert campaign.counts() == {"planned": 20, "pushed": 20, "failed": 0, "pending": 0}
    assert campaign.messages() == {"planned": 20, "sent": 20, "failed": 0}
    assert campaign.newest().state == "activated"
    assert campaign.asked == 1


def test_activating_again_sends_nothing(campaign: Any) -> None:
    found = campaign.members_of(range(20))
    campaign.activate(found)
    calls = campaign.sandbox.ledger()["segment_tracking"]["calls"]
    planned = campaign.plan(found)
    assert (planned.plan.state, len(planned.messages)) == ("activated", 0)
    assert len(campaign.push(planned)) == 20
    assert campaign.sandbox.ledger()["segment_tracking"]["calls"] == calls
    assert campaign.asked == 1


def test_nothing_leaves_without_an_approval(campaign: Any) -> None:
    planned = campaign.plan(campaign.members_of(range(20)))
    with pytest.raises(Paused) as paused:
        campaign.push(planned)
    assert paused.value.code == "approval"
    assert campaign.sandbox.ledger()["segment_tracking"]["calls"] == 0


def test_the_plan_of_the_same_facts_is_the_same_plan_and_a_new_one_supersedes_it(campaign: Any) -> None:
    first = campaign.plan(campaign.members_of(range(20))).plan
    assert campaign.plan(campaign.members_of(range(20))).plan == first
    second = campaign.plan(campaign.members_of(range(10))).plan
    assert plans.find(campaign.connection, first.plan).state == "superseded"
    with pytest.raises(UsageError) as refused:
        approve(campaign.connection, first.plan, "ann", campaign.policy.activation)
    assert refused.value.code == "plan_superseded"
    assert second.plan in refused.value.message


def test_a_changed_fact_asks_for_a_new_plan(campaign: Any) -> None:
    planned = campaign.plan(campaign.members_of(range(20)))
    approve(campaign.connection, planned.plan.plan, "ann", campaign.policy.activation)
    campaign.receive(UPLOAD, [3], verdict="block")
    with pytest.raises(Paused) as paused:
        campaign.push(planned)
    assert paused.value.code == "plan_outdated"
    assert "verdict_block: 1" in paused.value.message
    assert campaign.sandbox.ledger()["segment_tracking"]["calls"] == 0
    campaign.activate(campaign.members_of(range(20)))
    assert campaign.audience() == campaign.leads(set(range(20)) - {3})


def test_whoever_may_not_be_contacted_is_not_planned_and_the_sums_balance(campaign: Any) -> None:
    key = campaign.settings.lead_intel_identity_key
    campaign.receive(UPLOAD, [0], verdict="hold")
    campaign.receive(UPLOAD, [1], days=-1)
    suppressions.add_phone(campaign.connection, key, 12_125_550_002, "stop", "sms")
    suppressions.add_email(campaign.connection, key, "person3@example.com", "stop", "email")
    campaign.activate(campaign.members_of(range(15)))
    assert campaign.audience() == campaign.leads(range(4, 15))
    left_out = members.exclusion_counts(campaign.connection, UPLOAD)
    assert left_out == {"no_persona": 5, "suppressed": 2, "verdict_hold": 1, "verdict_stale": 1}
    assert sum(left_out.values()) + campaign.counts()["planned"] == 20


def test_an_opt_out_between_approval_and_the_moment_of_the_push_is_withheld(campaign: Any) -> None:
    campaign.with_activation(batch_events=5, events_per_second=20)
    key = campaign.settings.lead_intel_identity_key
    planned = campaign.plan(campaign.members_of(range(20)))
    approve(campaign.connection, planned.plan.plan, "ann", campaign.policy.activation)
    last = planned.messages["lead_id"].iloc[-1]
    number = next(n for n in range(20) if campaign.lead_of(n) == last)

    def opt_out_meanwhile(done: int, total: int) -> None:
        if done == 5:
            suppressions.add_phone(campaign.connection, key, 12_125_550_000 + number, "stop", "sms")

    campaign.progress = opt_out_meanwhile
    receipts = campaign.push(planned).set_index("lead_id")
    assert receipts.loc[last, ["state", "reason"]].tolist() == ["withheld", "suppressed"]
    assert last not in {event["userId"] for event in campaign.kept()}
    assert campaign.counts() == {"planned": 19, "pushed": 19, "failed": 0, "pending": 0}
    assert campaign.messages() == {"planned": 19, "sent": 19, "failed": 0}
    assert members.exclusion_counts(campaign.connection, UPLOAD) == {"suppressed": 1}


def test_a_resync_takes_out_who_opted_out_and_a_return_is_a_new_message(campaign: Any) -> None:
    found = campaign.members_of(range(20))
    campaign.activate(found)
    campaign.receive(UPLOAD, [4], verdict="block")
    planned = campaign.plan(found)
    assert (planned.plan.additions, planned.plan.changes, planned.plan.removals) == (0, 0, 1)
    campaign.push(planned, is_resync=True)
    assert campaign.audience() == campaign.leads(set(range(20)) - {4})
    campaign.receive(UPLOAD, [4])
    campaign.push(campaign.plan(found), is_resync=True)
    assert campaign.audience() == campaign.leads(range(20))
    assert sandbox_counts(campaign) == (22, 20)
    assert campaign.newest().approved_by == "ann"


def test_a_change_of_traits_is_one_message_for_each_lead_that_changed(campaign: Any) -> None:
    import pandas as pd

    campaign.activate(campaign.members_of(range(20)))
    changed = pd.concat([campaign.members_of(range(3), city="Troy"), campaign.members_of(range(3, 20))])
    planned = campaign.plan(changed)
    assert (planned.plan.additions, planned.plan.changes, planned.plan.removals) == (0, 3, 0)
    campaign.push(planned, is_resync=True)
    assert sandbox_counts(campaign) == (23, 20)


def test_a_lead_of_a_newer_upload_is_left_to_that_one(campaign: Any) -> None:
    campaign.activate(campaign.members_of(range(20)))
    campaign.receive(OTHER, range(5))
    campaign.upload = OTHER
    campaign.activate(campaign.members_of(range(5)))
    assert sandbox_counts(campaign) == (20, 20)
    assert campaign.counts() == {"planned": 5, "pushed": 5, "failed": 0, "pending": 0}
    campaign.upload = UPLOAD
    planned = campaign.plan(campaign.members_of([]))
    assert planned.plan.removals == 15
    campaign.push(planned, is_resync=True)
    assert campaign.audience() == campaign.leads(range(5))
    campaign.upload = OTHER
    campaign.push(campaign.plan(campaign.members_of([])), is_resync=True)
    assert campaign.audience() == set()


def test_a_second_person_must_approve_where_policy_says_so(campaign: Any) -> None:
    from decimal import Decimal

    campaign.with_activation(second_person=True)
    ingestions.set_sample_percent(campaign.connection, UPLOAD, Decimal(25), "ann")
    planned = campaign.plan(campaign.members_of(range(20)))
    with pytest.raises(Paused) as paused:
        approve(campaign.connection, planned.plan.plan, "ann", campaign.policy.activation)
    assert paused.value.code == "approval"
    assert ingestions.find(campaign.connection, UPLOAD).state == State.AWAITING_APPROVAL
    plan = approve(campaign.connection, planned.plan.plan, "ben", campaign.policy.activation)
    assert (plan.state, plan.approved_by) == ("approved", "ben")
    assert ingestions.find(campaign.connection, UPLOAD).state == State.PLANNED
    campaign.push(planned)
    with pytest.raises(Paused):
        campaign.push(campaign.plan(campaign.members_of(range(19))), is_resync=True)


def test_an_empty_difference_is_a_plan_that_asks_no_guardrail(campaign: Any) -> None:
    receipts = campaign.activate(campaign.members_of([]))
    assert receipts.empty
    assert campaign.newest().state == "activated"
    assert campaign.asked == 0


# What can go wrong on the wire -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["drop_after", "truncated", "server_error", "bad_gateway", "garbage", "empty", "redirect"]
)
def test_a_lost_acknowledgement_is_answered_by_the_same_messages(campaign: Any, kind: str) -> None:
    campaign.sandbox.fault("segment_tracking", kind, count=2)
    receipts = campaign.activate(campaign.members_of(range(20)))
    assert set(receipts["state"]) == {"sent"}
    assert sandbox_counts(campaign) == (20, 20)
    assert campaign.sandbox.ledger()["segment_tracking"]["calls"] == 3


def test_a_segment_that_stays_silent_fails_nobody_and_is_resumed(campaign: Any) -> None:
    campaign.with_activation(attempts=2)
    campaign.sandbox.fault("segment_tracking", "drop_after")
    found = campaign.members_of(range(20))
    with pytest.raises(TransientError) as down:
        campaign.activate(found)
    assert down.value.code == "segment_down"
    assert campaign.counts() == {"planned": 20, "pushed": 0, "failed": 0, "pending": 20}
    campaign.sandbox.clear()
    campaign.activate(found)
    assert sandbox_counts(campaign) == (20, 20)
    assert campaign.counts()["pushed"] == 20


def test_a_message_that_may_have_arrived_is_taken_back_when_its_lead_opts_out(campaign: Any) -> None:
    campaign.with_activation(attempts=1)
    campaign.sandbox.fault("segment_tracking", "drop_after")
    found = campaign.members_of(range(20))
    with pytest.raises(TransientError):
        campaign.activate(found)
    campaign.sandbox.clear()
    assert campaign.audience() == campaign.leads(range(20))
    campaign.receive(UPLOAD, [7], verdict="block")
    campaign.activate(found)
    assert campaign.audience() == campaign.leads(set(range(20)) - {7})


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_busy_segment_is_waited_for_as_long_as_it_says(campaign: Any, form: str) -> None:
    campaign.sandbox.fault("segment_tracking", "rate_limited", count=1, retry_after=2, retry_after_form=form)
    started = time.monotonic()
    campaign.activate(campaign.members_of(range(20)))
    assert time.monotonic() - started >= (2 if form == "seconds" else 1)
    assert sandbox_counts(campaign) == (20, 20)


def test_a_write_key_that_segment_refuses_stops_the_push(campaign: Any) -> None:
    campaign.settings = campaign.settings.model_copy(
        update={"segment_write_key": type(campaign.settings.segment_write_key)("short")}
    )
    with pytest.raises(GuardrailFailed) as refused:
        campaign.activate(campaign.members_of(range(20)))
    assert refused.value.code == "guardrail:7"
    assert campaign.counts()["pending"] == 20


def test_one_bad_event_fails_alone(campaign: Any) -> None:
    # More than Segment takes, less than this policy refuses: only a 400 tells.
    campaign.with_activation(event_bytes=32_000)
    import pandas as pd

    from lead_intel.activation import push as pushing

    found = pd.concat([campaign.members_of([0], note="x" * 40_000), campaign.members_of(range(1, 20))])
    planned = campaign.plan(found)
    lenient = campaign.policy.activation.model_copy(update={"event_bytes": 100_000})
    pushing.enqueue(campaign.connection, planned.plan, planned.messages, lenient)
    approve(campaign.connection, planned.plan.plan, "ann", campaign.policy.activation)
    receipts = campaign.push(planned).set_index("lead_id")
    assert receipts.loc[campaign.lead_of(0), ["state", "reason"]].tolist() == ["failed", "rejected"]
    assert campaign.counts() == {"planned": 20, "pushed": 19, "failed": 1, "pending": 0}
    assert sandbox_counts(campaign) == (19, 19)


def test_events_that_segment_could_not_take_are_failed_before_they_leave(campaign: Any) -> None:
    import pandas as pd

    found = pd.concat(
        [
            campaign.members_of([0], note="ü" * 6_000),
            campaign.members_of([1], score=float("nan")),
            campaign.members_of(range(2, 20)),
        ]
    )
    receipts = campaign.activate(found).set_index("lead_id")
    assert receipts.loc[campaign.lead_of(0), ["state", "reason"]].tolist() == ["failed", "too_large"]
    assert receipts.loc[campaign.lead_of(1), ["state", "reason"]].tolist() == ["failed", "unserialisable"]
    assert sandbox_counts(campaign) == (18, 18)
    assert campaign.messages() == {"planned": 20, "sent": 18, "failed": 2}


def test_a_failed_message_is_tried_again_by_the_next_plan_and_no_other(campaign: Any) -> None:
    import pandas as pd

    campaign.with_activation(event_bytes=5_000)
    found = pd.concat([campaign.members_of([0], note="x" * 6_000), campaign.members_of(range(1, 20))])
    campaign.activate(found)
    assert outbox.failures(campaign.connection, UPLOAD) == 1
    campaign.with_activation(event_bytes=32_000)
    planned = campaign.plan(found)
    assert planned.plan.size == 1
    # What failed in the plan that this one replaces is over.
    assert outbox.failures(campaign.connection, UPLOAD) == 0
    # The policy is another one: a person has to approve again.
    approve(campaign.connection, planned.plan.plan, "ann", campaign.policy.activation)
    campaign.push(planned)
    assert sandbox_counts(campaign) == (20, 20)
    assert campaign.messages() == {"planned": 20, "sent": 20, "failed": 0}


def test_batches_keep_within_count_and_bytes(campaign: Any) -> None:
    campaign.with_activation(batch_events=6, batch_bytes=5_000)
    campaign.activate(campaign.members_of(range(20), note="n" * 700))
    calls = campaign.sandbox.calls("segment_tracking")
    assert sum(call["note"]["events"] for call in calls) == 20
    assert max(call["note"]["events"] for call in calls) <= 5


def test_the_pace_of_policy_is_kept(campaign: Any) -> None:
    campaign.with_activation(batch_events=5, events_per_second=10)
    started = time.monotonic()
    campaign.activate(campaign.members_of(range(20)))
    assert time.monotonic() - started >= 1.5


@pytest.mark.parametrize("kind", ["black_hole", "trickle", "slow", "rate_limited"])
def test_a_stop_is_obeyed_within_a_second_and_nothing_is_lost(campaign: Any, kind: str) -> None:
    options = {"retry_after": 30} if kind == "rate_limited" else {"seconds": 30}
    campaign.sandbox.fault("segment_tracking", kind, **options)
    found = campaign.members_of(range(20))
    asked: list[float] = []

    def ask_to_stop() -> None:
        time.sleep(0.7)
        asked.append(time.monotonic())
        campaign.stop.set()

    threading.Thread(target=ask_to_stop).start()
    with pytest.raises(Stopped):
        campaign.activate(found)
    assert time.monotonic() - asked[0] < 1.0
    campaign.sandbox.clear()
    campaign.stop.clear()
    campaign.activate(found)
    assert sandbox_counts(campaign) == (20, 20)
    assert campaign.counts()["pushed"] == 20


def test_rows_are_committed_before_the_first_byte_leaves(campaign: Any) -> None:
    campaign.with_activation(attempts=1)
    campaign.sandbox.fault("segment_tracking", "server_error")
    with pytest.raises(TransientError):
        campaign.activate(campaign.members_of(range(20)))
    receipts = outbox.receipts(campaign.connection, campaign.newest().plan)
    assert receipts["state"].tolist() == ["pending"] * 20
