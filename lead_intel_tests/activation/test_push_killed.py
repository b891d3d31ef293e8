"""kill -9 in the middle of a push, again and again, each time resumed by a new process; counted at the sandbox."""

import random
import subprocess
import sys
from typing import Any

import pytest

from lead_intel.activation.approval import approve
from lead_intel.record import frames, outbox

UPLOAD = "upl_20261124_0000000001"

PUSH = """
import sys, threading
from lead_intel.activation.activate import activate
from lead_intel.policy import load_policy
from lead_intel.record.database import connected
from lead_intel.record.frames import read_frame
from lead_intel.settings import load_settings

class Work:
    def progress(self, done, total): pass

work = Work()
work.settings = load_settings()
policy = load_policy(work.settings.lead_intel_policy_dir)
pace = policy.activation.model_copy(update={"batch_events": 10, "events_per_second": 200})
work.policy = policy.model_copy(update={"activation": pace})
work.upload, work.stop = sys.argv[1], threading.Event()
messages = read_frame(work.settings.frames_dir, "activation_plan", work.upload)
with connected(work.settings) as work.connection:
    print("pushing", flush=True)
    activate(work, messages, is_resync=False, before_pushing=lambda: None)
print("pushed", flush=True)
"""


def pushed_before_it_was_killed(after_seconds: float) -> bool:
    child = subprocess.Popen([sys.executable, "-c", PUSH, UPLOAD], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "pushing\n"
    try:
        child.wait(after_seconds)
    except subprocess.TimeoutExpired:
        child.kill()
    child.wait(10)
    ended = child.stdout.read() == "pushed\n"
    child.stdout.close()
    return ended


def kill_until_done(campaign: Any, leads: int, seed: int) -> int:
    campaign.with_activation(batch_events=10, events_per_second=200)
    campaign.receive(UPLOAD, range(leads))
    planned = campaign.plan(campaign.members_of(range(leads)))
    approve(campaign.connection, planned.plan.plan, "ann", campaign.policy.activation)
    frames.write_frame(campaign.settings.frames_dir, "activation_plan", UPLOAD, planned.messages)
    chance, kills = random.Random(seed), 0
    while not pushed_before_it_was_killed(chance.uniform(0.1, 0.6)):
        kills += 1
        assert kills < 60
    return kills


def check(campaign: Any, leads: int) -> None:
    ledger = campaign.sandbox.ledger()["segment_tracking"]
    assert ledger["distinct_message_ids"] == leads
    assert ledger["distinct_user_ids"] == leads
    assert campaign.messages() == {"planned": leads, "sent": leads, "failed": 0}
    assert campaign.counts() == {"planned": leads, "pushed": leads, "failed": 0, "pending": 0}
    assert campaign.audience() == campaign.leads(range(leads))
    assert set(outbox.receipts(campaign.connection, campaign.newest().plan)["state"]) == {"sent"}


def test_a_push_that_is_killed_and_resumed_arrives_once(campaign: Any) -> None:
    campaign.sandbox.fault("segment_tracking", "slow", seconds=0.05)
    assert kill_until_done(campaign, 120, seed=1) >= 1
    check(campaign, 120)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_push_that_is_killed_at_many_points_arrives_once(campaign: Any, seed: int) -> None:
    campaign.sandbox.fault("segment_tracking", "slow", seconds=0.1, every=2)
    campaign.sandbox.fault("segment_tracking", "drop_after", every=7)
    kill_until_done(campaign, 200, seed)
    check(campaign, 200)
