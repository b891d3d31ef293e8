"""Everything the companion says: to the person in the terminal, and to the channel.

The person reads names of files. The channel hears digests, sizes and codes: a file's name may be a person's.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from lead_intel.companion.folder import Found
from lead_intel.companion.hearing import HeardSample, sample_of, sentence_of
from lead_intel.companion.upload import Done
from lead_intel.errors import LeadIntelError
from lead_intel.record.channel import Sender, list_digest
from lead_intel.record.channel_delays import delay_ms
from lead_intel.record.channel_socket import ChannelSocket
from lead_intel.record.resumable import CHUNK
from lead_intel.settings import StorageSettings

PROGRESS_SECONDS = 0.5
"""At most two progress messages a second: a project's quota is counted by delivery."""

TELEMETRY_SECONDS = 15.0
_TERMINAL_SECONDS = 5.0
_MOST_SAMPLES = 50


@dataclass
class Counts:
    """What the companion has done since it started."""

    found: int = 0
    uploaded: int = 0
    known: int = 0
    refused: int = 0
    retries: int = 0
    resumes: int = 0
    bytes_sent: int = 0
    bytes_uploaded: int = 0
    waiting: int = 0
    samples: dict[str, dict[str, Any]] = field(default_factory=dict)


class Voice:
    """The companion's mouth and ears."""

    def __init__(self, settings: StorageSettings, say: Callable[[str], None]) -> None:
        self.counts = Counts()
        self._say = say
        self._channel = ChannelSocket(settings, Sender("companion"), self._hear)
        self._names: dict[str, str] = {}
        self._began = time.monotonic()
        self._telemetry_at = self._began
        self._bytes_then = 0
        self._ended = threading.Event()

    def open(self, wait_seconds: float) -> None:
        """Connect, and say who speaks."""
        self._channel.open()
        self._channel.say(
            "companion.started",
            {
                "software": f"lead-intel/{version('lead-intel')}",
                "system": f"{platform.system().lower()}/{platform.machine().lower()}",
                "chunk_bytes": CHUNK,
            },
        )
        if not self._channel.wait_until_joined(wait_seconds):
            self._say("The channel does not answer; lists are uploaded all the same.")

    def close(self, reason: str) -> None:
        """Say goodbye: `finished`, `interrupted` or `failed`."""
        self.telemetry()
        self._channel.say("companion.stopped", {"reason": reason, "uptime_seconds": self._uptime()})
        self._channel.close()

    def telemetry_if_due(self) -> None:
        """Every quarter of a minute."""
        if time.monotonic() - self._telemetry_at >= TELEMETRY_SECONDS:
            self.telemetry()

    def telemetry(self) -> None:
        """How the companion, its line and the samples of its lists are."""
        counts, now = self.counts, time.monotonic()
        interval = max(now - self._telemetry_at, 0.001)
        self._channel.say(
            "companion.telemetry",
            {
                "uptime_seconds": self._uptime(),
                "lists": {
                    "found": counts.found,
                    "waiting": counts.waiting,
                    "uploaded": counts.uploaded,
                    "known": counts.known,
                    "refused": counts.refused,
                },
                "transfer": {
                    "bytes_sent": counts.bytes_sent,
                    "bytes_uploaded": counts.bytes_uploaded,
                    "bytes_per_second": round((counts.bytes_sent - self._bytes_then) / interval),
                    "resumes": counts.resumes,
                    "retries": counts.retries,
                },
                "channel": self._channel.counts.as_data(),
                "samples": list(self.counts.samples.values()),
            },
        )
        self._telemetry_at, self._bytes_then = now, counts.bytes_sent

    def notice(self, sentence: str) -> None:
        """For the person only."""
        self._say(sentence)

    def of_list(self, found: Found, supplier: str, sha256: str) -> ListVoice:
        """The voice for one list."""
        digest = list_digest(sha256)
        self._names[digest] = found.path.name
        return ListVoice(self, self._channel, found, supplier, digest)

    def left(self, found: Found, error: LeadIntelError) -> None:
        """A file that is not taken, before it was read."""
        self.counts.refused += 1
        self._say(f"{found.path.name}: left where it is. {error.message} {error.remedy}")
        self._channel.say("list.refused", {"list": None, "bytes": found.stamp.size, **refusal(error)})

    def _uptime(self) -> float:
        return round(time.monotonic() - self._began, 1)

    def _hear(self, event: str, message: dict[str, Any]) -> None:
        data = message.get("data")
        if message.get("source") != "product" or not isinstance(data, dict):
            return
        sample = sample_of(data) if event == "upload.sample" else None
        if sample is not None:
            self._note_sample(sample, delay_ms(message.get("at")))
        sentence = sentence_of(event, data, self._names)
        if sentence is not None:
            self._say(sentence)

    def _note_sample(self, sample: HeardSample, late: int | None) -> None:
        """Kept for telemetry: who watches the samples sees when each choice reached the desktops."""
        samples = dict(self.counts.samples)
        samples.pop(sample.upload, None)
        samples[sample.upload] = {
            "upload": sample.upload,
            "list": sample.list,
            "percent": sample.percent,
            "leads": sample.leads,
            "delay_ms": late,
        }
        # Replaced as a whole: another thread may be reading it.
        self.counts.samples = dict(list(samples.items())[-_MOST_SAMPLES:])


