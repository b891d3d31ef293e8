"""Rows of `spend_budgets` and `spend_entries`: reserve before a paid call, settle or refund after it, and sums.

The caps are a database constraint (`spend_within_budget`): money that is not there cannot be reserved, whoever
asks. SQL only; callers own the transactions and do this last in them, because the day's row is everybody's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import errors

from lead_intel.errors import Paused
from lead_intel.policy import Budgets
from lead_intel.record import database

UNCAPPED = Decimal(99_999_999)
"""The cap of a vendor for which policy sets none: its month is counted all the same."""

_ZERO = Decimal(0)
_CENT = Decimal("0.01")
_WORDS = {
    "day": "today's budget",
    "upload": "this month's budget of this upload",
    "vendor": "this month's budget for {vendor}",
}
_NEXT = {"day": "tomorrow", "upload": "next month", "vendor": "next month"}
_PLACES = {"day": "per_day", "upload": "per_upload", "vendor": "per_vendor"}


class BudgetReached(Paused):
    """A reservation would pass a cap. Nothing was reserved."""


def reserve(
    connection: psycopg.Connection, prices: dict[int, Decimal], *, vendor: str, upload: str, budgets: Budgets
) -> Decimal:
    """Reserve the price of each call (`call_id` -> price) in every scope; returns the sum. Call in a transaction.

    Raises:
        BudgetReached: a cap does not allow it; roll the transaction back.
    """
    amount = sum(prices.values(), start=_ZERO)
    if not prices:
        return amount
    connection.execute(
        "insert into lead_intel.spend_entries (call_id, kind, amount) "
        "select call_id, 'reserve', amount from unnest(%s::bigint[], %s::numeric[]) as entry (call_id, amount)",
        (list(prices), list(prices.values())),
    )
    caps = _caps(_intended_at(connection, list(prices)), vendor, upload, budgets)
    for (scope, key), cap in caps.items():
        try:
            connection.execute(
                "insert into lead_intel.spend_budgets as budget (scope, key, cap, reserved) values (%s, %s, %s, %s) "
                "on conflict (scope, key) do update set cap = excluded.cap, "
                "reserved = budget.reserved + excluded.reserved",
                (scope, key, cap, amount),
            )
        except errors.CheckViolation:
            raise _reached(scope, vendor, cap) from None
    return amount


def settle(connection: psycopg.Connection, rows: Sequence[Sequence[Any]]) -> None:
    """Turn the reservations of calls that have just ended into spending, or give back what was not billed.

    `rows`: call_id, price, billed, intended_at, upload, vendor.
    """
    if not rows:
        return
    released: dict[tuple[str, str], Decimal] = defaultdict(lambda: _ZERO)
    spent: dict[tuple[str, str], Decimal] = defaultdict(lambda: _ZERO)
    for _call_id, price, billed, intended_at, upload, vendor in rows:
        for scope in _scopes(intended_at, vendor, upload):
            released[scope] += price
            spent[scope] += _ZERO if billed == "no" else price
    connection.execute(
        "insert into lead_intel.spend_entries (call_id, kind, amount) select call_id, kind, amount "
        "from unnest(%s::bigint[], %s::text[], %s::numeric[]) as entry (call_id, kind, amount)",
        (
            [row[0] for row in rows],
            ["refund" if row[2] == "no" else "settle" for row in rows],
            [row[1] for row in rows],
        ),
    )
    # One order of locking for everybody, or two rounds that end together could wait for each other for ever.
    for scope in sorted(released):
        connection.execute(
            "update lead_intel.spend_budgets set reserved = reserved - %s, settled = settled + %s "
            "where scope = %s and key = %s",
            (released[scope], spent[scope], *scope),
        )


def spend_of_upload(connection: psycopg.Connection, upload: str) -> dict[str, Any]:
    """Money of one upload: `{"reserved", "settled", "by_vendor": {vendor: settled}}` in US dollars.

    `reserved` is promised to calls under way. Calls of unknown billing count as settled.
    """
    rows = connection.execute(
        "select vendor, coalesce(sum(price) filter (where outcome is null), 0), "
        "coalesce(sum(price) filter (where billed in ('yes', 'unknown')), 0) "
        "from lead_intel.vendor_calls where upload = %s group by vendor order by vendor",
        (upload,),
    ).fetchall()
    return {
        "reserved": usd(sum((held for _, held, _ in rows), start=_ZERO)),
        "settled": usd(sum((spent for _, _, spent in rows), start=_ZERO)),
        "by_vendor": {str(vendor): usd(spent) for vendor, _, spent in rows},
    }


def spend_summary(connection: psycopg.Connection) -> dict[str, Any]:
    """All money settled, as the object of `lead-intel spend --json`. Days are UTC."""
    rows = connection.execute(
        "select call.vendor, call.supplier, call.upload, "
        "(call.intended_at at time zone 'utc')::date::text, sum(entry.amount) "
        "from lead_intel.spend_entries entry join lead_intel.vendor_calls call using (call_id) "
        "where entry.kind = 'settle' group by 1, 2, 3, 4 order by 4, 3, 1"
    ).fetchall()
    return {
        "total": usd(sum((row[4] for row in rows), start=_ZERO)),
        "by_vendor": _summed((row[0], row[4]) for row in rows),
        "by_supplier": _summed((row[1], row[4]) for row in rows),
        "by_upload": _summed((row[2], row[4]) for row in rows),
        "by_day": _summed((row[3], row[4]) for row in rows),
    }


def usd(amount: Decimal) -> Decimal:
    """`amount` with as many decimals as it needs, at least two."""
    cents = amount.quantize(_CENT)
    return cents if cents == amount else amount.normalize()


def left_for(connection: psycopg.Connection, upload: str, budgets: Budgets) -> Decimal:
    """What this upload may still spend now: the smaller of what the day and the upload's month have left."""
    now = database.now(connection)
    rows = connection.execute(
        "select scope, reserved + settled from lead_intel.spend_budgets "
        "where (scope = 'day' and key = %s) or (scope = 'upload' and key = %s)",
        (_day(now), _upload_month(now, upload)),
    ).fetchall()
    used = {str(scope): amount for scope, amount in rows}
    left: Decimal = min(budgets.per_day - used.get("day", _ZERO), budgets.per_upload - used.get("upload", _ZERO))
    return usd(max(left, _ZERO))


