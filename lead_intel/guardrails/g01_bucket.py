"""Guardrail 1: the storage bucket exists, is private, takes lists, and is reached with the right key.

The bucket itself is asked for each time: a *list* of a bucket that does not exist is an empty list with status 200.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from lead_intel.calls.ports import Reply, Request
from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.result import Finding, Guardrail, failed, passed, unverifiable
from lead_intel.guardrails.wire import ask
from lead_intel.settings import Settings

_CSV = "text/csv"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_SERVICE_ROLE = "service_role"


def examine(inputs: Inputs) -> Finding:
    """Ask the bucket, then judge the key's role: a weak key sees every bucket as empty."""
    settings, name = inputs.settings, inputs.settings.lead_intel_bucket
    reply = ask(settings, _bucket_request(settings))
    if reply is None:
        return unverifiable("Storage does not answer.", "Check SUPABASE_URL and the storage service.")
    if _is_missing(reply):
        return failed(
            f"The bucket {name!r} does not exist, or the key may not see it.",
            "Create the bucket (private, with a size limit), or set LEAD_INTEL_BUCKET.",
        )
    if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or _body_status(reply) in ("401", "403"):
        return failed("Storage refuses the key.", "Set SUPABASE_SERVICE_KEY to the project's service-role key.")
    if reply.status != HTTPStatus.OK or not isinstance(reply.body, Mapping):
        return unverifiable(f"Storage answered {reply.status} to a question about the bucket.", "Try again later.")
    return _judge(name, reply.body, _role_of(settings.supabase_service_key.get_secret_value()))


def _judge(name: str, bucket: Mapping[str, Any], role: str | None) -> Finding:
    limit, types = bucket.get("file_size_limit"), bucket.get("allowed_mime_types")
    figures: dict[str, float | str] = {
        "public": str(bool(bucket.get("public"))),
        "size_limit_bytes": limit if isinstance(limit, int) else 0,
        "mime_types": len(types) if isinstance(types, list) else 0,
        "key_role": role or "unknown",
    }
    if bucket.get("public") is not False:
        return failed(
            f"The bucket {name!r} is public: anyone could read the lists.",
            "Make it private (Storage > Edit bucket > Public off).",
            figures,
        )
    if not isinstance(limit, int) or limit <= 0:
        return failed(
            f"The bucket {name!r} has no size limit.",
            "Set its file size limit to the largest list you expect.",
            figures,
        )
    refused = [label for label, mime in (("CSV", _CSV), ("XLSX", _XLSX)) if not _admits(types, mime)]
    if refused:
        return failed(
            f"The bucket {name!r} refuses {' and '.join(refused)} files by their MIME type.",
            f"Add {_CSV} and {_XLSX} to its allowed MIME types (and application/vnd.ms-excel, which browsers send).",
            figures,
        )
    if role is None:
        return unverifiable(
            "The key's form does not tell its role.", "Use the service-role JWT, or an sb_secret_ key.", figures
        )
    if role != _SERVICE_ROLE:
        return failed(
            f"The key has the role {role!r}, which sees an empty bucket.",
            "Set SUPABASE_SERVICE_KEY to the project's service-role key.",
            figures,
        )
    return passed(
        f"The bucket {name!r} is private, takes CSV and XLSX up to {limit:,} bytes; the key is the service role.",
        figures,
    )


def _bucket_request(settings: Settings) -> Request:
    key = settings.supabase_service_key.get_secret_value()
    return Request(
        "GET",
        f"{settings.supabase_url.rstrip('/')}/storage/v1/bucket/{quote(settings.lead_intel_bucket, safe='')}",
        headers={"apikey": key, "Authorization": f"Bearer {key}"},
    )


def _body_status(reply: Reply) -> str:
    return str(reply.body.get("statusCode", "")) if isinstance(reply.body, Mapping) else ""


def _is_missing(reply: Reply) -> bool:
    """Storage says 400 for nearly every client error; the real status stands in the body, as text."""
    return reply.status == HTTPStatus.NOT_FOUND or _body_status(reply) == "404"


def _admits(types: Any, mime: str) -> bool:
    return not isinstance(types, list) or any(fnmatchcase(mime, str(pattern)) for pattern in types)


def _role_of(key: str) -> str | None:
    """`sb_secret_` and `sb_publishable_` say it by prefix, a JWT by its claim (read, not trusted: Storage verifies)."""
    if key.startswith("sb_secret_"):
        return _SERVICE_ROLE
    if key.startswith("sb_publishable_"):
        return "anon"
    parts = key.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    role = claims.get("role") if isinstance(claims, dict) else None
    return str(role) if role else None


GUARDRAIL = Guardrail(
    number=1,
    name="bucket",
    title="Storage bucket",
    blocks="Uploads are refused and the sensor waits.",
    rule_version="2026-11-24",
    about_upload=False,
    examine=examine,
)
