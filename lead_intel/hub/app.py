"""The Starlette application: routes, security headers, and what a visitor sees while something is not up yet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.websockets import WebSocket

from lead_intel.errors import LeadIntelError
from lead_intel.hub import api as ingestion
from lead_intel.hub.dagster_gate import DagsterGate, Unreachable
from lead_intel.hub.doors import Doors
from lead_intel.hub.forecasting import tell_forecast
from lead_intel.hub.status import Status, read_status
from lead_intel.settings import load_settings

_HERE = Path(__file__).parent
_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
_RETRY_SECONDS = "3"

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""On every page of ours; Dagster's own answers keep their own."""


def create_app(dagster_url: str | None = None) -> Starlette:
    """The hub. Without `dagster_url`, /dagster says that the web UI is not running."""
    gate = DagsterGate(dagster_url) if dagster_url else None
    hub = Hub(gate)
    api = ingestion.Api()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        if gate is not None:
            await gate.open()
        async with api.serving():
            yield
        if gate is not None:
            await gate.close()

    return Starlette(
        routes=[
            Route("/", hub.status_page),
            Route("/healthz", hub.health),
            Route("/forecast/{upload}", tell_forecast),
            *api.routes,
            Route("/dagster", hub.to_dagster_home),
            Route("/dagster/{path:path}", hub.dagster, methods=_METHODS),
            WebSocketRoute("/dagster/{path:path}", hub.dagster_socket),
            Mount("/static", StaticFiles(directory=_HERE / "static"), name="static"),
        ],
        middleware=[Middleware(Doors, keyed=ingestion.PREFIX)],
        lifespan=lifespan,
    )


class Hub:
    """The endpoints."""

    def __init__(self, gate: DagsterGate | None) -> None:
        self._gate = gate
        self._templates = Jinja2Templates(directory=_HERE / "templates")

    async def status_page(self, request: Request) -> Response:
        """The uploads and the checks, or one sentence why they cannot be shown."""
        try:
            status: Status = await run_in_threadpool(lambda: read_status(load_settings()))
        except LeadIntelError as error:
            context = {"title": "Not ready", "message": error.message, "remedy": error.remedy}
            return self._page(request, "wait.html", context, 503)
        return self._page(request, "status.html", {"status": status, "dagster": self._gate is not None})

    async def health(self, _request: Request) -> Response:
        """Alive, whatever the database and Dagster do."""
        return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})

    async def to_dagster_home(self, _request: Request) -> Response:
        """`/dagster` alone."""
        return RedirectResponse("/dagster/")

    async def dagster(self, request: Request) -> Response:
        """Dagster's answer, or a page that says to wait and looks again."""
        try:
            if self._gate is not None:
                return await self._gate.pass_on(request)
        except Unreachable:
            pass
        context = {
            "title": "Dagster is not up yet",
            "message": "Its web UI starts some seconds after this page.",
            "remedy": "This page looks again by itself. `lead-intel up` starts everything.",
        }
        return self._page(request, "wait.html", context, 503)

    async def dagster_socket(self, socket: WebSocket) -> None:
        """GraphQL subscriptions of Dagster's web UI."""
        if self._gate is None:
            await socket.close()
            return
        await self._gate.join(socket)

    def _page(self, request: Request, template: str, context: Mapping[str, object], status: int = 200) -> Response:
        headers = dict(SECURITY_HEADERS)
        if status == 503:
            headers["retry-after"] = _RETRY_SECONDS
        return self._templates.TemplateResponse(request, template, dict(context), status_code=status, headers=headers)
