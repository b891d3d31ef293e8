"""Whoever may not be contacted leaves the audiences: first, at once, whatever else is paused, stopped or unapproved."""

from decimal import Decimal
from typing import Any

import pytest

from lead_intel.activation.approval import approve
from lead_intel.errors import Paused, TransientError
from lead_intel.record import ingestions, members, plans, suppressions
from lead_intel.uploads import State

UPLOAD = "upl_20261124_0000000001"
OTHER = "upl_20261124_0000000002"


def opt_out(campaign: Any, *numbers: int) -> None:
    for number in numbers:
        key = campaign.settings.lead_intel_identity_key
        suppressions.add_phone(campaign.connection, key, 12_125_550_000 + number, "stop", "sms")


def message_ids(campaign: Any) -> int:
    return campaign.sandbox.ledger()["segment_tracking"]["distinct_message_ids"]


def test_each_reason_takes_out_its_people_and_nobody_else(campaign: Any) -> None:
    campaign.activate(campaign.members_of(range(20)))
    opt_out(campaign, 0)
    suppressions.add_email(
        campaign.connection, campaign.settings.lead_intel_identity_key, "person1@example.com", "stop", "email"
    )
    campaign.receive(UPLOAD, [2], verdict="block")
    campaign.receive(UPLOAD, [3], verdict="hold")
    campaign.receive(UPLOAD, [4], days=-2)
    campaign.receive(UPLOAD, [5], days=0)  # ran out just now: screening may renew it
    campaign.connection.execute("delete from lead_intel.dnc_verdicts where lead_id = %s", (campaign.lead_of(6),))
    campaign.connection.execute("delete from lead_intel.leads where lead_id = %s", (campaign.lead_of(7),))

    left = campaign.exits()

    assert campaign.audience() == campaign.leads({5, *range(8, 20)})
    assert left["excluded"].value_counts().to_dict() == {
        "suppressed": 2,
        "verdict_block": 1,
        "verdict_hold": 1,
        "verdict_stale": 1,
        "not_screened": 1,
        "person_unknown": 1,
    }
    assert set(left["state"]) == {"sent"}
    assert sum(members.exclusion_counts(campaign.connection, UPLOAD).values()) + campaign.counts()["planned"] == 20
    assert campaign.messages() == {"planned": 27, "sent": 27, "failed": 0}


def test_a_change_of_profile_takes_out_whom_the_other_profile_judged(campaign: Any) -> None:
    campaign.activate(campaign.members_of(range(20)))
    ingestions.set_profile(campaign.connection, UPLOAD, "lenient")
    assert set(campaign.exits()["excluded"]) == {"not_screened"}
    assert campaign.audience() == set()


def test_exits_again_say_nothing_twice_and_a_return_is_a_new_message(campaign: Any) -> None:
    found = campaign.members_of(range(20))
    campaign.activate(found)
    campaign.receive(UPLOAD, [4], verdict="hold")
    campaign.exits()
    calls = campaign.sandbox.ledger()["segment_tracking"]["calls"]
    assert campaign.exits().empty
    assert campaign.sandbox.ledger()["segment_tracking"]["calls"] == calls
    campaign.receive(UPLOAD, [4])
    campaign.resync(campaign.plan(found))
    assert campaign.audience() == campaign.leads(range(20))
    assert message_ids(campaign) == 22


def test_exits_leave_a_plan_that_waits_alone(campaign: Any) -> None:
    campaign.activate(campaign.members_of(range(15)))
    draft = campaign.plan(campaign.members_of(range(20))).plan
    opt_out(campaign, 3)
    campaign.exits()
    assert campaign.audience() == campaign.leads(set(range(15)) - {3})
    assert campaign.newest() == plans.find(campaign.connection, draft.plan)
    assert (campaign.newest().state, campaign.newest().approved_by) == ("draft", None)
    campaign.activate(campaign.members_of(range(20)))
    assert campaign.audience() == campaign.leads(set(range(20)) - {3})