class ListVoice:
    """Says how one list fares; the witness of its upload."""

    def __init__(self, voice: Voice, channel: ChannelSocket, found: Found, supplier: str, digest: str) -> None:
        self._voice = voice
        self._channel = channel
        self._name = found.path.name
        self._format = found.path.suffix.lower().lstrip(".")
        self._supplier = supplier
        self._digest = digest
        self._size = found.stamp.size
        self._said_at = self._shown_at = float("-inf")
        self._rate_from = (time.monotonic(), 0)

    def found(self) -> None:
        """It is complete and will be uploaded."""
        self._voice.counts.found += 1
        self._voice.notice(f"{self._name}: found, {self._size:,} bytes, supplier {self._supplier}.")
        self._tell("list.found", supplier=self._supplier, bytes=self._size, format=self._format)

    def known(self) -> None:
        """These bytes of this supplier lie in the bucket already."""
        self._voice.counts.known += 1
        self._voice.notice(f"{self._name}: these bytes were uploaded before; not sent again.")
        self._tell("list.known", supplier=self._supplier, bytes=self._size)

    def started(self) -> None:
        """See `Witness`."""
        self._tell("list.started", supplier=self._supplier, bytes=self._size, chunk_bytes=CHUNK)

    def resumed(self, offset: int, cause: str) -> None:
        """See `Witness`."""
        self._voice.counts.resumes += 1
        self._voice.notice(f"{self._name}: goes on at byte {offset:,} of {self._size:,}.")
        self._tell("list.resumed", offset=offset, bytes=self._size, cause=cause)

    def expired(self) -> None:
        """See `Witness`."""
        self._voice.notice(f"{self._name}: the upload had expired; it begins again.")
        self._tell("list.resumed", offset=0, bytes=self._size, cause="expired")

    def sent(self, offset: int, more: int) -> None:
        """See `Witness`."""
        self._voice.counts.bytes_sent += more
        self._voice.telemetry_if_due()
        now = time.monotonic()
        if now - self._said_at < PROGRESS_SECONDS and offset < self._size:
            return
        since, at = self._rate_from
        rate = round((offset - at) / max(now - since, 0.001)) if offset >= at else 0
        self._said_at, self._rate_from = now, (now, offset)
        percent = round(100 * offset / self._size, 1)
        self._channel.say_if_joined(
            "list.progress",
            {"list": self._digest, "sent": offset, "bytes": self._size, "percent": percent, "bytes_per_second": rate},
        )
        if now - self._shown_at >= _TERMINAL_SECONDS:
            self._shown_at = now
            self._voice.notice(f"{self._name}: {percent:g} % of {self._size:,} bytes.")

    def uploaded(self, done: Done) -> None:
        """It lies in the bucket, read back and found the same."""
        self._voice.counts.uploaded += 1
        self._voice.counts.bytes_uploaded += self._size
        self._voice.notice(f"{self._name}: uploaded in {done.seconds:.1f} s, and read back the same.")
        self._tell(
            "list.uploaded",
            supplier=self._supplier,
            bytes=self._size,
            bytes_sent=done.bytes_sent,
            seconds=round(done.seconds, 3),
            resumes=done.resumes,
        )

    def changed(self) -> None:
        """It is being written again."""
        self._voice.notice(f"{self._name}: changed while it was read; it is taken when it rests.")
        self._tell("list.changed", bytes=self._size)

    def delayed(self, error: LeadIntelError, attempt: int, seconds: float) -> None:
        """It did not go through now."""
        self._voice.counts.retries += 1
        self._voice.notice(f"{self._name}: {error.message} Next attempt in {seconds:.0f} s.")
        self._tell("list.delayed", code=error.code, attempt=attempt, wait_seconds=round(seconds, 1))

    def refused(self, error: LeadIntelError) -> None:
        """The bucket will not take it."""
        self._voice.counts.refused += 1
        self._voice.notice(f"{self._name}: left where it is. {error.message} {error.remedy}")
        self._tell("list.refused", bytes=self._size, **refusal(error))

    def _tell(self, event: str, **data: Any) -> None:
        self._channel.say(event, {"list": self._digest, **data})


def refusal(error: LeadIntelError) -> dict[str, str]:
    """Why a file is not taken, without its name."""
    return {"code": error.code, "message": error.message}
