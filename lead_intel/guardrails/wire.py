"""Free questions to the outside, each with one short deadline. Nothing paid may be asked from here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lead_intel.calls.ports import Reply, Request
from lead_intel.calls.transport import Transport, Unanswered, transport
from lead_intel.settings import Settings

DEADLINE_SECONDS = 2.5
"""For one question; a guardrail asks at most two, one after the other, and all ten end within six seconds."""

_AT_ONCE = 8


def ask(settings: Settings, request: Request) -> Reply | None:
    """The reply, or None when there was none in time."""
    return ask_all(settings, [request])[0]


def ask_all(settings: Settings, requests: Sequence[Request]) -> list[Reply | None]:
    """Replies in the order of `requests`, asked side by side; None where there was none in time."""

    async def all_of_them() -> list[Reply | None]:
        async with transport(settings, connections=_AT_ONCE) as sender:
            return list(await asyncio.gather(*(_reply(sender, request) for request in requests)))

    return asyncio.run(all_of_them())


async def _reply(sender: Transport, request: Request) -> Reply | None:
    try:
        return await sender.send(request, DEADLINE_SECONDS)
    except Unanswered:
        return None
