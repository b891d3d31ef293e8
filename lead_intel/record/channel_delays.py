"""How late a message of the channel is, by its own clock. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def delay_ms(at: Any) -> int | None:
    """Milliseconds since the message was made; None when it does not say, 0 when its clock runs ahead of ours."""
    try:
        moment = datetime.fromisoformat(str(at))
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return max(round((datetime.now(UTC) - moment).total_seconds() * 1000), 0)
