"""Reserve, settle, refund: a cap holds whoever asks at the same time, and the sums are exact."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lead_intel.policy import Budgets
from lead_intel.record import spend, vendor_calls
from lead_intel.record.vendor_calls import Account, Result

CHILD = Path(__file__).parent / "spend_until_parked.py"
CAP = Decimal("2.50")
PRICES = st.lists(
    st.tuples(st.integers(1, 400_000).map(lambda millionths: Decimal(millionths) / 1_000_000), st.booleans()),
    min_size=1,
    max_size=25,
)


def budgets(**caps: Decimal) -> Budgets:
    return Budgets.model_validate(
        {"effective": "2026-11-01", "per_day": Decimal(500), "per_upload": Decimal(500)} | caps
    )


def books(database: psycopg.Connection) -> list[tuple[str, Decimal, Decimal]]:
    return database.execute("select scope, reserved, settled from lead_intel.spend_budgets order by 1").fetchall()


@given(PRICES, st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reserved_settled_and_refunded_sum_to_the_last_millionth(
    database: psycopg.Connection, prices: list[tuple[Decimal, bool]], data: st.DataObject
) -> None:
    database.execute("truncate lead_intel.vendor_calls, lead_intel.spend_budgets, lead_intel.spend_entries cascade")
    cap = budgets(per_upload=data.draw(st.decimals(0, 4, places=6, allow_nan=False), label="cap"))
    account = Account("trestle", "phone", "upl_a", "acme")
    held: dict[int, tuple[Decimal, bool]] = {}
    for number, (price, billed) in enumerate(prices):
        before = sum((one for one, _ in held.values()), start=Decimal(0))
        refused = before + price > cap.per_upload
        with pytest.raises(spend.BudgetReached) if refused else nullcontext() as parked, database.transaction():
            call_id = vendor_calls.claim(database, account, {str(number): price}, 30).intents[str(number)]
            spend.reserve(database, {call_id: price}, vendor="trestle", upload="upl_a", budgets=cap)
            held[call_id] = (price, billed)
        if parked is not None:
            assert "this upload" in parked.value.message
            assert f"${spend.usd(cap.per_upload - before)} of it is left" in parked.value.message
    reserved = sum((price for price, _ in held.values()), start=Decimal(0))
    assert all((row[1], row[2]) == (reserved, 0) for row in books(database))
    ended = [call_id for call_id in held if data.draw(st.booleans())]
    with database.transaction():
        vendor_calls.finish(database, [Result(one, "ok", "yes" if held[one][1] else "no", "{}", 0.1) for one in ended])
    paid = sum((held[one][0] for one in ended if held[one][1]), start=Decimal(0))
    open_still = sum((price for one, (price, _) in held.items() if one not in ended), start=Decimal(0))
    assert all((row[1], row[2]) == (open_still, paid) for row in books(database))
    told = spend.spend_of_upload(database, "upl_a")
    assert (told["reserved"], told["settled"]) == (open_still, paid)


@pytest.mark.parametrize(
    "scope", ["per_day", *(pytest.param(scope, marks=pytest.mark.slow) for scope in ("per_upload", "per_vendor"))]
)
def test_processes_that_spend_at_the_same_time_never_pass_a_cap(database: psycopg.Connection, scope: str) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, str(CHILD), scope, str(CAP), "upl_same" if scope == "per_upload" else f"upl_{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(os.environ),
            text=True,
        )
        for number in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    most = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    # Each saw the budget after each of its own steps; none ever saw more than the cap in it.
    assert max(Decimal(text.split()[-1]) for text in most) <= CAP
    name = scope.removeprefix("per_")
    rows = [row for row in books(database) if row[0] == name]
    assert sum(row[1] for row in rows) == 0
    settled = sum(row[2] for row in rows)
    row = database.execute("select sum(price) from lead_intel.vendor_calls where billed = 'yes'").fetchone()
    assert row == (settled,)
    # What three calls may have held and given back at the end is the most that stays unused.
    assert CAP - 4 * Decimal("0.07") < settled <= CAP
