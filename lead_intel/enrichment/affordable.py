"""How far the budgets reach: which one would stop a sample first, and after about how many calls. Pure.

Whatever is asked side by side, each at its own pace, draws on the same day and upload: money runs out in the order of
time, not of vendors. A demand that has to wait for others says when it starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lead_intel.record.spend import Left, usd

_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Demand:
    """What one vendor will be asked at most: so many calls, each at `price`, so many a second, after `starts`."""

    vendor: str
    calls: int
    price: Decimal
    per_second: float
    starts: float = 0.0

    @property
    def ends(self) -> float:
        """The second at which all of its calls are made."""
        return self.starts + self.calls / self.per_second

    def calls_by(self, seconds: float) -> int:
        """How many calls have been made after so long."""
        return min(self.calls, int(self.per_second * max(0.0, seconds - self.starts)))


def first_stop(demands: Sequence[Demand], budgets: Sequence[Left]) -> dict[str, Any] | None:
    """The budget that ends the work first: scope, vendor (of a vendor's budget), left, missing, calls; None if none.

    `missing` is what that budget lacks for all of its calls, `calls` about how many are made before, of all vendors.
    """
    stops = [
        (_seconds_until(drawing, budget.left), budget, _cost(drawing) - budget.left)
        for budget in budgets
        if _cost(drawing := [demand for demand in demands if budget.vendor in (None, demand.vendor)]) > budget.left
    ]
    if not stops:
        return None
    seconds, budget, missing = min(stops, key=lambda stop: stop[0])
    return {
        "scope": budget.scope,
        "vendor": budget.vendor,
        "left": usd(budget.left),
        "missing": usd(missing),
        "calls": sum(demand.calls_by(seconds) for demand in demands),
    }


def _cost(demands: Sequence[Demand]) -> Decimal:
    return sum((demand.calls * demand.price for demand in demands), start=Decimal(0))


def _seconds_until(demands: Sequence[Demand], left: Decimal) -> float:
    """The last moment at which what was called costs no more than `left`."""
    low, high = 0.0, max((demand.ends for demand in demands), default=0.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        spent = sum((demand.calls_by(middle) * demand.price for demand in demands), start=Decimal(0))
        low, high = (middle, high) if spent <= left else (low, middle)
    return low
