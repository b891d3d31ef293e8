"""Counts the API's requests in memory; the server adds them to the record each second."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from lead_intel.record.api_traffic import Count, Slot, bucket_of


class Counting:
    """Requests that are not in the record yet. Used by the event loop and by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Slot, Count] = {}

    def add(self, supplier: str, outcome: str, seconds: float, rows: int) -> None:
        """Count one request that has just been answered."""
        now = datetime.now(UTC)
        slot = Slot(supplier, now.replace(second=0, microsecond=0), outcome, bucket_of(seconds))
        with self._lock:
            count = self._counts.setdefault(slot, Count(0, 0, now))
            count.requests += 1
            count.rows += rows
            count.last_at = now

    def take(self) -> dict[Slot, Count]:
        """Everything counted so far; counting begins anew."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def give_back(self, counts: dict[Slot, Count]) -> None:
        """Counts that the record did not take."""
        with self._lock:
            for slot, count in counts.items():
                own = self._counts.setdefault(slot, Count(0, 0, count.last_at))
                own.requests += count.requests
                own.rows += count.rows
                own.last_at = max(own.last_at, count.last_at)
