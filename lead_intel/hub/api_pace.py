"""How fast, and how much at once, one API key may ask. In the server's memory: a restart forgets, and harms nobody."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lead_intel.hub.problems import Problem
from lead_intel.policy import PostingLimits


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    working: int = 0


class Pace:
    """A token bucket and a count of requests at work, per key."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    @contextmanager
    def turn(self, key_id: str, limits: PostingLimits) -> Iterator[None]:
        """One request's turn. Raises Problem (429, with Retry-After)."""
        now = time.monotonic()
        bucket = self._buckets.setdefault(key_id, _Bucket(limits.burst, now))
        bucket.tokens = min(limits.burst, bucket.tokens + (now - bucket.at) * limits.requests_per_second)
        bucket.at = now
        if bucket.tokens < 1:
            wait = (1 - bucket.tokens) / limits.requests_per_second
            raise _too_fast("Too many requests under this key.", math.ceil(wait))
        if bucket.working >= limits.concurrent_requests:
            raise _too_fast("Too many requests at once under this key.", 1)
        bucket.tokens -= 1
        bucket.working += 1
        try:
            yield
        finally:
            bucket.working -= 1


def _too_fast(detail: str, seconds: int) -> Problem:
    return Problem(429, "too_many_requests", detail, {"retry-after": str(max(seconds, 1))})
