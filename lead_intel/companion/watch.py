"""The companion's day: look, wait until a list rests, upload it, look again. Where its parts meet.

The regular scan is the truth; the operating system's notices only make it come sooner (network folders send none).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import watchfiles

from lead_intel.companion.folder import Found, Stamp, Stillness, scan
from lead_intel.companion.memory import Memory
from lead_intel.companion.source import FileChanged, Source
from lead_intel.companion.upload import ListUpload
from lead_intel.companion.voice import ListVoice, Voice
from lead_intel.errors import LeadIntelError, RejectedInput, SetupError, TransientError
from lead_intel.record import resumable
from lead_intel.settings import StorageSettings

SCAN_SECONDS = 5.0
_TICK_SECONDS = 0.25
_FIRST_WAIT, _MOST_WAIT, _SETUP_WAIT = 0.5, 60.0, 30.0
_ONCE_ATTEMPTS = 6
_NOT_A_LIST = RejectedInput("file_type", "Not a type of list.", "Save it as CSV, TSV, TXT or XLSX.")
_NO_SUPPLIER = RejectedInput(
    "supplier_name",
    "Its folder's name cannot be a supplier.",
    "Name the folder with letters, digits, dot, dash, underscore.",
)
_EMPTY = RejectedInput("empty_file", "It is empty.", "Put the whole list there.")


@dataclass
class _Task:
    """A list on its way, and when it is to be tried next."""

    upload: ListUpload
    voice: ListVoice
    attempts: int = 0
    due: float = 0.0
    error: LeadIntelError | None = None


@dataclass
class Outcome:
    """What became of the files, as `--json` tells it."""

    uploaded: list[dict[str, Any]] = field(default_factory=list)
    known: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {"uploaded": self.uploaded, "known": self.known, "refused": self.refused, "failed": self.failed}


class Companion:
    """Watches one folder for one bucket."""

    def __init__(
        self,
        settings: StorageSettings,
        folder: Path,
        supplier: str,
        settle_seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self.outcome = Outcome()
        self._settings = settings
        self._folder = folder
        self._supplier = supplier
        self._stillness = Stillness(settle_seconds)
        self._voice = Voice(settings, say)
        self._memory = Memory(
            settings.lead_intel_home / "companion", f"{settings.supabase_url}\n{settings.lead_intel_bucket}"
        )
        self._http = resumable.client()
        self._settled: dict[Path, Stamp] = {}
        self._tasks: dict[Path, _Task] = {}
        self._has_moving = True
        self._is_lost = False

    def watch(self) -> None:
        """Until a KeyboardInterrupt (Ctrl-C, SIGTERM) comes, which is the good end."""
        with self._open(wait_seconds=3.0):
            look_at = 0.0
            for changes in self._notices():
                now = time.monotonic()
                if changes or now >= look_at or self._has_moving:
                    self._look(now)
                    look_at = now + SCAN_SECONDS
                self._work(now)
                self._voice.telemetry_if_due()

    def once(self) -> None:
        """Upload what is there now, and end. What cannot go through in some attempts is `failed`."""
        with self._open(wait_seconds=1.0):
            while True:
                now = time.monotonic()
                self._look(now)
                self._work(now)
                self._give_up_on_failing()
                if not self._tasks and not self._has_moving:
                    return
                time.sleep(_TICK_SECONDS)

    @property
    def error(self) -> LeadIntelError | None:
        """Why the end is not a good one."""
        if self.outcome.failed:
            return TransientError(
                "not_uploaded",
                f"{len(self.outcome.failed)} lists could not be uploaded.",
                "Run the same command again: it goes on where it stopped.",
            )
        lists = [refused for refused in self.outcome.refused if refused["code"] != _NOT_A_LIST.code]
        if lists:
            return RejectedInput(
                "lists_refused", f"{len(lists)} lists were not taken.", "See `refused` for the reasons."
            )
        return None

    @contextmanager
    def _open(self, wait_seconds: float) -> Iterator[None]:
        """Alone on this folder, with the channel open; says on the channel how it ends."""
        with ExitStack() as stack:
            stack.enter_context(self._http)
            stack.callback(self._memory.close)
            stack.enter_context(self._memory.alone_on(self._folder))
            self._voice.open(wait_seconds)
            try:
                yield
            except KeyboardInterrupt:
                self._voice.close("interrupted")
                raise
            except BaseException:
                self._voice.close("failed")
                raise
            self._voice.close("finished")

    def _notices(self) -> Iterator[Any]:
        """Changes in the folder, and nothing again and again; a folder that cannot be watched is only scanned."""
        while True:
            try:
                yield from watchfiles.watch(
                    self._folder,
                    watch_filter=None,
                    debounce=200,
                    step=50,
                    rust_timeout=round(_TICK_SECONDS * 1000),
                    yield_on_timeout=True,
                    ignore_permission_denied=True,
                )
            except (OSError, RuntimeError):
                # RuntimeError is how watchfiles says that the folder, or the right to watch it, is gone.
                time.sleep(_TICK_SECONDS)
                yield set()

    def _look(self, now: float) -> None:
        try:
            files = scan(self._folder, self._supplier)
        except OSError as error:
            if not self._is_lost:
                self._voice.notice(f"The folder cannot be read ({error.strerror}); it is looked for again.")
            self._is_lost = True
            return
        self._is_lost = False
        self._has_moving = False
        for found in files:
            if self._settled.get(found.path) == found.stamp or found.path in self._tasks:
                continue
            if self._stillness.is_still(found, now):
                self._settled[found.path] = found.stamp
                self._take_up(found)
            else:
                self._has_moving = True
        self._voice.counts.waiting = len(self._tasks)

    def _take_up(self, found: Found) -> None:
        reason = _NOT_A_LIST if not found.is_list else _NO_SUPPLIER if found.supplier is None else None
        if reason is None and found.stamp.size == 0:
            reason = _EMPTY
        if reason is not None or found.supplier is None:
            refused = reason or _NO_SUPPLIER
            self._voice.left(found, refused)
            self._note(self.outcome.refused, found, code=refused.code, message=refused.message)
            return
        try:
            sha256 = self._memory.digest(found.path, found.stamp) or Source(found).digest()
        except FileChanged:
            self._unsettle(found)
            return
        self._memory.keep_digest(found.path, found.stamp, sha256)
        voice = self._voice.of_list(found, found.supplier, sha256)
        begun = self._memory.find(found.supplier, sha256)
        if begun is not None and begun.is_done:
            voice.known()
            self._note(self.outcome.known, found, sha256=sha256, object=begun.object_path)
            return
        voice.found()
        upload = ListUpload(self._http, self._settings, self._memory, found, found.supplier, sha256, voice)
        self._tasks[found.path] = _Task(upload, voice)

    def _work(self, now: float) -> None:
        for path, task in list(self._tasks.items()):
            if task.due <= now:
                self._attempt(path, task)
        self._voice.counts.waiting = len(self._tasks)

    def _attempt(self, path: Path, task: _Task) -> None:
        found, sha256 = task.upload.found, task.upload.sha256
        task.attempts += 1
        try:
            done = task.upload.attempt()
        except FileChanged:
            task.voice.changed()
            del self._tasks[path]
            self._unsettle(found)
        except RejectedInput as error:
            task.voice.refused(error)
            del self._tasks[path]
            self._note(self.outcome.refused, found, sha256=sha256, code=error.code, message=error.message)
        except (SetupError, TransientError) as error:
            seconds = _wait(error, task.attempts)
            task.due = time.monotonic() + seconds
            task.voice.delayed(error, task.attempts, seconds)
            task.error = error
        else:
            del self._tasks[path]
            if done.was_there:
                task.voice.known()
                self._note(self.outcome.known, found, sha256=sha256, object=done.object_path)
            else:
                task.voice.uploaded(done)
                self._note(
                    self.outcome.uploaded, found, sha256=sha256, object=done.object_path, bytes_sent=done.bytes_sent
                )

    def _give_up_on_failing(self) -> None:
        for path, task in list(self._tasks.items()):
            if task.error is not None and (task.attempts >= _ONCE_ATTEMPTS or isinstance(task.error, SetupError)):
                del self._tasks[path]
                self._note(self.outcome.failed, task.upload.found, sha256=task.upload.sha256, **task.error.as_json())

    def _unsettle(self, found: Found) -> None:
        self._settled.pop(found.path, None)
        self._stillness.forget(found.path)
        self._has_moving = True

    def _note(self, where: list[dict[str, Any]], found: Found, **more: Any) -> None:
        where.append(
            {
                "file": str(found.path.relative_to(self._folder)),
                "supplier": found.supplier,
                "bytes": found.stamp.size,
                **more,
            }
        )


def _wait(error: LeadIntelError, attempts: int) -> float:
    """Seconds until the next attempt: as the server asks, else longer each time. Never for ever."""
    if isinstance(error, resumable.Busy) and error.seconds is not None:
        return max(error.seconds, _FIRST_WAIT)
    if isinstance(error, SetupError):
        return _SETUP_WAIT
    most = min(_FIRST_WAIT * 2.0 ** min(attempts - 1, 10), _MOST_WAIT)
    return most * random.uniform(0.5, 1.0)  # noqa: S311
