"""The breaker of one vendor: when nearly everything fails, stop asking; let one probe through now and then.

Pure except for the clock that is handed in. An open breaker labels rows; it never makes anyone wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

WINDOW = 40
"""Newest calls that count."""

LEAST_CALLS = 10
"""Fewer calls than this never open it: half of all calls failing by turns is flapping, not death."""

FAILING_SHARE = 0.9
COOL_DOWN_SECONDS = 1.0
LONGEST_COOL_DOWN_SECONDS = 60.0


class Breaker:
    """Closed -> open when at least 90 % of the newest calls failed -> one probe after each cool-down -> closed."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed: deque[bool] = deque(maxlen=WINDOW)
        self._closed_again_at: float | None = None
        self._cool_down = COOL_DOWN_SECONDS

    @property
    def is_open(self) -> bool:
        """True while the vendor is taken for dead."""
        return self._closed_again_at is not None

    def allows(self) -> bool:
        """Whether a call may be made now. While open, True means: this one is the probe."""
        return self._closed_again_at is None or self._clock() >= self._closed_again_at

    def probing(self) -> None:
        """A probe was sent: the next one is due a cool-down later."""
        self._cool_down = min(self._cool_down * 2, LONGEST_COOL_DOWN_SECONDS)
        self._closed_again_at = self._clock() + self._cool_down

    def succeeded(self) -> None:
        """The vendor answered, whatever it said."""
        if self.is_open:
            self._failed.clear()
            self._closed_again_at = None
            self._cool_down = COOL_DOWN_SECONDS
        self._failed.append(False)

    def failed(self) -> None:
        """No usable answer came."""
        self._failed.append(True)
        if self.is_open or len(self._failed) < LEAST_CALLS:
            return
        if sum(self._failed) >= FAILING_SHARE * len(self._failed):
            self._closed_again_at = self._clock() + self._cool_down
