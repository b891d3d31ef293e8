"""Segment's Tracking API: one batch goes out, and what Segment said about it comes back. No retry, no record.

The wire is the official package's own lower function, `segment.analytics.request.post` (2.4): it sends one batch in
Segment's shape and returns or raises with the whole response. What it does not promise is added around it:

- its timeout is per socket read: here one deadline covers the whole exchange, and a stop is seen within a second;
- its session follows redirects (with the body and the key), reads proxies and `.netrc` from the environment and
  takes answers of any size: the session gets an adapter of ours, and neither redirects nor environment;
- it logs whole batches at DEBUG: its logger is silenced;
- it would send NaN: batches that are not strict JSON are refused here.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from segment.analytics import request as official

from lead_intel.calls.pace import retry_after_seconds
from lead_intel.settings import Settings

DEADLINE_SECONDS = 10.0
"""For one batch, from connecting to the last byte of the answer."""

_MOST_ANSWER_BYTES = 64 * 1024
_ANSWER_BLOCK = 4096
_LOOK_SECONDS = 0.05
_GRACE_SECONDS = 0.5
_ENVELOPE_BYTES = 400
"""Room for what the package puts around the events: write key, time, brackets."""

logging.getLogger("segment").setLevel(logging.CRITICAL)


class Fate(StrEnum):
    """What became of a batch. `accepted` is Segment's receipt, which is not yet a profile."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    WRITE_KEY = "write_key"
    BUSY = "busy"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A batch's fate. `retry_after` in seconds where Segment named one; `detail` holds no personal data."""

    fate: Fate
    detail: str = ""
    retry_after: float | None = None


def size_of(event: Mapping[str, Any]) -> int:
    """Bytes of the event as the package will write it.

    Raises:
        ValueError: it is not strict JSON (NaN, infinity, an object that is none).
    """
    return len(json.dumps(event, allow_nan=False))


def room_for_events(batch_bytes: int) -> int:
    """How many bytes of events a batch of `batch_bytes` holds."""
    return batch_bytes - _ENVELOPE_BYTES


class Tracking:
    """Sends batches to one source. `stop` cuts a wait short; the batch may then have arrived or not."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._url = settings.segment_tracking_url.rstrip("/")
        self._key = settings.segment_write_key
        self._stop = stop
        _harden()

    def send(self, events: Sequence[Mapping[str, Any]], deadline: float = DEADLINE_SECONDS) -> Delivery:
        """Hand one batch over and wait for the answer, at most `deadline` seconds.

        Raises:
            ValueError: an event is not strict JSON; nothing was sent.
        """
        for event in events:
            size_of(event)
        exchange = _Exchange(self._url, self._key.get_secret_value(), events, deadline)
        thread = threading.Thread(target=exchange.run, name="segment-batch", daemon=True)
        thread.start()
        end = time.monotonic() + deadline
        while not exchange.ended.wait(_LOOK_SECONDS):
            if self._stop.is_set():
                end = min(end, time.monotonic() + _GRACE_SECONDS)
                exchange.ended.wait(_GRACE_SECONDS)
            if time.monotonic() >= end:
                # The thread is left behind; it ends with its socket. What it may still hear changes nothing.
                return Delivery(Fate.NO_ANSWER, "no answer within the deadline")
        return exchange.delivery()


class _Exchange:
    """One call of the package's function, in a thread of its own."""

    def __init__(self, url: str, key: str, events: Sequence[Mapping[str, Any]], deadline: float) -> None:
        self._url = url
        self._key = key
        self._events = list(events)
        self._deadline = deadline
        self._response: requests.Response | None = None
        self._broken = ""
        self._defect: Exception | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            self._response = official.post(
                self._key,
                host=self._url,
                timeout=(min(self._deadline, 3.0), self._deadline),
                batch=self._events,
                sentAt=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            )
        except official.APIError as error:
            self._response = error.response
        except requests.TooManyRedirects:
            self._broken = "the answer was a redirect; check SEGMENT_TRACKING_URL"
        except (requests.RequestException, OSError):
            self._broken = "the connection failed or broke"
        except Exception as error:  # noqa: BLE001  # carried to the caller's thread, which raises it
            self._defect = error
        finally:
            self.ended.set()

    def delivery(self) -> Delivery:
        """The answer, judged by status and body. Raises what the package was not expected to raise."""
        if self._defect is not None:
            raise self._defect
        if self._response is None:
            return Delivery(Fate.NO_ANSWER, self._broken)
        return judged(self._response.status_code, dict(self._response.headers), self._response.content)


def judged(status: int, headers: Mapping[str, str], content: bytes) -> Delivery:
    """Fate by status and body: 200 counts only with Segment's own receipt, 400 is about the batch or the write key."""
    body = _object(content)
    message = str(body.get("message") or "")
    if status == HTTPStatus.OK:
        if body.get("success") is True:
            return Delivery(Fate.ACCEPTED)
        return Delivery(Fate.NO_ANSWER, "an answer that is not Segment's receipt")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or "write key" in message.lower():
        return Delivery(Fate.WRITE_KEY, f"status {status}")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        lower = {name.lower(): value for name, value in headers.items()}
        return Delivery(Fate.BUSY, "status 429", retry_after_seconds(lower, datetime.now(UTC)))
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
        return Delivery(Fate.REFUSED, f"status {status}")
    return Delivery(Fate.NO_ANSWER, f"status {status}")


def _object(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


class _CappedAdapter(HTTPAdapter):
    """Reads the answer itself: never more than a receipt may hold, never longer than the read timeout in all."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        timeout = options.get("timeout")
        seconds = timeout[1] if isinstance(timeout, tuple) else timeout
        end = time.monotonic() + float(seconds or DEADLINE_SECONDS)
        response = super().send(request, **{**options, "stream": True})
        parts: list[bytes] = []
        read = 0
        for part in response.iter_content(_ANSWER_BLOCK):
            parts.append(part)
            read += len(part)
            if read > _MOST_ANSWER_BYTES or time.monotonic() > end:
                response.close()
                msg = "the answer was larger or slower than a receipt is"
                raise requests.ConnectionError(msg)
        response._content = b"".join(parts)  # requests offers no other way to set a body
        return response


def _harden() -> None:
    """Put our adapter into the package's session. `_session` is its one place for an HTTP client; a test holds it."""
    session = official._session
    if not isinstance(session.get_adapter("https://"), _CappedAdapter):
        session.trust_env = False
        session.max_redirects = 0
        session.mount("https://", _CappedAdapter())
        session.mount("http://", _CappedAdapter())
