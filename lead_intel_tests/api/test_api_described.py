"""What docs/ say about the ingestion API is so: the curl commands run, and openapi.yml describes every answer."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any

import httpx
import psycopg
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from lead_intel.hub.api import Api
from lead_intel.settings import REPOSITORY

PAGE = REPOSITORY / "docs" / "ingestion-api.md"
DESCRIPTION = REPOSITORY / "docs" / "openapi.yml"


def test_the_curl_commands_of_the_page_run(acme: Any, database: psycopg.Connection) -> None:
    commands = re.findall(r"^    (curl .*)$", PAGE.read_text(), re.M)
    assert len(commands) == 3
    environment = {**os.environ, "KEY": acme.key, "LEAD_INTEL_API_URL": f"{acme.url}/v1/leads"}
    answers = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command.replace("curl ", "curl -sS --fail-with-body ", 1)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        answers.append(json.loads(done.stdout))
    assert [answer["rows"] for answer in answers] == [1, 2, 3]
    assert answers[1]["missing"] == ["email"]
    assert answers[2]["open_upload"]["rows"] == 3


def test_the_page_names_every_refusal_there_is() -> None:
    source = "".join(path.read_text() for path in (REPOSITORY / "lead_intel" / "hub").glob("api*.py"))
    source += (REPOSITORY / "lead_intel" / "record" / "api_uploads.py").read_text()
    found = re.findall(r'(?:Problem|RefusedBody)\(\s*(\d{3}), "([a-z_0-9]+)"', source)
    named = PAGE.read_text()
    assert len(found) > 15
    assert [code for _, code in found if code not in named and code not in ("unforeseen", "not_found")] == [
        "upload_unknown"
    ]


def the_description() -> OpenAPI:
    problem_json = {"application/problem+json": json.loads}
    return OpenAPI.from_file_path(str(DESCRIPTION), config=Config(extra_media_type_deserializers=problem_json))


def described(openapi: OpenAPI, reply: httpx.Response, *, valid_request: bool = True) -> None:
    """Raise unless openapi.yml describes this exchange."""
    sent = reply.request
    path = sent.url.path
    request = MockRequest(
        "http://localhost",
        sent.method.lower(),
        path,
        headers=dict(sent.headers),
        data=sent.content or None,
        content_type=sent.headers.get("content-type", "application/json"),
    )
    if valid_request:
        openapi.validate_request(request)
    response = MockResponse(
        reply.content,
        status_code=reply.status_code,
        headers=dict(reply.headers),
        content_type=reply.headers["content-type"],
    )
    openapi.validate_response(request, response)


def test_requests_and_answers_are_those_of_the_description(acme: Any, make_lead: Any) -> None:
    openapi = the_description()
    taken = acme.post([make_lead(1), {"phone": 2125550123, "x": {"y": [1]}}], idempotency_key="one")
    described(openapi, taken)
    described(openapi, acme.post([{"phone": "1"}, {"email": None, "z": "1"}]))
    described(openapi, acme.get(taken.json()["status"]))
    described(openapi, acme.get("/v1/leads/status"))
    for refused in (
        acme.post(b"["),
        acme.post([make_lead()], authorization="Bearer x"),
        acme.post([make_lead(2)], idempotency_key="one"),
        acme.post(b" " * 8_388_609),
        acme.post([make_lead()], content_encoding="gzip"),
        acme.get("/v1/uploads/upl_20260101_0000000000"),
    ):
        assert refused.status_code >= 400
        described(openapi, refused, valid_request=False)


def test_every_route_is_described() -> None:
    openapi = the_description()
    with (openapi.spec / "paths").open() as paths:
        listed = set(paths)
    assert {route.path for route in Api().routes} - listed == {"/v1/{path:path}"}
