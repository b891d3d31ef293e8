"""The durable round: ask a vendor many questions and never pay twice, overspend, wait without end or lose an answer.

Per question: intent and reservation committed -> call -> outcome, money and the caller's own rows committed together.
An intent without outcome is a claim: whoever else wants that answer waits for it. Knows no vendor's wire format.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager

import psycopg

from lead_intel.calls.books import Books, Store
from lead_intel.calls.late import listen_on
from lead_intel.calls.ports import Ask, CallSummary, Vendor
from lead_intel.calls.round import Round
from lead_intel.calls.transport import Transport, transport
from lead_intel.errors import TransientError
from lead_intel.policy import VendorLimits, load_policy
from lead_intel.record.database import connected
from lead_intel.record.vendor_calls import Account
from lead_intel.settings import Settings


def answer_all(
    asks: Sequence[Ask],
    vendor: Vendor,
    limits: VendorLimits,
    *,
    settings: Settings,
    upload: str,
    supplier: str,
    stop: threading.Event,
    store: Store,
    progress: Callable[[int, int], None],
) -> CallSummary:
    """Ask every question of `asks` (distinct subjects) and hand each, with its verdict, to `store` once.

    `store` also gets the questions without an answer (timeout, breaker open, ...), so that rows can be labelled.
    Answers in the call ledger that are not older than `limits.cache_days` are not bought again; what comes within
    `limits.late_seconds` after the deadline goes there too, while the caller goes on. Blocks; has an event
    loop of its own, so call it from a thread that runs none: several threads may, each with another vendor.
    `progress` gets (questions settled, questions).

    Raises:
        Paused: `budget`, `credentials` or `quota`; what was answered is stored, nothing is lost.
        Stopped: `stop` was set; calls in flight are recorded within a second.
        TransientError: the database failed; intents left open are settled by the next round.
    """
    if len({ask.subject for ask in asks}) != len(asks):
        msg = "two questions of one round have the same subject"
        raise ValueError(msg)
    budgets = load_policy(settings.lead_intel_policy_dir).budgets
    account = Account(vendor.name, vendor.package, upload, supplier)

    try:
        with ExitStack() as held:
            books = Books(held.enter_context(connected(settings)), account, limits, budgets, store)
            runner = held.enter_context(asyncio.Runner())
            sender = _opened_transport(settings, runner, held)
            work = Round(asks, vendor, limits, books=books, sender=sender, stop=stop, progress=progress)
            try:
                with _interrupt_ends_round(stop):
                    return runner.run(work.run())
            finally:
                if work.late and not stop.is_set():
                    listen_on(work.late, books.record_late, runner=runner, stop=stop, held=held.pop_all())
    except psycopg.OperationalError:
        raise TransientError(
            "database_down", "PostgreSQL failed during paid calls.", "Paid answers so far are kept; try again."
        ) from None


def _opened_transport(settings: Settings, runner: asyncio.Runner, held: ExitStack) -> Transport:
    opened = AsyncExitStack()
    sender = runner.run(opened.enter_async_context(transport(settings)))
    held.callback(lambda: runner.run(opened.aclose()))
    return sender


@contextmanager
def _interrupt_ends_round(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C (or SIGTERM) during the body set `stop`, and take its course only when every call is recorded.

    An exception that a signal handler raises inside an event loop is lost in whatever callback it hits, or leaves a
    call for which the round would wait for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])
