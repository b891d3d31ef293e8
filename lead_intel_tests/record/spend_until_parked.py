"""A child process for the budget tests: reserves, settles and refunds until a cap parks it.

Arguments: the cap's name, the cap, the upload. Prints `ready`, waits for a line, prints the most it saw in the budget.
"""

from __future__ import annotations

import sys
from decimal import Decimal

from lead_intel.policy import Budgets
from lead_intel.record import spend, vendor_calls
from lead_intel.record.database import connected
from lead_intel.record.vendor_calls import Account, Result
from lead_intel.settings import load_settings

VENDOR = "trestle"
PRICES = (Decimal("0.07"), Decimal("0.013"), Decimal("0.000001"), Decimal("0.05"))


def main(scope: str, cap: Decimal, upload: str) -> None:
    caps: dict[str, object] = {"per_day": Decimal(500), "per_upload": Decimal(500)}
    caps[scope] = {VENDOR: cap} if scope == "per_vendor" else cap
    budgets = Budgets.model_validate({"effective": "2026-11-01", **caps})
    account = Account(VENDOR, "phone", upload, "acme")
    most, number, refused = Decimal(0), 0, 0
    with connected(load_settings()) as connection:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        while refused < 5:
            price, number = PRICES[number % len(PRICES)], number + 1
            subject = f"{id(connection)}-{sys.argv[3]}-{number}-{connection.info.backend_pid}"
            try:
                with connection.transaction():
                    claim = vendor_calls.claim(connection, account, {subject: price}, 30)
                    call_id = claim.intents[subject]
                    spend.reserve(connection, {call_id: price}, vendor=VENDOR, upload=upload, budgets=budgets)
            except spend.BudgetReached:
                refused += 1
                continue
            row = connection.execute(
                "select max(reserved + settled) from lead_intel.spend_budgets where scope = %s",
                (scope.removeprefix("per_"),),
            ).fetchone()
            most = max(most, row[0] if row else Decimal(0))
            billed = "no" if number % 7 == 0 else "yes"
            with connection.transaction():
                vendor_calls.finish(connection, [Result(call_id, "ok", billed, "{}", 0.0)])
    sys.stdout.write(f"{most}\n")


if __name__ == "__main__":
    main(sys.argv[1], Decimal(sys.argv[2]), sys.argv[3])
