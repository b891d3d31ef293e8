"""One HTTP exchange with a vendor: one overall deadline, a size cap, strict JSON, no redirects, known hosts only.

Knows no vendor, no retry, no money. URLs and bodies hold personal data: nothing here logs them, and no exception
of aiohttp leaves this module (their texts quote URLs).
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
from yarl import URL

from lead_intel.calls.ports import Reply, Request
from lead_intel.calls.strict_json import NotStrictJson, parse
from lead_intel.errors import SetupError
from lead_intel.settings import Settings

MAX_REPLY_BYTES = 2 * 1024 * 1024
"""Cap on a reply's body, on the wire and after decompression."""

Origin = tuple[str, str, int]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_INFLATE = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class Unanswered(Exception):  # a fact about an exchange, mapped to a verdict by the caller
    """No usable reply. `sent` is False when nothing can have reached the vendor, so nothing can be billed."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class DeadlineExceeded(Unanswered):
    """The overall deadline passed. Whether the vendor did (and bills) the work is not known."""

    def __init__(self) -> None:
        super().__init__("no answer within the deadline", sent=True)


def known_origins(settings: Settings) -> frozenset[Origin]:
    """Scheme, host and port of every configured service: the only places a request may go to."""
    urls = (
        settings.supabase_url,
        settings.twilio_lookup_url,
        settings.dncscrub_url,
        settings.people_data_labs_url,
        settings.zerobounce_url,
        settings.never_bounce_url,
        settings.trestle_url,
        settings.segment_tracking_url,
        settings.segment_public_url,
    )
    return frozenset(_origin(url) for url in urls)


class Transport:
    """Sends requests over kept-alive connections. Obtain one with `transport(...)`."""

    def __init__(self, session: aiohttp.ClientSession, origins: Iterable[Origin]) -> None:
        self._session = session
        self._origins = frozenset(origins)

    async def send(self, request: Request, deadline: float, max_bytes: int = MAX_REPLY_BYTES) -> Reply:
        """The reply to `request` within `deadline` seconds for everything: connect, TLS, headers, body, parse.

        A body that is empty or not strict JSON gives `Reply.body` None; judging that is the classifier's job.

        Raises:
            DeadlineExceeded: time is up.
            Unanswered: the connection failed, or the body was cut, too large or encoded unknown to us.
        """
        if _origin(request.url) not in self._origins:
            raise SetupError(
                "host_not_allowed",
                "A request was about to go to a host that no setting names.",
                "Check the *_URL settings in .env.example.",
            )
        try:
            async with asyncio.timeout(deadline):
                return await self._exchange(request, max_bytes)
        except TimeoutError:
            raise DeadlineExceeded from None
        except (aiohttp.ClientConnectorError, ssl.SSLError):
            raise Unanswered("the connection could not be made", sent=False) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise Unanswered("the connection broke before a whole answer came", sent=True) from None

    async def _exchange(self, request: Request, max_bytes: int) -> Reply:
        async with self._session.request(
            request.method,
            _wire_url(request),
            headers=_headers(request),
            json=request.json,
            data=dict(request.form) if request.form is not None else None,
            allow_redirects=False,
        ) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            try:
                raw = await _bounded_body(response, headers.get("content-encoding", "identity").lower(), max_bytes)
            except Unanswered:
                response.close()
                raise
        try:
            body = parse(raw) if raw else None
        except NotStrictJson:
            body = None
        return Reply(response.status, headers, body)


@asynccontextmanager
async def transport(settings: Settings, connections: int = 0) -> AsyncIterator[Transport]:
    """A Transport to the configured vendors; `connections` 0 leaves the number to the caller's own cap."""
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=15)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "lead-intel"},
    ) as session:
        # aiohttp would quietly send a GET again on a broken kept-alive connection: a second paid call
        # that no ledger row knows of.
        session._retry_connection = False
        yield Transport(session, known_origins(settings))


def fetch(settings: Settings, request: Request, deadline: float) -> Reply:
    """One free exchange for callers without an event loop (guardrails, read-backs). Raises as `Transport.send`."""

    async def once() -> Reply:
        async with transport(settings) as sender:
            return await sender.send(request, deadline)

    return asyncio.run(once())


def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _DEFAULT_PORTS.get(scheme, 0)


def _headers(request: Request) -> dict[str, str]:
    headers = dict(request.headers)
    if request.basic_auth is not None:
        headers["Authorization"] = f"Basic {b64encode(':'.join(request.basic_auth).encode()).decode()}"
    return headers


def _wire_url(request: Request) -> URL:
    """The URL as it goes over the wire: `%2B` of a number stays, so yarl must not decode and quote again."""
    query = urlencode(dict(request.params))
    return URL(f"{request.url}?{query}" if query else request.url, encoded=True)


async def _bounded_body(response: aiohttp.ClientResponse, encoding: str, max_bytes: int) -> bytes:
    inflater = _inflater(encoding)
    parts: list[bytes] = []
    read = kept = 0
    async for chunk in response.content.iter_any():
        read += len(chunk)
        part = chunk if inflater is None else _inflated(inflater, chunk, max_bytes + 1 - kept)
        kept += len(part)
        if read > max_bytes or kept > max_bytes:
            raise Unanswered("the answer was larger than any honest one", sent=True)
        parts.append(part)
    if inflater is not None and not inflater.eof:
        raise Unanswered("the answer was cut short", sent=True)
    return b"".join(parts)


def _inflater(encoding: str) -> Any:
    if encoding in ("", "identity"):
        return None
    if encoding not in _INFLATE:
        raise Unanswered("the answer came in an encoding that was not asked for", sent=True)
    return zlib.decompressobj(_INFLATE[encoding])


def _inflated(inflater: Any, chunk: bytes, at_most: int) -> bytes:
    try:
        return bytes(inflater.decompress(chunk, max(at_most, 1)))
    except zlib.error:
        raise Unanswered("the answer could not be decompressed", sent=True) from None
