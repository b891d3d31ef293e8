"""`GET /forecast/{upload}?sample=P`: what a sample would cost, as `lead-intel forecast --json`. Reads only."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from lead_intel.enrichment.forecast import forecast
from lead_intel.errors import LeadIntelError, UsageError
from lead_intel.json_text import json_text
from lead_intel.policy import load_policy
from lead_intel.record.database import connected
from lead_intel.settings import load_settings

_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


async def tell_forecast(request: Request) -> Response:
    """The forecast, or `{"error": ...}`: 400 for the percent, 404 for the upload, 503 while something is missing."""
    percent = _percent(request.query_params.get("sample", ""))
    if percent is None:
        error = UsageError("percent_invalid", "`sample` is a percent from 0 to 100.", "For example ?sample=25.")
        return _answer({"error": error.as_json()}, 400)
    try:
        told = await run_in_threadpool(_told, request.path_params["upload"], percent)
    except LeadIntelError as error:
        return _answer({"error": error.as_json()}, 404 if isinstance(error, UsageError) else 503)
    return _answer(told, 200)


def _told(upload: str, percent: Decimal) -> dict[str, object]:
    settings = load_settings()
    with connected(settings) as connection:
        return forecast(connection, settings, load_policy(settings.lead_intel_policy_dir), upload, percent)


def _percent(text: str) -> Decimal | None:
    try:
        percent = Decimal(text)
    except InvalidOperation:
        return None
    return percent if percent.is_finite() and 0 <= percent <= 100 else None


def _answer(content: dict[str, object], status: int) -> Response:
    return Response(json_text(content), status, _HEADERS, media_type="application/json")
