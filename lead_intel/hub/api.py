"""The ingestion API: `POST /v1/leads`, its status resource, and the counts of an upload. For machines, by API key only.

It looks at no cookie and answers no cross-origin question, so a browser can do nothing here. Nothing that was sent,
and no key, is ever logged or answered.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextlib import suppress as suppressing
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lead_intel.columns import ColumnVerdict, frame_columns, judge
from lead_intel.hub.api_body import JSON, NDJSON, Body, BodyReader, RefusedBody, refuse_size
from lead_intel.hub.api_pace import Pace
from lead_intel.hub.api_record import Record
from lead_intel.hub.problems import API_HEADERS, Problem
from lead_intel.policy import Policy
from lead_intel.record.api_keys import ApiKey
from lead_intel.record.api_traffic import ACCEPTED, REPLAYED
from lead_intel.record.api_uploads import Posted, Taken

PREFIX = "/v1/"
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])+)"')
_BARE = re.compile(r"[!#-~][!-~]*")
_KEY_CHARACTERS = 255
_RETRY_SOON = {"retry-after": "1"}

_Endpoint = Callable[[Request], Awaitable[Response]]


class Api:
    """The endpoints. `open` and `close` belong to the server's life."""

    def __init__(self) -> None:
        self._record = Record()
        self._pace = Pace()
        self._in_flight: set[tuple[str, bytes]] = set()

    @property
    def routes(self) -> list[Route]:
        """What the application serves."""
        return [
            Route("/v1/leads", self._answering(self._post_leads), methods=["POST"]),
            Route("/v1/leads/status", self._answering(self._status), methods=["GET"]),
            Route("/v1/uploads/{upload}", self._answering(self._upload), methods=["GET"]),
            Route("/v1/{path:path}", self._answering(_unknown), methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """As long as the server lives: what was counted goes into the record each second, and at the end."""
        keeping = asyncio.create_task(self._record.keep_counts())
        try:
            yield
        finally:
            keeping.cancel()
            with suppressing(asyncio.CancelledError):
                await keeping
            await self._record.close()

    def _answering(self, endpoint: _Endpoint) -> _Endpoint:
        """Every refusal is problem+json; what nobody foresaw too, without a word of it."""

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Problem as problem:
                return problem.response()
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it
            except Exception as error:  # noqa: BLE001  # the last net: its text may quote a lead
                self._record.report(error)
                return Problem(500, "unforeseen", "Nobody foresaw this; nothing of the request was taken.").response()

        return answer

    async def _post_leads(self, request: Request) -> Response:
        started = time.perf_counter()
        key = await self._key(request)
        policy = await self._record.policy()
        with self._counting_refusals(key, started), self._pace.turn(key.key_id, policy.ingestion):
            if key.supplier in policy.ingestion.suspended:
                raise Problem(403, "supplier_suspended", "Posts of this supplier are suspended.")
            with self._claimed(key.supplier, _idempotency(request)) as idempotency:
                body = await _read(request, policy)
                posted = Posted(
                    supplier=key.supplier,
                    key_id=key.key_id,
                    idempotency=idempotency,
                    fingerprint=body.digest,
                    columns=_our_columns(body, policy, key.supplier),
                    cells=body.cells,
                    rows=body.rows,
                )
                taken = await self._record.take(posted, policy.ingestion)
        outcome, rows = (REPLAYED, 0) if taken.replayed else (ACCEPTED, taken.batch.rows)
        self._record.counting.add(key.supplier, outcome, time.perf_counter() - started, rows)
        return _accepted(taken, BackgroundTask(self._record.store, taken.batch.upload) if taken.filled else None)

    async def _status(self, request: Request) -> Response:
        key = await self._key(request)
        return _json(await self._record.status(key.supplier))

    async def _upload(self, request: Request) -> Response:
        key = await self._key(request)
        found = await self._record.upload(key.supplier, request.path_params["upload"])
        if found is None:
            raise Problem(404, "upload_unknown", "This supplier has no such upload.")
        return _json(found)

    async def _key(self, request: Request) -> ApiKey:
        """Whose request this is."""
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise Problem(401, "key_missing", "Send `Authorization: Bearer <API key>`.", {"www-authenticate": "Bearer"})
        key = await self._record.owner_of(text.strip())
        if key is None or not key.valid:
            challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
            raise Problem(401, "key_invalid", "This API key is unknown, revoked or expired.", challenge)
        return key

    @contextmanager
    def _counting_refusals(self, key: ApiKey, started: float) -> Iterator[None]:
        outcome: str | None = "unforeseen"
        try:
            yield
            outcome = None
        except Problem as problem:
            outcome = problem.code
            raise
        except ClientDisconnect:
            outcome = "disconnected"
            raise
        finally:
            if outcome is not None:
                self._record.counting.add(key.supplier, outcome, time.perf_counter() - started, 0)

    @contextmanager
    def _claimed(self, supplier: str, key: str | None) -> Iterator[bytes | None]:
        """Work on the digest of an Idempotency-Key alone in this server; the record sees to other servers."""
        if key is None:
            yield None
            return
        digest = hashlib.sha256(key.encode()).digest()
        claim = (supplier, digest)
        if claim in self._in_flight:
            detail = "A request with this Idempotency-Key is being worked on."
            raise Problem(409, "idempotency_key_in_flight", detail, _RETRY_SOON)
        self._in_flight.add(claim)
        try:
            yield digest
        finally:
            self._in_flight.discard(claim)


async def _unknown(_request: Request) -> Response:
    raise Problem(404, "not_found", "Nothing is served here.")


async def _read(request: Request, policy: Policy) -> Body:
    """The request's rows, or why it is refused."""
    limits = policy.ingestion
    media_type = _media_type(request)
    length = request.headers.get("content-length", "")
    try:
        if length.isdecimal():
            refuse_size(int(length), limits)
        reader = BodyReader(media_type, limits)
        async with asyncio.timeout(limits.body_seconds):
            async for block in request.stream():
                reader.feed(block)
        return reader.end()
    except RefusedBody as refused:
        raise Problem(refused.status, refused.code, refused.detail) from None
    except TimeoutError:
        detail = f"The body did not arrive within {limits.body_seconds:g} seconds."
        raise Problem(408, "body_too_slow", detail, {"connection": "close"}) from None


def _media_type(request: Request) -> str:
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        detail = "Compressed bodies are not taken; send the body as it is."
        raise Problem(415, "content_encoding", detail, {"accept-encoding": "identity"})
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if media_type.strip().lower() not in (JSON, NDJSON) or charset not in ("", "charset=utf-8"):
        detail = f"Send {JSON} (an array of objects) or {NDJSON} (an object a line), in UTF-8."
        raise Problem(415, "content_type", detail, {"accept-post": f"{JSON}, {NDJSON}"})
    return media_type.strip().lower()


def _idempotency(request: Request) -> str | None:
    """The Idempotency-Key, a structured string or bare; None when there is none."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    value = given[0].strip()
    quoted = _QUOTED.fullmatch(value)
    if len(given) > 1 or len(value) > _KEY_CHARACTERS or not (quoted or _BARE.fullmatch(value)):
        detail = f"Send one Idempotency-Key of 1 to {_KEY_CHARACTERS} visible ASCII characters."
        raise Problem(400, "idempotency_key_invalid", detail)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value


def _our_columns(body: Body, policy: Policy, supplier: str) -> tuple[str, ...]:
    """The field names, ours where they mean a column of ours: judged as the header of a list is.

    A required field that no row has is no reason to refuse: such rows are quarantined like a list's.
    """
    names = frame_columns(body.columns)
    verdict = judge(names, policy, supplier)
    if verdict.ambiguous:
        which = "; ".join(f"{ours}: {', '.join(found)}" for ours, found in verdict.ambiguous.items())
        raise Problem(422, "column_ambiguous", f"More than one field could be meant by {which}.")
    if verdict.lookalike:
        which = ", ".join(verdict.lookalike.values())
        raise Problem(422, "column_lookalike", f"A field looks like {which}, in letters of another alphabet.")
    _refuse_two_names_for_one(names, verdict, policy, supplier)
    return tuple(verdict.mapping.get(name, given) for name, given in zip(names, body.columns, strict=True))


def _refuse_two_names_for_one(names: list[str], verdict: ColumnVerdict, policy: Policy, supplier: str) -> None:
    """In a list our own name wins over an alias; here one row may have the one and the next the other."""
    for name in names:
        if name in verdict.mapping:
            continue
        meant = next(iter(judge([name], policy, supplier).mapping.values()), None)
        if meant is not None:
            raise Problem(422, "column_ambiguous", f"Two fields of one request mean {meant}: use one name in all rows.")


def _accepted(taken: Taken, background: BackgroundTask | None) -> Response:
    batch = taken.batch
    status = f"/v1/uploads/{batch.upload}"
    content = {
        "upload": batch.upload,
        "batch": batch.batch,
        "rows": batch.rows,
        "first_row": batch.first_row,
        "last_row": batch.first_row + batch.rows - 1,
        "missing": batch.missing,
        "accepted_at": batch.accepted_at.isoformat(),
        "closes_at": batch.closes_at.isoformat(),
        "status": status,
    }
    headers = {**API_HEADERS, "location": status}
    if taken.replayed:
        headers["idempotency-replayed"] = "true"
    return JSONResponse(content, 202, headers, background=background)


def _json(content: dict[str, Any]) -> Response:
    return JSONResponse(content, headers=API_HEADERS)