def test_what_may_have_arrived_is_taken_out_before_its_push_ends(campaign: Any) -> None:
    campaign.with_activation(attempts=1)
    campaign.sandbox.fault("segment_tracking", "drop_after")
    found = campaign.members_of(range(20))
    planned = campaign.plan(found)
    approve(campaign.connection, planned.plan.plan, "ann", campaign.policy.activation)
    with pytest.raises(TransientError):
        campaign.push(planned)
    campaign.sandbox.clear()
    opt_out(campaign, 7)
    assert len(campaign.exits()) == 1
    assert campaign.audience() == campaign.leads(set(range(20)) - {7})
    with pytest.raises(Paused, match="suppressed: 1"):
        campaign.push(planned)
    campaign.activate(found)
    assert campaign.audience() == campaign.leads(set(range(20)) - {7})
    assert campaign.exits().empty


def test_exits_that_segment_did_not_take_go_with_the_next(campaign: Any) -> None:
    campaign.activate(campaign.members_of(range(20)))
    campaign.with_activation(attempts=1)
    opt_out(campaign, 3)
    campaign.sandbox.fault("segment_tracking", "server_error")
    with pytest.raises(TransientError):
        campaign.exits()
    campaign.sandbox.clear()
    opt_out(campaign, 4)
    campaign.exits()
    assert campaign.audience() == campaign.leads(set(range(20)) - {3, 4})
    assert message_ids(campaign) == 22


def test_who_belongs_to_a_newer_upload_is_left_to_that_one(campaign: Any) -> None:
    campaign.activate(campaign.members_of(range(20)))
    campaign.receive(OTHER, range(5))
    campaign.upload = OTHER
    campaign.activate(campaign.members_of(range(5)))
    campaign.upload = UPLOAD
    campaign.receive(UPLOAD, range(20), verdict="hold")
    campaign.exits()
    assert campaign.audience() == campaign.leads(range(5))


# The re-sync and what people chose -------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["sample", "profile", "policy"])
def test_a_resync_pushes_nothing_that_nobody_approved_and_takes_out_all_the_same(campaign: Any, choice: str) -> None:
    campaign.activate(campaign.members_of(range(10)))
    if choice == "sample":
        ingestions.set_sample_percent(campaign.connection, UPLOAD, Decimal(50), "ann")
    elif choice == "profile":
        ingestions.set_profile(campaign.connection, UPLOAD, "lenient")
        campaign.connection.execute("update lead_intel.dnc_verdicts set profile = 'lenient'")
    else:
        campaign.with_activation(events_per_second=900)
    campaign.receive(UPLOAD, [4], verdict="block")
    with pytest.raises(Paused) as paused:
        campaign.resync(campaign.plan(campaign.members_of(range(20))))
    assert paused.value.code == "approval"
    expected = set(range(10)) - {4}
    # `receive` judges under the strict profile.
    assert campaign.audience() == campaign.leads(expected)
    assert (campaign.newest().state, campaign.newest().approved_by) == ("draft", None)
    approve(campaign.connection, campaign.newest().plan, "ben", campaign.policy.activation)


def test_a_resync_after_a_push_that_broke_half_way_goes_on_with_its_approval(campaign: Any) -> None:
    campaign.with_activation(attempts=1)
    campaign.sandbox.fault("segment_tracking", "drop_after")
    found = campaign.members_of(range(20))
    with pytest.raises(TransientError):
        campaign.activate(found)
    campaign.sandbox.clear()
    campaign.receive(UPLOAD, [4], verdict="block")
    campaign.resync(campaign.plan(found))
    assert campaign.audience() == campaign.leads(set(range(20)) - {4})
    assert campaign.newest().approved_by == "ann"


def test_a_plan_for_another_sample_or_profile_is_not_pushed_although_it_was_approved(campaign: Any) -> None:
    planned = campaign.plan(campaign.members_of(range(20)))
    approve(campaign.connection, planned.plan.plan, "ann", campaign.policy.activation)
    ingestions.set_sample_percent(campaign.connection, UPLOAD, Decimal(50), "ann")
    with pytest.raises(Paused, match="the sample was 100 % and is 50 %") as paused:
        campaign.push(planned)
    assert paused.value.code == "plan_outdated"
    ingestions.set_sample_percent(campaign.connection, UPLOAD, Decimal(100), "ann")
    ingestions.set_profile(campaign.connection, UPLOAD, "lenient")
    with pytest.raises(Paused, match="the profile was strict and is lenient"):
        campaign.push(planned)
    assert campaign.sandbox.ledger()["segment_tracking"]["calls"] == 0


