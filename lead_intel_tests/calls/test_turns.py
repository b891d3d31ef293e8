"""Many rounds of one call each, as many small uploads make them: their calls keep the account's pace together."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

from lead_intel.record import vendor_rounds

PACE = 4.0


def test_rounds_of_one_call_that_begin_together_take_turns(rounds: Any, sandbox: Any) -> None:
    others = [rounds.another() for _ in range(8)]
    rounds.side_by_side(
        *(
            lambda other=other, index=index: other.run(
                [12125200000 + index], upload=f"upl_20261124_aaaaaaaaa{index}", per_second=PACE, concurrency=10
            )
            for index, other in enumerate(others)
        )
    )
    moments = sorted(float(call["at"]) for call in sandbox.calls("twilio_lookup"))
    assert len(moments) == 8
    for first in moments:
        # A call may be late by what a busy machine needs to send it, and the next be on time.
        assert sum(first <= other < first + 1.0 for other in moments) <= PACE + 2
    assert moments[-1] - moments[0] >= 1.2


@pytest.mark.parametrize("not_before", [0.0, 1.2])
def test_turns_are_spaced_by_the_pace_and_not_saved_up(database: psycopg.Connection, not_before: float) -> None:
    waits = [vendor_rounds.take_turn(database, "twilio_lookup", 10.0, not_before) for _ in range(3)]
    assert waits == pytest.approx([not_before, not_before + 0.1, not_before + 0.2], abs=0.09)
    assert vendor_rounds.take_turn(database, "zerobounce", 10.0, 0.0) == pytest.approx(0.0, abs=0.01)
    time.sleep(0.4)
    assert vendor_rounds.take_turn(database, "twilio_lookup", 10.0, 0.0) <= not_before
