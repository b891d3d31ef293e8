"""The `lead-ingestion` channel: what its messages look like, and how they are published. docs/channel.asyncapi.yml.

Ids and counts, never a person's data, a file's name or a path. Messages are hints; the tables are the truth.
"""

from __future__ import annotations

import itertools
import logging
import re
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import httpx

from lead_intel.settings import StorageSettings

CHANNEL = "lead-ingestion"
VERSION = 1
_TIMEOUT = httpx.Timeout(2.0)
_DIGEST_LENGTH = 16
_SHA256 = re.compile(r"[0-9a-f]{64}")

_log = logging.getLogger(__name__)

Source = Literal["product", "companion"]


class Sender:
    """One process that speaks on the channel. Its messages are numbered, so that a listener sees gaps."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.instance = str(uuid.uuid4())
        self._numbers = itertools.count(1)

    def message(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """`data` in the envelope of every message."""
        return {
            "v": VERSION,
            "id": str(uuid.uuid4()),
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "source": self.source,
            "instance": self.instance,
            "sequence": next(self._numbers),
            "data": dict(data),
        }


def list_digest(sha256: str) -> str:
    """The name of a list on the channel: the beginning of the SHA-256 of its bytes."""
    return sha256[:_DIGEST_LENGTH]


def is_sha256(text: str) -> bool:
    """True for a digest; an upload that no file began has none."""
    return _SHA256.fullmatch(text) is not None


_product = Sender("product")
_numbering = threading.Lock()


def publish(settings: StorageSettings, event: str, data: Mapping[str, Any]) -> bool:
    """Broadcast one of the product's events over HTTP (the Python client's synchronous channel is not implemented).

    Returns False when nobody took it: a listener re-reads the tables anyway, so a lost hint stops nothing.
    """
    key = settings.supabase_service_key.get_secret_value()
    with _numbering:
        payload = _product.message(data)
    body = {"messages": [{"topic": CHANNEL, "event": event, "payload": payload, "private": False}]}
    try:
        reply = httpx.post(
            f"{settings.supabase_url}/realtime/v1/api/broadcast",
            json=body,
            headers={"apikey": key, "Authorization": f"Bearer {key}"},
            timeout=_TIMEOUT,
            follow_redirects=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        _log.info("channel: %s not delivered (%s)", event, type(error).__name__)
        return False
    return reply.status_code == httpx.codes.ACCEPTED
