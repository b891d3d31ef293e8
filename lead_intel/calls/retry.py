"""Whether and when a failed call is repeated: only what is safe to repeat and not billed, with jitter.

Pure: decisions only. A timeout or a lost answer may have been billed, so neither is repeated within a round.
"""

from __future__ import annotations

import random

from lead_intel.calls.ports import Outcome, Reply, Verdict

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 10.0


def is_worth_another(verdict: Verdict, reply: Reply | None) -> bool:
    """True for 429, for a failed connection, and for a vendor's own failure that costs nothing.

    A 4xx says that the question is wrong: asking it again buys nothing.
    """
    if verdict.outcome is Outcome.RATE_LIMITED:
        return True
    if verdict.outcome is not Outcome.VENDOR_ERROR or verdict.billed != "no":
        return False
    return reply is None or reply.status == 200 or reply.status >= 500


def wait_seconds(attempt: int, retry_after: float | None, chance: random.Random) -> float:
    """Seconds before the call after `attempt` (1 = the first): doubling, with jitter, never before `Retry-After`."""
    backoff = min(FIRST_WAIT_SECONDS * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS)
    return (retry_after or 0.0) + chance.uniform(backoff / 2, backoff)
