"""Keys of the ingestion API: one supplier's right to post leads. A key is shown once; only its digest is kept.

A key is `li_<key id>_<256 random bits>`. The id finds the row and may be shown; a digest without salt or stretching is
enough for what cannot be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from lead_intel.errors import UsageError

_FORM = re.compile(r"li_([0-9a-z]{10})_[A-Za-z0-9_-]{43}")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it may be shown; `valid`: neither revoked nor expired, by the database's clock."""

    key_id: str
    supplier: str
    name: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    valid: bool


_COLUMNS = (
    "key_id, supplier, name, created_by, created_at, expires_at, revoked_at, "
    "revoked_at is null and expires_at > clock_timestamp() as valid"
)


def create(connection: psycopg.Connection, supplier: str, name: str, days: float, by: str) -> tuple[ApiKey, str]:
    """A new key, valid for `days`, and its text: the only time that anybody sees it."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(10))
    text = f"li_{key_id}_{secrets.token_urlsafe(32)}"
    with connection.cursor(row_factory=class_row(ApiKey)) as cursor:
        key = cursor.execute(
            "insert into lead_intel.api_keys (key_id, supplier, name, digest, created_by, expires_at) values "  # noqa: S608
            f"(%s, %s, %s, %s, %s, now() + make_interval(secs => %s)) returning {_COLUMNS}",
            (key_id, supplier, name, _digest(text), by, days * 86_400),
        ).fetchone()
    assert key is not None  # noqa: S101  # the insert returns its row
    return key, text


def owner_of(connection: psycopg.Connection, text: str) -> ApiKey | None:
    """The key whose text this is, valid or not; None for anything else."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    row = connection.execute(
        f"select digest, {_COLUMNS} from lead_intel.api_keys where key_id = %s",  # noqa: S608  # our own names
        (found[1],),
    ).fetchone()
    same = hmac.compare_digest(_digest(text), _NO_DIGEST if row is None else bytes(row[0]))
    return ApiKey(*row[1:]) if row is not None and same else None


def all_keys(connection: psycopg.Connection, supplier: str | None = None) -> list[ApiKey]:
    """Every key, or every key of `supplier`, newest first."""
    with connection.cursor(row_factory=class_row(ApiKey)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from lead_intel.api_keys "  # noqa: S608  # our own names
            "where %(supplier)s::text is null or supplier = %(supplier)s order by created_at desc, key_id",
            {"supplier": supplier},
        ).fetchall()


def revoke(connection: psycopg.Connection, key_id: str) -> ApiKey:
    """End a key now, for ever; revoking it again changes nothing.

    Raises:
        UsageError: there is no such key.
    """
    with connection.cursor(row_factory=class_row(ApiKey)) as cursor:
        key = cursor.execute(
            "update lead_intel.api_keys set revoked_at = coalesce(revoked_at, now()) where key_id = %s "  # noqa: S608
            f"returning {_COLUMNS}",
            (key_id,),
        ).fetchone()
    if key is None:
        raise UsageError("key_unknown", f"There is no key {key_id[:20]!r}.", "`lead-intel keys list` lists them.")
    return key


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
