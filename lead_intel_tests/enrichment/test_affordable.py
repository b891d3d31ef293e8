"""Which budget would stop a sample, and after how many calls."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from lead_intel.enrichment.affordable import Demand, first_stop
from lead_intel.record.spend import Left

CENTS = st.integers(0, 3000).map(lambda cents: Decimal(cents) / 100)
DEMANDS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 20).map(lambda cents: Decimal(cents) / 100), st.floats(0.5, 50)),
    min_size=1,
    max_size=3,
).map(lambda rows: [Demand(f"v{number}", *row) for number, row in enumerate(rows)])


@given(DEMANDS, CENTS, CENTS, CENTS)
@settings(max_examples=150, deadline=None)
def test_no_budget_is_named_exactly_when_all_of_it_fits(
    demands: list[Demand], day: Decimal, upload: Decimal, vendor: Decimal
) -> None:
    budgets = [Left("day", None, day, day), Left("upload", None, upload, upload), Left("vendor", "v0", vendor, vendor)]
    whole = sum((demand.calls * demand.price for demand in demands), start=Decimal(0))
    stop = first_stop(demands, budgets)
    fits = whole <= min(day, upload) and demands[0].calls * demands[0].price <= vendor
    assert (stop is None) == fits
    if stop is not None:
        assert stop["missing"] > 0
        every = sum(demand.calls for demand in demands)
        assert 0 <= stop["calls"] <= every
        assert stop["vendor"] is not None or stop["calls"] < every


def test_the_vendor_that_is_quick_and_dear_reaches_its_cap_before_the_day_is_used_up() -> None:
    demands = [Demand("dear", 100, Decimal("0.10"), 10), Demand("cheap", 1000, Decimal("0.01"), 10)]
    left = [Left("day", None, Decimal(15), Decimal(15)), Left("vendor", "dear", Decimal(2), Decimal(2))]
    stop = first_stop(demands, left)
    assert stop is not None
    assert (stop["scope"], stop["vendor"], stop["left"], stop["missing"]) == ("vendor", "dear", 2, 8)
    # Twenty of the dear calls are paid; the cheap ones went beside them.
    assert 40 <= stop["calls"] <= 42


def test_a_cap_of_nothing_stops_before_the_first_call() -> None:
    stop = first_stop([Demand("v", 5, Decimal("0.10"), 1.0)], [Left("day", None, Decimal(0), Decimal(0))])
    assert stop is not None
    assert stop["calls"] == 0
