"""A claim that straddles midnight (UTC): its money is settled on the day on which it was reserved."""

from __future__ import annotations

from decimal import Decimal

import psycopg

from lead_intel.policy import Budgets
from lead_intel.record import spend, vendor_calls
from lead_intel.record.vendor_calls import Account, Result


def test_a_call_claimed_before_midnight_is_settled_where_it_was_reserved(database: psycopg.Connection) -> None:
    account = Account("trestle", "phone", "upl_midnight", "acme")
    budgets = Budgets.model_validate({"effective": "2026-11-01", "per_day": Decimal(500), "per_upload": Decimal(500)})
    with database.transaction():
        claim = vendor_calls.claim(database, account, {"12125550100": Decimal(1)}, 30)
        # The claim began on the day before; its money is reserved when the day has changed.
        database.execute("update lead_intel.vendor_calls set intended_at = intended_at - interval '1 day'")
        prices = dict.fromkeys(claim.intents.values(), Decimal(1))
        spend.reserve(database, prices, vendor="trestle", upload="upl_midnight", budgets=budgets)
    with database.transaction():
        vendor_calls.finish(database, [Result(call_id, "ok", "yes", "{}", 0.1) for call_id in prices])

    books = database.execute("select reserved, settled from lead_intel.spend_budgets").fetchall()
    assert books == [(0, 1)] * 3
