"""Exchanges that outlast their deadline: the row is labelled at once, but what the vendor says (and bills) is kept.

A late exchange holds a slot only while no new question needs it. Nobody waits for one: when the round has ended they
go on in a thread of their own beside the rest of the run, and for a moment after its end.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg

from lead_intel.calls.ports import Verdict
from lead_intel.errors import LeadIntelError

AFTER_EXIT_SECONDS = 2.0
"""A process whose work is done stays at most so long for late answers."""

_TICK_SECONDS = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LateEnd:
    """How a late exchange ended: what the vendor said, or None when nothing was heard (given up, broken)."""

    call_id: int
    verdict: Verdict | None


class LateExchanges:
    """The late exchanges of one round, oldest first."""

    def __init__(self) -> None:
        self._open: dict[int, asyncio.Task[Verdict]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def keep(self, call_id: int, exchange: asyncio.Task[Verdict]) -> None:
        """Listen on."""
        self._open[call_id] = exchange

    def make_room(self, at_most: int) -> None:
        """Give up the oldest beyond `at_most`: new questions need their slots."""
        for call_id in list(self._open)[: max(0, len(self._open) - at_most)]:
            self._open[call_id].cancel()

    def give_up(self) -> None:
        """Hang up everywhere."""
        self.make_room(0)

    def take_ended(self) -> list[LateEnd]:
        """Those that ended since the last look."""
        ended = [call_id for call_id, exchange in self._open.items() if exchange.done()]
        return [LateEnd(call_id, _said(self._open.pop(call_id))) for call_id in ended]

    async def wait(self, seconds: float) -> None:
        """Until one ends, or `seconds`."""
        if self._open:
            await asyncio.wait(self._open.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


def listen_on(
    late: LateExchanges,
    write: Callable[[Sequence[LateEnd]], None],
    *,
    runner: asyncio.Runner,
    stop: threading.Event,
    held: ExitStack,
) -> None:
    """Let `late` go on in a thread that owns `runner` (their event loop) and closes `held` at the end."""

    def run() -> None:
        try:
            with held:
                runner.run(_until_all_ended(late, write, stop))
        except (psycopg.Error, LeadIntelError, RuntimeError, OSError) as error:
            # The rows are labelled already; without these answers the next run asks again.
            _log.warning("late answers were lost: %s", type(error).__name__)

    threading.Thread(target=run, name="late answers").start()


async def _until_all_ended(
    late: LateExchanges, write: Callable[[Sequence[LateEnd]], None], stop: threading.Event
) -> None:
    exits_at: float | None = None
    while late:
        await late.wait(_TICK_SECONDS)
        if exits_at is None and not threading.main_thread().is_alive():
            exits_at = time.monotonic() + AFTER_EXIT_SECONDS
        if stop.is_set() or (exits_at is not None and time.monotonic() > exits_at):
            late.give_up()
            await late.wait(_TICK_SECONDS)
        # Blocks the loop, on purpose: nothing else runs here, and a process that is ending starts no threads.
        write(late.take_ended())


def _said(exchange: asyncio.Task[Verdict]) -> Verdict | None:
    if exchange.cancelled() or exchange.exception() is not None:
        return None
    return exchange.result()
