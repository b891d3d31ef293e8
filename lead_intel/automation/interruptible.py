"""Work that a person may interrupt with Ctrl-C: it ends at a place of its own choosing, never in the middle of a query.

An exception that a signal handler raises inside an event loop or a database call is swallowed there, or taken for a
failure of the database. So the work runs in a thread, which signals do not reach, and is asked to stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

PATIENCE_SECONDS = 10.0
"""How long work that was asked to stop may take; the promise is a second. What hangs is left to the reaper."""

_Result = TypeVar("_Result")


def interruptibly(work: Callable[[], _Result], ask_to_stop: Callable[[], None]) -> _Result:
    """The result of `work`; its exception is raised here.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once `work` has ended or `PATIENCE_SECONDS` have passed.
    """
    future: Future[_Result] = Future()
    threading.Thread(target=_into, args=(future, work), daemon=True, name="interruptible").start()
    try:
        return future.result()
    except KeyboardInterrupt:
        if not future.done():
            ask_to_stop()
            _wait(future)
        raise


def _into(future: Future[_Result], work: Callable[[], _Result]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001  # raised in the thread that waits
        future.set_exception(error)


def _wait(future: Future[_Result]) -> None:
    ended = threading.Event()
    future.add_done_callback(lambda _: ended.set())
    ended.wait(PATIENCE_SECONDS)
