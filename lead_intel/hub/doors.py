"""Who may come in: the Host and Origin rules before any page, proxy or socket. Pure ASGI; knows no route.

The hub and Dagster's webserver behind it have no login, so a page of another site in the same browser must not be
able to reach them: not by DNS rebinding (Host), not by a form, image or script (Origin, Sec-Fetch-Site), not by a
socket. What asks for a key that no browser has needs none of this, and is served under any name.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY_VIOLATION = 1008

Headers = Mapping[bytes, bytes]


class Doors:
    """Refuses what does not come from this machine's own names and, for acts and sockets, from our own pages."""

    def __init__(self, app: ASGIApp, keyed: str, names: frozenset[str] = LOOPBACK_NAMES) -> None:
        self._app = app
        self._keyed = keyed
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400 or 403 (a socket: refused at the handshake)."""
        if scope["type"] not in ("http", "websocket") or self._asks_for_a_key(scope):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(_POLICY_VIOLATION, refusal[1])(scope, receive, send)
        else:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, send)

    def _asks_for_a_key(self, scope: Scope) -> bool:
        return bool(scope["type"] == "http" and scope["path"].startswith(self._keyed))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = dict(scope["headers"])
        host = _text(headers, b"host")
        if _hostname(f"//{host}") not in self._names:
            return 400, "This name is not served here."
        if scope["type"] == "websocket":
            return None if _is_own(headers, host) else (403, "Sockets are for the hub's own pages.")
        if scope["method"] not in _SAFE_METHODS:
            return None if _is_own(headers, host) else (403, "Acts are for the hub's own pages.")
        if b"query=" in scope.get("query_string", b"") and scope["path"].rstrip("/").endswith("/graphql"):
            # Dagster executes mutations sent by GET, which an image on a foreign page could do.
            return 403, "GraphQL is taken by POST only."
        return None


def _is_own(headers: Headers, host: str) -> bool:
    """Browsers say whence an act comes, and cannot be made to lie; a client that says nothing is no browser."""
    site, origin = _text(headers, b"sec-fetch-site"), _text(headers, b"origin")
    if site and site not in ("same-origin", "none"):
        return False
    return not origin or urlsplit(origin).netloc.lower() == host.lower()


def _text(headers: Headers, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
