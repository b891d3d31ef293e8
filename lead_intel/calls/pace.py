"""How fast one vendor account is called: a token bucket and a concurrency cap that give way to 429 and recover.

Pure except for the clock that is handed in. Nothing here sleeps or sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lead_intel.policy import VendorLimits

RETRY_AFTER_CAP_SECONDS = 30.0
"""No vendor can tell us to wait longer than this in one go."""

_BURST_SECONDS = 0.1
_SLOWEST_SHARE = 0.02
_RECOVERY_SHARE = 0.01


class Pace:
    """The allowance of one round. `rate` is in calls per second, `slots` in calls at the same time."""

    def __init__(self, limits: VendorLimits, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limits = limits
        self._full_rate = limits.per_second
        self._full_slots = float(limits.concurrency)
        self.rate = limits.per_second
        self.slots = float(limits.concurrency)
        self._tokens = 1.0
        self._counted_at = clock()
        self._closed_until = 0.0
        self._slowed_at = float("-inf")
        self._refused_since: float | None = None

    def available(self, running: int) -> int:
        """How many calls may start now while `running` are under way."""
        now = self._clock()
        self._refill(now)
        if now < self._closed_until:
            return 0
        return max(0, min(int(self._tokens), int(self.slots) - running))

    def take(self, calls: int) -> None:
        """Spend the allowance of `calls` that start now."""
        self._tokens -= calls

    def wait_seconds(self) -> float:
        """Time until the next call may start, were a slot free."""
        now = self._clock()
        self._refill(now)
        missing = max(0.0, 1.0 - self._tokens) / self.rate
        return max(missing, self._closed_until - now, 0.0)

    def divide(self, rounds: int) -> None:
        """The account is called by so many rounds at once: each gets its part, slowed down as it was before."""
        rate, slots = self._limits.per_second / rounds, max(1.0, self._limits.concurrency / rounds)
        self.rate *= rate / self._full_rate
        self.slots = max(1.0, self.slots * slots / self._full_slots)
        self._full_rate, self._full_slots = rate, slots

    def hold_back(self, seconds: float) -> None:
        """Start no call for so long: the other rounds have not seen yet that the pace is shared."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)

    def refused_for(self) -> float:
        """Seconds for which the vendor has been refusing without serving a single call; 0 when it serves."""
        return 0.0 if self._refused_since is None else self._clock() - self._refused_since

    def answered(self) -> None:
        """A call was served: recover a little of what an earlier 429 took."""
        self._refused_since = None
        self.rate = min(self._full_rate, self.rate + self._full_rate * _RECOVERY_SHARE)
        self.slots = min(self._full_slots, self.slots + self._full_slots * _RECOVERY_SHARE)

    def refused(self, retry_after: float | None) -> None:
        """A call met 429: close for as long as told (capped), and go on at half the pace.

        Calls that were in flight together meet 429 together; that counts as one sign, not forty.
        """
        now = self._clock()
        if self._refused_since is None:
            self._refused_since = now
        if retry_after is not None:
            self._closed_until = max(self._closed_until, now + min(retry_after, RETRY_AFTER_CAP_SECONDS))
        if now - self._slowed_at < 1.0:
            return
        self._slowed_at = now
        self.rate = max(self.rate / 2, self._full_rate * _SLOWEST_SHARE)
        self.slots = max(self.slots / 2, 1.0)
        self._tokens = min(self._tokens, 1.0)

    def _refill(self, now: float) -> None:
        burst = max(1.0, self.rate * _BURST_SECONDS)
        self._tokens = min(burst, self._tokens + (now - self._counted_at) * self.rate)
        self._counted_at = now


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """`Retry-After` in either form (seconds, or an HTTP date); None when it is absent or makes no sense.

    A date is read against the vendor's own `Date` header, where there is one: clocks differ.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdecimal() and len(text) <= 9:
        return float(text)
    until = _http_date(text)
    if until is None:
        return None
    seconds = (until - (_http_date(headers.get("date", "")) or now)).total_seconds()
    return seconds if seconds >= 0 else None


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
