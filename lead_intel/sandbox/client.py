"""The other end of the control endpoint: for the command line and the tests. Speaks HTTP, imports no server."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from lead_intel.errors import SetupError, UsageError

_PLACES = {
    "SUPABASE_URL": "/supabase",
    "TWILIO_LOOKUP_URL": "/twilio",
    "SEGMENT_TRACKING_URL": "/segment",
    "DNCSCRUB_URL": "/dncscrub",
}
"""Settings that point at a sandbox end so; what is before is the sandbox."""


class Control:
    """A running sandbox, told what to do."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url.rstrip("/"))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """The sandbox at which the settings point.

        Raises:
            SetupError: when they point at none.
        """
        for name, end in _PLACES.items():
            url = environ.get(name, "").rstrip("/")
            if url.startswith("http://127.0.0.1:") and url.endswith(end):
                return cls(url.removesuffix(end))
        raise SetupError(
            "sandbox_not_in_use",
            "The settings point at real services, not at the sandbox.",
            "Faults and the ledger exist only in the embedded default.",
        )

    def ledger(self) -> dict[str, dict[str, int]]:
        """Calls, distinct keys and paid calls per service."""
        counts: dict[str, dict[str, int]] = self._ask("GET", "/control/ledger")
        return counts

    def calls(self, service: str) -> list[dict[str, Any]]:
        """Every call that `service` received, oldest first."""
        calls: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = self._ask("GET", f"/control/ledger/{service}?{urlencode({'after': after})}")
            calls.extend(page["calls"])
            after = page["next"]
        return calls

    def keys(self, service: str, more_than: int = 0) -> list[dict[str, Any]]:
        """Keys of `service` that were asked more often than `more_than` times."""
        keys: list[dict[str, Any]] = []
        after: str | None = ""
        while after is not None:
            query = urlencode({"after": after, "more_than": more_than})
            page = self._ask("GET", f"/control/ledger/{service}/keys?{query}")
            keys.extend(page["keys"])
            after = page["next"]
        return keys

    def events(self, service: str) -> list[dict[str, Any]]:
        """What `service` knows below the level of calls: for segment_tracking, every event, kept or dropped."""
        events: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = self._ask("GET", f"/control/ledger/{service}/events?{urlencode({'after': after})}")
            events.extend(page["events"])
            after = page["next"]
        return events

    def fault(self, service: str, kind: str, options: Mapping[str, Any] | None = None) -> None:
        """Switch a fault on."""
        self._ask("POST", "/control/fault", {"service": service, "kind": kind, "options": dict(options or {})})

    def clear_fault(self, service: str | None) -> None:
        """Switch off every fault of one service, or of all."""
        self._ask("POST", "/control/clear", {} if service is None else {"service": service})

    def trip(self, number: int, **options: Any) -> None:
        """Trip guardrail `number` where it watches something outside."""
        self._ask("POST", "/control/trip", {"number": number, **options})

    def clear_trip(self, number: int) -> None:
        """Take back what tripped guardrail `number`."""
        self._ask("POST", "/control/clear", {"number": number})

    def reset(self) -> None:
        """Forget everything that was received and switched."""
        self._ask("POST", "/control/reset", {})

    def _ask(self, method: str, path: str, order: Mapping[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=30)
        body = None if order is None else json.dumps(order)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            answer = json.loads(reply.read() or b"null")
        except (OSError, ValueError, http.client.HTTPException):
            raise SetupError("sandbox_silent", "The sandbox does not answer.", "`lead-intel up` starts it.") from None
        finally:
            connection.close()
        if reply.status >= http.HTTPStatus.BAD_REQUEST:
            said = answer.get("error", {}) if isinstance(answer, dict) else {}
            raise UsageError("sandbox_order", str(said.get("message", "The sandbox refused the order.")))
        return answer
