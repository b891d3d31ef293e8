"""JSON Web Tokens (HS256), as Supabase issues them: API keys with a role, and signed URLs. No keys live here."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any


class BadToken(Exception):
    """A token that is malformed, signed by somebody else, or expired (`expired` tells which)."""

    def __init__(self, message: str, *, expired: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.expired = expired


def signed(claims: Mapping[str, Any], secret: str) -> str:
    """A compact HS256 token of `claims`."""
    head = _encoded(json.dumps({"alg": "HS256", "typ": "JWT"}, separators=(",", ":")).encode())
    body = _encoded(json.dumps(claims, separators=(",", ":")).encode())
    return f"{head}.{body}.{_signature(f'{head}.{body}', secret)}"


def claims_of(token: str, secret: str) -> dict[str, Any]:
    """The claims of `token`.

    Raises:
        BadToken: not a token, not signed with `secret`, or past its `exp`.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise BadToken("Invalid Compact JWS")
    if not hmac.compare_digest(_signature(f"{parts[0]}.{parts[1]}", secret), parts[2]):
        raise BadToken("signature verification failed")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        raise BadToken("Invalid Compact JWS") from None
    if not isinstance(claims, dict):
        raise BadToken("Invalid Compact JWS")
    if "exp" in claims and float(claims["exp"]) < time.time():
        raise BadToken('"exp" claim timestamp check failed', expired=True)
    return claims


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _signature(text: str, secret: str) -> str:
    return _encoded(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())
