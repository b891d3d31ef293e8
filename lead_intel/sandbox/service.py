"""What every stand-in shares: how one call is read, refused, entered into the ledger and answered. No vendor."""

from __future__ import annotations

import base64
import binascii
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from lead_intel.sandbox.delivery import Body, Delivery, FilePart
from lead_intel.sandbox.faults import REFUSALS, Fault, Switches
from lead_intel.sandbox.ledger import Entry, Ledger
from lead_intel.sandbox.memory import Memory

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

HTML = b"<!DOCTYPE html><html><head><title>Service unavailable</title></head><body>upstream error</body></html>"


@dataclass(slots=True)
class Answer:
    """One answer, before any fault spoils its delivery."""

    status: int = 200
    body: Body = b""
    headers: dict[str, str] = field(default_factory=dict)
    processed: bool = True
    paid: bool = False


def as_json(
    content: Any,
    status: int = 200,
    *,
    paid: bool = False,
    processed: bool = True,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """An answer of compact JSON."""
    body = _ENCODER.encode(content).encode()
    return Answer(status, body, {"content-type": "application/json", **(headers or {})}, processed, paid)


class Refused(Exception):
    """Ends the work on a call with an answer that is neither processed nor paid."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        answer.processed = answer.paid = False
        self.answer = answer


class Call:
    """One call while it is worked on. Every handler says first what the call is `about`."""

    def __init__(self, service: Service, request: Request) -> None:
        self.service = service
        self.request = request
        self.operation = request.method
        self.keys: tuple[str, ...] = ()
        self.note: dict[str, Any] = {}
        self.faults: dict[str, Fault] = {}

    def about(self, operation: str, *keys: str) -> None:
        """Name the operation and the subjects; faults that concern them act from here on.

        Raises:
            Refused: when one of them refuses the call.
        """
        self.operation, self.keys = operation, keys
        place = f"{self.request.method} {self.request.scope['path']}"
        for fault in self.service.switches.met_by(self.service.name, (operation, place, *keys)):
            self.faults[fault.kind] = fault
            if fault.kind in REFUSALS:
                raise Refused(self.service.refusal(fault))

    def fault(self, kind: str) -> Fault | None:
        """The service's own fault `kind`, when this call meets it."""
        return self.faults.get(kind)

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameters."""
        return self.request.query_params

    def basic_auth(self) -> tuple[str, str] | None:
        """User and password of HTTP Basic, or None."""
        scheme, _, credentials = self.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return user, password

    def bearer(self) -> str | None:
        """The bearer token, or None."""
        scheme, _, token = self.request.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None


Work = Callable[[Call], Awaitable[Answer]]


class Service(ABC):
    """One outside service: its routes under one prefix, its refusals, its own kinds of fault."""

    name: str
    prefix: str
    kinds: ClassVar[Mapping[str, str]] = {}
    """Its own faults: kind -> what it does."""

    def __init__(self, home: Path, memory: Memory, ledger: Ledger, switches: Switches) -> None:
        self.home = home
        self.memory = memory
        self.ledger = ledger
        self.switches = switches
        self.set_up()

    def set_up(self) -> None:  # noqa: B027  # most services need none
        """Create tables and folders; nothing by default."""

    def reset(self) -> None:  # noqa: B027  # most services keep nothing else
        """Forget what is not in the tables; nothing by default."""

    def counts(self) -> dict[str, int]:
        """What the ledger's summary says about this service beyond calls, keys and paid calls."""
        return {}

    def events(self, after: int, limit: int) -> list[dict[str, Any]]:  # noqa: ARG002  # none by default
        """What the service knows below the level of calls; for tests."""
        return []

    @abstractmethod
    def routes(self) -> list[BaseRoute]:
        """The paths under `prefix`."""

    def error(self, kind: str, status: int, message: str) -> Answer:
        """A refusal in the service's own shape."""
        return as_json({"error": {"type": kind, "message": message}}, status)

    def refusal(self, fault: Fault) -> Answer:
        """How the service refuses because of `fault`."""
        match fault.kind:
            case "bad_gateway":
                return Answer(502, HTML, {"content-type": "text/html"})
            case "garbage":
                return Answer(200, HTML, {"content-type": "text/html"})
            case "empty":
                return Answer(200, b"", {"content-type": "application/json"})
            case "redirect":
                return Answer(302, b"", {"location": "https://elsewhere.invalid/"})
            case "black_hole":
                return Answer(504, b"", {})
        statuses = {"rate_limited": 429, "unauthorized": 401, "forbidden": 403, "quota": 402, "server_error": 500}
        status = statuses[fault.kind]
        answer = self.error(fault.kind, status, HTTPStatus(status).phrase)
        answer.headers.update(retry_after(fault))
        return answer

    def route(self, method: str, path: str, work: Work) -> Route:
        """`work` under one method and path; every call is in the ledger before its answer leaves."""
        return Route(path, Endpoint(self, work), methods=[method])


class Endpoint:
    """The ASGI face of one piece of work. Bare ASGI, because this is where the sandbox spends its time."""

    def __init__(self, service: Service, work: Work) -> None:
        self._service = service
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Work, enter into the ledger, commit, answer."""
        call = Call(self._service, Request(scope, receive))
        try:
            answer = await self._work(call)
        except Refused as refused:
            answer = refused.answer
        self._service.ledger.enter(
            Entry(
                self._service.name, call.operation, answer.status, call.keys, answer.processed, answer.paid,
                ",".join(call.faults) or None, call.note,
            )
        )  # fmt: skip
        await self._service.memory.committed()
        await _response(answer, call.faults)(scope, receive, send)


def _response(answer: Answer, faults: Mapping[str, Fault]) -> Response:
    if faults:
        return Delivery(answer.status, answer.body, answer.headers, faults)
    if isinstance(answer.body, FilePart):
        return answer.body.response(answer.status, answer.headers)
    return Response(answer.body, answer.status, answer.headers)


def retry_after(fault: Fault) -> dict[str, str]:
    """`Retry-After` as the fault wants it: seconds, an HTTP date, or nothing."""
    if "retry_after" not in fault.options:
        return {}
    seconds = fault.number("retry_after", 1)
    if fault.text("retry_after_form") == "date":
        return {"retry-after": formatdate(time.time() + seconds, usegmt=True)}
    return {"retry-after": f"{seconds:g}"}
