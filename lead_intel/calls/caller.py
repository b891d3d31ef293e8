"""One question to one vendor: its calls, their retries, and what each means for pace and breaker.

No database, no money: `paid` has reserved it before and records what comes out.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from lead_intel.calls.breaker import Breaker
from lead_intel.calls.pace import Pace, retry_after_seconds
from lead_intel.calls.ports import Ask, Outcome, Reply, Vendor, Verdict
from lead_intel.calls.retry import is_worth_another, wait_seconds
from lead_intel.calls.transport import MAX_REPLY_BYTES, DeadlineExceeded, Transport, Unanswered
from lead_intel.policy import VendorLimits

_BYTES_PER_FURTHER_UNIT = 1024
"""A batch may answer with so much more for each unit beyond the first."""

_TOO_LATE = DeadlineExceeded().reason

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question came to at its deadline. `late`: the exchange goes on, and ends with what the vendor says."""

    verdict: Verdict
    seconds: float
    late: asyncio.Task[Verdict] | None = None


class Caller:
    """Puts questions to `vendor` within `limits`. The first call of a question spends pace that its round took."""

    def __init__(self, vendor: Vendor, limits: VendorLimits, sender: Transport, pace: Pace, breaker: Breaker) -> None:
        self._vendor = vendor
        self._limits = limits
        self._sender = sender
        self._pace = pace
        self._breaker = breaker
        self._chance = random.Random()  # noqa: S311  # jitter, not a secret
        self._closing = asyncio.Event()

    def close(self) -> None:
        """No call is repeated any more; questions that wait for their next call end with the verdict they have."""
        self._closing.set()

    async def ask(self, question: Ask) -> Asked:
        """The verdict and its wall clock in seconds, retries and waits included.

        The clock is bounded by the vendor's deadline; only a question that the vendor refused for its pace, and
        so did not work on, may wait for as long as the vendor's patience on top.
        """
        started = time.monotonic()
        end = started + self._limits.deadline_seconds
        patient_end = end + self._limits.patience_seconds
        until, attempt = end, 1
        while True:
            left = until - time.monotonic()
            verdict, reply, late = await self._call(question, min(self._limits.deadline_seconds, left))
            retry_after = None if reply is None else retry_after_seconds(reply.headers, datetime.now(UTC))
            self._note(verdict, retry_after)
            if attempt >= self._limits.attempts or not is_worth_another(verdict, reply):
                break
            until = patient_end if verdict.outcome is Outcome.RATE_LIMITED else end
            if not await self._may_go_on(wait_seconds(attempt, retry_after, self._chance), until):
                break
            attempt += 1
        return Asked(verdict, time.monotonic() - started, late)

    async def _call(self, question: Ask, deadline: float) -> tuple[Verdict, Reply | None, asyncio.Task[Verdict] | None]:
        if not self._limits.late_seconds:
            return *await self._exchange(question, deadline), None
        exchange = asyncio.create_task(self._exchange(question, deadline + self._limits.late_seconds))
        try:
            ended, _ = await asyncio.wait({exchange}, timeout=deadline)
        except asyncio.CancelledError:
            exchange.cancel()
            raise
        if ended:
            return *exchange.result(), None
        return Verdict(Outcome.TIMEOUT, "unknown", detail=_TOO_LATE), None, asyncio.create_task(_verdict_of(exchange))

    async def _exchange(self, question: Ask, deadline: float) -> tuple[Verdict, Reply | None]:
        max_bytes = MAX_REPLY_BYTES + (question.units - 1) * _BYTES_PER_FURTHER_UNIT
        try:
            reply = await self._sender.send(self._vendor.request(question), deadline, max_bytes)
        except DeadlineExceeded as late:
            return Verdict(Outcome.TIMEOUT, "unknown", detail=late.reason), None
        except Unanswered as broken:
            billed = "unknown" if broken.sent else "no"
            return Verdict(Outcome.VENDOR_ERROR, billed, detail=broken.reason), None  # type: ignore[arg-type]
        return self._judged(question, reply), reply

    def _judged(self, question: Ask, reply: Reply) -> Verdict:
        try:
            return self._vendor.classify(question, reply)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # A shape that the classifier did not foresee must not cost the answers beside it. No traceback: the
            # values in it are personal.
            _log.error("classifier of %s failed: %s", self._vendor.name, type(error).__name__)
            return Verdict(Outcome.VENDOR_ERROR, "unknown", detail="an answer of a shape that we do not know")

    def _note(self, verdict: Verdict, retry_after: float | None) -> None:
        if verdict.outcome is Outcome.RATE_LIMITED:
            self._pace.refused(retry_after)
        elif verdict.outcome.is_answer:
            self._pace.answered()
        if verdict.outcome in (Outcome.TIMEOUT, Outcome.VENDOR_ERROR):
            self._breaker.failed()
        else:
            self._breaker.succeeded()

    async def _may_go_on(self, wait: float, until: float) -> bool:
        """Wait for the backoff and for a turn in the pace; False when that would end after `until`."""
        while True:
            wait = max(wait, self._pace.wait_seconds())
            if time.monotonic() + wait >= until:
                return False
            if await self._closes_within(wait) or self._breaker.is_open:
                return False
            if self._pace.wait_seconds() <= 0:
                self._pace.take(1)
                return True
            wait = 0.001

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return False
        return True


async def _verdict_of(exchange: asyncio.Task[tuple[Verdict, Reply | None]]) -> Verdict:
    verdict, _reply = await exchange
    return verdict
