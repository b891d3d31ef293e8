"""The `lead-ingestion` channel: ids and counts, never a person's data. A hint; the tables are the truth."""

from __future__ import annotations

import logging
from typing import Any

import httpx

from lead_intel.settings import Settings

CHANNEL = "lead-ingestion"
_TIMEOUT = httpx.Timeout(2.0)

_log = logging.getLogger(__name__)


def publish(settings: Settings, event: str, payload: dict[str, Any]) -> bool:
    """Broadcast one event over HTTP (the Python client's synchronous channel is not implemented).

    Returns False when nobody took it: a listener re-reads the tables anyway, so a lost hint stops nothing.
    """
    key = settings.supabase_service_key.get_secret_value()
    body = {"messages": [{"topic": CHANNEL, "event": event, "payload": payload, "private": False}]}
    try:
        reply = httpx.post(
            f"{settings.supabase_url}/realtime/v1/api/broadcast",
            json=body,
            headers={"apikey": key, "Authorization": f"Bearer {key}"},
            timeout=_TIMEOUT,
            follow_redirects=False,
        )
    except httpx.HTTPError as error:
        _log.info("channel: %s not delivered (%s)", event, type(error).__name__)
        return False
    return reply.status_code == httpx.codes.ACCEPTED