def _intended_at(connection: psycopg.Connection, call_ids: Sequence[int]) -> datetime:
    """When the calls of one claim were intended: `settle` looks for their money on that day, not on the clock's."""
    row: Any = connection.execute(
        "select min(intended_at) from lead_intel.vendor_calls where call_id = any(%s)", (call_ids,)
    ).fetchone()
    return row[0]  # type: ignore[no-any-return]


def _caps(intended_at: datetime, vendor: str, upload: str, budgets: Budgets) -> dict[tuple[str, str], Decimal]:
    day, of_upload_, month = _scopes(intended_at, vendor, upload)
    return {
        day: budgets.per_day,
        of_upload_: budgets.per_upload,
        month: budgets.per_vendor.get(vendor, UNCAPPED),
    }


def _scopes(moment: datetime, vendor: str, upload: str) -> tuple[tuple[str, str], ...]:
    """The budgets that a call intended at `moment` draws on, in the order in which they are locked."""
    return (
        ("day", _day(moment)),
        ("upload", _upload_month(moment, upload)),
        ("vendor", f"{vendor}:{_day(moment)[:7]}"),
    )


def _upload_month(moment: datetime, upload: str) -> str:
    """An upload is screened again as long as somebody of it is in an audience: its cap must not be used up for ever."""
    return f"{upload}:{_day(moment)[:7]}"


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()


def _reached(scope: str, vendor: str, cap: Decimal) -> BudgetReached:
    return BudgetReached(
        "budget",
        f"The next call to {vendor} would pass {_WORDS[scope].format(vendor=vendor)} of ${cap:.2f}.",
        f"Raise {_PLACES[scope]} in data/policy/budgets.yml"
        f" or wait for {_NEXT[scope]}; `lead-intel resume` goes on without paying again.",
    )


def _summed(pairs: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(lambda: _ZERO)
    for key, amount in pairs:
        sums[str(key)] += amount
    return {key: usd(amount) for key, amount in sums.items()}