def test_verdicts_of_another_profile_plan_nobody(campaign: Any) -> None:
    ingestions.set_profile(campaign.connection, UPLOAD, "lenient")
    planned = campaign.plan(campaign.members_of(range(20)))
    assert planned.left_out == {"not_screened": 20}
    assert planned.plan.size == 0


def test_verdicts_of_another_profile_let_nothing_leave(campaign: Any) -> None:
    campaign.with_activation(batch_events=5, events_per_second=20)
    planned = campaign.plan(campaign.members_of(range(20)))
    approve(campaign.connection, planned.plan.plan, "ann", campaign.policy.activation)

    def changed_meanwhile(done: int, total: int) -> None:
        ingestions.set_profile(campaign.connection, UPLOAD, "lenient")

    campaign.progress = changed_meanwhile
    receipts = campaign.push(planned)
    assert receipts["state"].value_counts().to_dict() == {"withheld": 15, "sent": 5}
    assert set(receipts.loc[receipts["state"] == "withheld", "reason"]) == {"not_screened"}


# More than a day without an acknowledgement ----------------------------------------------------------


def test_what_left_more_than_a_day_ago_is_sent_again_by_a_person_only(campaign: Any) -> None:
    campaign.with_activation(attempts=1)
    campaign.sandbox.fault("segment_tracking", "drop_after")
    found = campaign.members_of(range(20))
    planned = campaign.plan(found)
    approve(campaign.connection, planned.plan.plan, "ann", campaign.policy.activation)
    with pytest.raises(TransientError):
        campaign.push(planned)
    campaign.sandbox.clear()
    campaign.connection.execute(
        "update lead_intel.activation_outbox set attempted_at = attempted_at - interval '25 hours'"
    )
    calls = campaign.sandbox.ledger()["segment_tracking"]["calls"]

    receipts = campaign.push(planned)

    assert set(receipts["reason"]) == {"unconfirmed_24h"}
    assert campaign.counts() == {"planned": 20, "pushed": 0, "failed": 20, "pending": 0}
    with pytest.raises(Paused) as waits:
        campaign.resync(campaign.plan(found))
    assert waits.value.code == "approval"
    assert campaign.sandbox.ledger()["segment_tracking"]["calls"] == calls
    # It may be inside: an opt-out takes it out although nobody ever acknowledged it.
    opt_out(campaign, 3)
    assert len(campaign.exits()) == 1
    campaign.activate(found)
    assert campaign.counts() == {"planned": 19, "pushed": 19, "failed": 0, "pending": 0}
    assert campaign.audience() == campaign.leads(set(range(20)) - {3})
    # The same membership in the same version never went under two ids; the exit is one more.
    assert message_ids(campaign) == 21
    assert campaign.exits().empty


# Who is due ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(State))
def test_an_upload_with_people_in_audiences_is_due_whatever_became_of_it(campaign: Any, state: State) -> None:
    campaign.activate(campaign.members_of(range(20)))
    campaign.connection.execute("update lead_intel.lead_ingestions set created_at = now() - interval '2 years'")
    ingestions.set_state(campaign.connection, UPLOAD, state)
    due = ingestions.due_for_resync(campaign.connection, 30)
    if state in (State.RECEIVED, State.SCREENING, State.ENRICHING, State.ACTIVATING):
        assert due == []
    else:
        exits_only = state in (State.STOPPED, State.REJECTED)
        assert due == [ingestions.DueForResync(UPLOAD, exits_only=exits_only)]


def test_an_upload_whose_first_push_broke_half_way_is_due(campaign: Any) -> None:
    campaign.with_activation(attempts=1)
    campaign.sandbox.fault("segment_tracking", "drop_after")
    with pytest.raises(TransientError):
        campaign.activate(campaign.members_of(range(20)))
    ingestions.set_state(campaign.connection, UPLOAD, State.STOPPED)
    assert ingestions.due_for_resync(campaign.connection, 30) == [
        ingestions.DueForResync(UPLOAD, exits_only=True),
    ]


def test_an_upload_that_never_pushed_anything_is_not_due(campaign: Any) -> None:
    campaign.plan(campaign.members_of(range(20)))
    ingestions.set_state(campaign.connection, UPLOAD, State.PLANNED)
    assert ingestions.due_for_resync(campaign.connection, 30) == []
