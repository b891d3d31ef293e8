"""How the ingestion API refuses: problem+json (RFC 9457), one sentence, never a value that somebody sent."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse

API_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
"""On every answer of the API."""


class Problem(Exception):
    """An answer that refuses; `code` is stable, `detail` is for people."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer."""
        content = {
            "type": f"urn:lead-intel:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        return JSONResponse(
            content, self.status, {**API_HEADERS, **self.headers}, media_type="application/problem+json"
        )
