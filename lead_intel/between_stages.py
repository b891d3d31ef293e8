"""The time between two stages of one run: Dagster stores a frame, runs the checks, loads the next frame.

No stage's body is at work then, so nobody would beat for the upload or see a person's stop. A thread of the run's
process does both, until the next stage begins, the upload is at work no more, or the process ends.
"""

from __future__ import annotations

import threading

import psycopg

from lead_intel.errors import Stopped, TransientError
from lead_intel.record import ingestions
from lead_intel.record.announcements import announce_state
from lead_intel.record.database import connected
from lead_intel.settings import Settings
from lead_intel.uploads import State

_BEAT_SECONDS = 0.25
"""A stop between stages has nothing to wait for: it is seen sooner than the second that a person was promised."""

_LONGEST_SECONDS = 600.0
"""A run that hangs between two stages for longer is left to whoever looks for silent uploads."""

_JOIN_SECONDS = 5.0

_lock = threading.Lock()
_watches: dict[tuple[str, str], tuple[threading.Event, threading.Thread]] = {}


def begin(settings: Settings, upload: str, run_id: str) -> None:
    """Watch over `upload` until `end`, for the run that has just left a stage and still shows it at work."""
    ended = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(settings, upload, run_id, ended), name=f"between-stages-{upload}", daemon=True
    )
    with _lock:
        _watches[upload, run_id] = (ended, thread)
    thread.start()


def end(upload: str, run_id: str) -> None:
    """The next stage takes over; waits for what the watch is about to write."""
    with _lock:
        watch = _watches.pop((upload, run_id), None)
    if watch is not None:
        ended, thread = watch
        ended.set()
        thread.join(_JOIN_SECONDS)


def _watch(settings: Settings, upload: str, run_id: str, ended: threading.Event) -> None:
    # Most gaps are short, and after the last stage there is none: no connection for those.
    if ended.wait(_BEAT_SECONDS):
        return
    try:
        with connected(settings) as connection:
            if not _saw_stop(connection, upload, run_id, ended):
                return
            ingestions.set_state_as_holder(connection, upload, run_id, State.STOPPED, **Stopped.by_person().as_reason())
    except (psycopg.Error, TransientError):
        # The next stage, or whoever looks for silent uploads, meets the broken database and says so.
        return
    finally:
        with _lock:
            _watches.pop((upload, run_id), None)
    announce_state(settings, upload)


def _saw_stop(connection: psycopg.Connection, upload: str, run_id: str, ended: threading.Event) -> bool:
    for _ in range(int(_LONGEST_SECONDS / _BEAT_SECONDS)):
        stop_asked = ingestions.beat_between_stages(connection, upload, run_id)
        if stop_asked is not False:
            return stop_asked is True
        if ended.wait(_BEAT_SECONDS):
            return False
    return False
