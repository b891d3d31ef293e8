"""What Storage and Realtime share: the role behind a key, and Storage's error bodies."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import Headers

from lead_intel.sandbox import settings
from lead_intel.sandbox.service import Answer, Refused, as_json
from lead_intel.sandbox.tokens import BadToken, claims_of

SERVICE_ROLE = "service_role"

_PROBLEMS: dict[str, tuple[int, str, str]] = {
    "NoSuchBucket": (404, "Bucket not found", "Bucket not found"),
    "NoSuchKey": (404, "not_found", "Object not found"),
    "KeyAlreadyExists": (409, "Duplicate", "The resource already exists"),
    "BucketAlreadyExists": (409, "Duplicate", "The resource already exists"),
    "ResourceNotEmpty": (409, "ResourceNotEmpty", "The bucket you tried to delete is not empty"),
    "InvalidBucketName": (400, "Invalid Input", "Bucket name invalid"),
    "InvalidKey": (400, "InvalidKey", "Invalid key"),
    "InvalidMimeType": (415, "invalid_mime_type", "mime type is not supported"),
    "InvalidRange": (400, "invalid_range", "invalid range provided"),
    "InvalidRequest": (400, "InvalidRequest", "Invalid Request"),
    "InvalidParameter": (400, "Error", "Invalid Parameter"),
    "InvalidJWT": (400, "InvalidJWT", "Invalid JWT"),
    "InvalidSignature": (400, "InvalidSignature", "Invalid signature"),
    "EntityTooLarge": (413, "Payload too large", "The object exceeded the maximum allowed size"),
    "AccessDenied": (403, "Unauthorized", "new row violates row-level security policy"),
    "SlowDown": (429, "too_many_connections", "Too many connections issued to the database"),
    "DatabaseTimeout": (544, "DatabaseTimeout", "The connection to the database timed out"),
    "InternalError": (500, "Internal", "Internal Server Error"),
}
_OWN_STATUS = {"SlowDown": 429, "DatabaseTimeout": 544, "InternalError": 500}


def problem(code: str, message: str | None = None) -> Answer:
    """An error of Storage: HTTP 400 for nearly everything, the real status as text in the body."""
    status, error, text = _PROBLEMS[code]
    body = {"statusCode": str(status), "error": error, "message": message or text, "code": code}
    return as_json(body, _OWN_STATUS.get(code, 400))


def refused(code: str, message: str | None = None) -> Refused:
    """The same, to be raised."""
    return Refused(problem(code, message))


def role_of(token: str) -> str:
    """The role in a key.

    Raises:
        BadToken: when the project did not issue it.
    """
    claims: dict[str, Any] = claims_of(token, settings.JWT_SECRET)
    return str(claims.get("role", "anon"))


def storage_role(headers: Headers, *, required: bool) -> str | None:
    """The caller's role; None for a caller without a valid token where none is required."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""
    try:
        return role_of(token)
    except BadToken as error:
        if required:
            raise refused("AccessDenied", error.message) from None
        return None
