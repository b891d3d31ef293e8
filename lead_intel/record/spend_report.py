"""What was spent, as `lead-intel spend` tells it: sums over the views `spend_lines` and `contactable_leads`. SQL only.

A contactable lead has a fresh `send` under its upload's present profile at the moment of asking. Opt-outs since the
screening count until the next screening; nobody who opted out is contacted, because sending looks again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg

from lead_intel.record.spend import usd

_ZERO = Decimal(0)
_PER_LEAD = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which money is told; None does not filter. Days are UTC, both included, by when a call was intended."""

    since: date | None = None
    until: date | None = None
    supplier: str | None = None
    upload: str | None = None
    vendor: str | None = None


_WHERE = (
    "(%(since)s::date is null or day >= %(since)s) and (%(until)s::date is null or day <= %(until)s) "
    "and (%(vendor)s::text is null or vendor = %(vendor)s) "
)
_WHOSE = (
    "(%(supplier)s::text is null or supplier = %(supplier)s) and (%(upload)s::text is null or upload = %(upload)s) "
)


def spend_summary(connection: psycopg.Connection, filters: Filters | None = None) -> dict[str, Any]:
    """All money settled, as the object of `lead-intel spend --json`.

    `misses` were charged although the vendor found nothing; `unknown_billed` may have been charged (no answer came, or
    none that can be read) and count as spent. `per_contactable_lead` is the told money divided by the leads that may
    be contacted now, a person in two lists counted once.
    """
    chosen = filters or Filters()
    values = {
        "since": chosen.since,
        "until": chosen.until,
        "supplier": chosen.supplier,
        "upload": chosen.upload,
        "vendor": chosen.vendor,
    }
    rows = connection.execute(
        "select vendor, supplier, upload, day::text, outcome, billed, sum(calls), sum(spent) "  # noqa: S608  # our own
        f"from lead_intel.spend_lines where {_WHERE} and {_WHOSE} group by 1, 2, 3, 4, 5, 6 order by 4, 3, 1",
        values,
    ).fetchall()
    paid = [row for row in rows if row[7]]
    summary = {
        "total": usd(sum((row[7] for row in paid), start=_ZERO)),
        "by_vendor": _summed((row[0], row[7]) for row in paid),
        "by_supplier": _summed((row[1], row[7]) for row in paid),
        "by_upload": _summed((row[2], row[7]) for row in paid),
        "by_day": _summed((row[3], row[7]) for row in paid),
        "misses": _summed((row[0], row[7]) for row in paid if row[4] == "no_match" and row[5] == "yes"),
        "unknown_billed": _summed((row[0], row[7]) for row in paid if row[5] == "unknown"),
        "not_billed_calls": _counted((row[0], row[6]) for row in rows if row[5] == "no"),
    }
    return summary | {"per_contactable_lead": _per_contactable_lead(connection, values, summary)}


def _per_contactable_lead(
    connection: psycopg.Connection, values: dict[str, Any], summary: dict[str, Any]
) -> dict[str, Any]:
    leads = connection.execute(
        "select grouping(supplier, upload), supplier, upload, count(distinct lead_id) "  # noqa: S608  # our own
        f"from lead_intel.contactable_leads where {_WHOSE} group by grouping sets ((), (supplier), (upload))",
        values,
    ).fetchall()
    everybody = next((int(row[3]) for row in leads if row[0] == 3), 0)
    by_supplier = {str(row[1]): int(row[3]) for row in leads if row[0] == 1}
    by_upload = {str(row[2]): int(row[3]) for row in leads if row[0] == 2}
    return {
        "total": _share(summary["total"], everybody),
        "by_supplier": _shares(summary["by_supplier"], by_supplier),
        "by_upload": _shares(summary["by_upload"], by_upload),
    }


def _shares(spent: dict[str, Decimal], leads: dict[str, int]) -> dict[str, Any]:
    return {key: _share(spent.get(key, _ZERO), leads.get(key, 0)) for key in sorted(spent.keys() | leads.keys())}


def _share(spent: Decimal, leads: int) -> dict[str, Any]:
    """`cost` is None where nobody may be contacted: no money buys such a lead there."""
    return {"leads": leads, "cost": usd((spent / leads).quantize(_PER_LEAD)) if leads else None}


def _summed(pairs: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(lambda: _ZERO)
    for key, amount in pairs:
        sums[str(key)] += amount
    return {key: usd(amount) for key, amount in sums.items()}


def _counted(pairs: Iterable[tuple[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for key, calls in pairs:
        counts[str(key)] += int(calls)
    return dict(counts)
