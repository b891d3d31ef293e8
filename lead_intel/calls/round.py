"""One durable round at work: what is still to ask, what is under way, what came back and is not recorded yet.

Decides the order of claim, call and record; how a call is made is `caller`'s affair, what is committed is `books`'s.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from lead_intel.calls.books import Books
from lead_intel.calls.breaker import Breaker
from lead_intel.calls.caller import Caller
from lead_intel.calls.late import LateExchanges
from lead_intel.calls.pace import Pace
from lead_intel.calls.ports import Answered, Ask, CallSummary, Outcome, Vendor, Verdict
from lead_intel.calls.transport import Transport
from lead_intel.errors import LeadIntelError, Paused, SetupError, Stopped
from lead_intel.policy import VendorLimits
from lead_intel.record.spend import BudgetReached
from lead_intel.record.vendor_rounds import LOOK_SECONDS

_TICK_SECONDS = 0.05
_LOOK_AT_OTHERS_SECONDS = 0.25
_OTHERS_LOOK_LATE_SECONDS = 0.2
_GRACE_SECONDS = 0.3
"""After *stop*, calls in flight have this long to end by themselves; the promise is a second in all."""

_CUT_OFF_TOO_OFTEN = Verdict(
    Outcome.INDETERMINATE, "no", detail="cut off too often before an answer; asked again a day later"
)
_NOT_ASKED = Verdict(Outcome.VENDOR_ERROR, "no", detail="the vendor fails nearly every call; not asked")
_REFUSED_TOO_LONG = Verdict(Outcome.RATE_LIMITED, "no", detail="the vendor keeps refusing for its pace; not asked")
_NEVER_SENT = Verdict(Outcome.INDETERMINATE, "no", detail="our own settings refused the host; nothing was sent")
_CUT_OFF = Verdict(Outcome.INDETERMINATE, "unknown", detail="stopped while the call was under way")


class Round:
    """See `paid.answer_all`. `late` outlives the round; whoever runs it takes care of what is left there."""

    def __init__(
        self,
        asks: Sequence[Ask],
        vendor: Vendor,
        limits: VendorLimits,
        *,
        books: Books,
        sender: Transport,
        stop: threading.Event,
        progress: Callable[[int, int], None],
    ) -> None:
        self.late = LateExchanges()
        self._asks = asks
        self._vendor = vendor
        self._limits = limits
        self._books = books
        self._stop = stop
        self._progress = progress
        self._pace = Pace(limits, time.monotonic)
        self._breaker = Breaker(time.monotonic)
        self._caller = Caller(vendor, limits, sender, self._pace, self._breaker)
        self._pending: deque[Ask] = deque()
        self._running: dict[int, tuple[Ask, asyncio.Task[None], float]] = {}
        self._elsewhere: dict[str, Ask] = {}
        self._looked_elsewhere_at = float("-inf")
        self._rounds = 1
        self._counted_rounds_at = float("-inf")
        self._own: list[Answered] = []
        self._free: list[Answered] = []
        self._back = asyncio.Event()
        self._budget_is_tight = False
        self._recorded = 0
        self._halt: LeadIntelError | None = None
        self._defect: Exception | None = None

    async def run(self) -> CallSummary:
        """Ask everything. Raises as `paid.answer_all`."""
        try:
            await self._begin()
            while self._has_work():
                await self._record()
                self._look_for_stop()
                if self._halt or self._defect:
                    break
                await self._share_pace()
                await self._look_at_others()
                self._label_while_hopeless()
                await self._start()
                await self._wait()
            await self._wind_down()
        finally:
            for _ask, task, _since in self._running.values():
                task.cancel()
        if self._defect:
            raise self._defect
        if self._halt:
            raise self._halt
        return self._books.summary()

    def _has_work(self) -> bool:
        return bool(self._pending or self._running or self._elsewhere or self._own or self._free)

    async def _begin(self) -> None:
        cut_off = await asyncio.to_thread(self._books.begin, self._asks)
        self._pending.extend(ask for ask in self._asks if ask.subject not in cut_off)
        self._free += [Answered(ask, _CUT_OFF_TOO_OFTEN, None, 0.0) for ask in self._asks if ask.subject in cut_off]

    async def _share_pace(self) -> None:
        """Divide the account's pace by the rounds that call it, whichever process they are in."""
        if time.monotonic() - self._counted_rounds_at < LOOK_SECONDS:
            return
        is_first_look = self._counted_rounds_at == float("-inf")
        rounds = await asyncio.to_thread(self._books.rounds)
        self._counted_rounds_at = time.monotonic()
        if rounds != self._rounds:
            self._pace.divide(rounds)
            self._rounds = rounds
        if is_first_look:
            unseen = LOOK_SECONDS + _OTHERS_LOOK_LATE_SECONDS if rounds > 1 else 0.0
            self._pace.hold_back(await asyncio.to_thread(self._books.take_turn, unseen))

    async def _record(self) -> None:
        own, self._own = self._own, []
        free, self._free = self._free, []
        # Taken now: those that end from here on may belong to calls that are not recorded yet.
        late = self.late.take_ended()
        if own or free:
            await asyncio.to_thread(self._books.record, own, free)
        if late:
            await asyncio.to_thread(self._books.record_late, late)
        if not own and not free:
            return
        self._budget_is_tight = False
        self._recorded += len(own) + len(free)
        self._progress(self._recorded, len(self._asks))

    def _look_for_stop(self) -> None:
        if self._stop.is_set() and self._halt is None:
            self._halt = Stopped.by_person()

    async def _look_at_others(self) -> None:
        """Take over what others bought, or ask ourselves what they gave up."""
        if not self._elsewhere or time.monotonic() - self._looked_elsewhere_at < _LOOK_AT_OTHERS_SECONDS:
            return
        answered, unclaimed = await asyncio.to_thread(self._books.look_at_others, list(self._elsewhere.values()))
        self._looked_elsewhere_at = time.monotonic()
        self._free += answered
        self._pending.extendleft(unclaimed)
        for ask in (*(item.ask for item in answered), *unclaimed):
            del self._elsewhere[ask.subject]

    def _label_while_hopeless(self) -> None:
        """Label a block of rows and go on, while the vendor fails every call or refuses for longer than is patient.

        Nobody waits for a dead vendor. What is labelled costs nothing and is asked again by the next run.
        """
        if self._breaker.is_open and not self._breaker.allows():
            verdict = _NOT_ASKED
        elif self._pace.refused_for() > self._limits.deadline_seconds + self._limits.patience_seconds:
            verdict = _REFUSED_TOO_LONG
        else:
            return
        block = [self._pending.popleft() for _ in range(min(len(self._pending), self._limits.concurrency))]
        self._free += [Answered(ask, verdict, None, 0.0) for ask in block]

    async def _start(self) -> None:
        """Claim as many questions as pace, slots and budget allow, and send them at once."""
        if self._budget_is_tight:
            return
        if self._pending and not self._breaker.is_open and self._under_way() >= int(self._pace.slots):
            # One slot at a time, and half of them at most: the vendor is still at work on these, and bills them.
            self.late.make_room(max(int(self._pace.slots) // 2, len(self.late) - 1))
        under_way = self._under_way()
        calls = min(self._pace.available(under_way), len(self._pending))
        if self._breaker.is_open:
            calls = min(calls, 1) if self._breaker.allows() else 0
        chunk = [self._pending.popleft() for _ in range(calls)]
        while chunk:
            try:
                intents, answered, taken = await asyncio.to_thread(self._books.claim, chunk)
            except BudgetReached as reached:
                # What does not fit goes back. Only when nothing under way can be refunded is the cap really met.
                keep = len(chunk) // 2
                self._pending.extendleft(reversed(chunk[keep:]))
                chunk = chunk[:keep]
                self._budget_is_tight = not chunk
                if not chunk and not self._running and not self._own:
                    self._halt = reached
                continue
            self._free += answered
            by_subject = {ask.subject: ask for ask in chunk}
            self._elsewhere.update({subject: by_subject[subject] for subject in taken})
            if self._halt or self._stop.is_set():
                # Something ended the round while the claim was being committed: nothing goes out any more.
                await asyncio.to_thread(self._books.withdraw, list(intents.values()))
                return
            self._send({call_id: by_subject[subject] for subject, call_id in intents.items()})
            return

    def _under_way(self) -> int:
        """Calls that hold a slot. What came back and is not recorded yet counts: a crash would lose it."""
        return len(self._running) + len(self._own) + len(self.late)

    def _send(self, claimed: dict[int, Ask]) -> None:
        if claimed and self._breaker.is_open:
            self._breaker.probing()
        self._pace.take(len(claimed))
        for call_id, ask in claimed.items():
            task = asyncio.create_task(self._call(call_id, ask))
            self._running[call_id] = (ask, task, time.monotonic())

    async def _call(self, call_id: int, ask: Ask) -> None:
        try:
            asked = await self._caller.ask(ask)
            self._own.append(Answered(ask, asked.verdict, call_id, asked.seconds, asked.late is not None))
            if asked.late is not None:
                self.late.keep(call_id, asked.late)
            self._halt = self._halt or _run_level_stop(self._vendor.name, asked.verdict)
        except SetupError as error:
            self._own.append(Answered(ask, _NEVER_SENT, call_id, 0.0))
            self._halt = self._halt or error
        except Exception as error:  # noqa: BLE001  # raised by `run`, after everything else is recorded
            self._defect = error
        del self._running[call_id]
        self._back.set()

    async def _wait(self) -> None:
        """Until something comes back, the next call may start, or it is time to look around."""
        if self._own or self._free or self._halt:
            return
        patience = _TICK_SECONDS
        if self._pending and not self._budget_is_tight and self._under_way() < int(self._pace.slots):
            patience = min(patience, max(self._pace.wait_seconds(), 0.001))
        await self._until_back(patience)

    async def _until_back(self, seconds: float) -> None:
        self._back.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._back.wait()
        except TimeoutError:
            return

    async def _wind_down(self) -> None:
        """Let calls in flight end (briefly, when a person waits for the stop), and record every one of them."""
        self._caller.close()
        while self._running and not self._stop.is_set():
            await self._until_back(_TICK_SECONDS)
            await self._record()
        tasks = [task for _ask, task, _since in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=_GRACE_SECONDS)
        for call_id, (ask, task, since) in list(self._running.items()):
            task.cancel()
            self._own.append(Answered(ask, _CUT_OFF, call_id, time.monotonic() - since))
        self._running.clear()
        await self._record()
        if self._stop.is_set() and self.late:
            self.late.give_up()
            await self.late.wait(_TICK_SECONDS)
            await self._record()
        await asyncio.to_thread(self._books.leave)
        self._look_for_stop()


def _run_level_stop(vendor: str, verdict: Verdict) -> Paused | None:
    """`auth` and `quota` concern every further question, so they stop the round."""
    said = f" ({verdict.detail})" if verdict.detail else ""
    if verdict.outcome is Outcome.AUTH:
        return Paused(
            "credentials",
            f"{vendor} refuses our credentials{said}.",
            "Set a live key (see .env.example); `lead-intel resume` goes on without paying again.",
        )
    if verdict.outcome is Outcome.QUOTA:
        return Paused(
            "quota",
            f"{vendor} says that our quota is used up{said}.",
            "Raise it at the vendor; `lead-intel resume` goes on without paying again.",
        )
    return None
