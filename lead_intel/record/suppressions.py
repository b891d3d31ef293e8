"""Rows of `suppressions`: our own do-not-contact list, as keyed digests. It never expires (fact sheet, section 5).

HMAC-SHA256 under LEAD_INTEL_IDENTITY_KEY of the E.164 digits or the lower-case e-mail: who holds the table alone cannot
find out who is on it, while a later upload is still recognised.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

import numpy as np
import pandas as pd
import psycopg
from pydantic import SecretStr


def phone_digest(key: SecretStr, phone: int) -> bytes:
    """The digest of E.164 digits."""
    return hmac.digest(key.get_secret_value().encode(), f"phone:{phone}".encode(), "sha256")


def email_digest(key: SecretStr, email: str) -> bytes:
    """The digest of an e-mail address, without regard to case."""
    return hmac.digest(key.get_secret_value().encode(), f"email:{email.strip().lower()}".encode(), "sha256")


def add_phone(connection: psycopg.Connection, key: SecretStr, phone: int, reason: str, channel: str) -> bool:
    """Suppress a number from now on; False when it was suppressed before."""
    return _add(connection, "phone", phone_digest(key, phone), reason, channel)


def add_email(connection: psycopg.Connection, key: SecretStr, email: str, reason: str, channel: str) -> bool:
    """Suppress an address from now on; False when it was suppressed before."""
    return _add(connection, "email", email_digest(key, email), reason, channel)


def suppressed_phones(connection: psycopg.Connection, key: SecretStr, phones: pd.Series) -> pd.Series:
    """For each number (E.164 digits), whether it is suppressed; same index."""
    known = _digests(connection, "phone")
    if not known:
        return pd.Series(np.zeros(len(phones), dtype=bool), index=phones.index)
    distinct = phones.drop_duplicates()
    listed = [phone for phone in distinct.tolist() if phone_digest(key, phone) in known]
    return phones.isin(listed)


def suppressed_emails(connection: psycopg.Connection, key: SecretStr, emails: pd.Series) -> pd.Series:
    """For each address, whether it is suppressed; a blank one never is. Same index."""
    known = _digests(connection, "email")
    if not known:
        return pd.Series(np.zeros(len(emails), dtype=bool), index=emails.index)
    distinct = emails[emails != ""].drop_duplicates()
    listed = [email for email in distinct.tolist() if email_digest(key, email) in known]
    return emails.isin(listed)


def suppressed_people(connection: psycopg.Connection, key: SecretStr, people: pd.DataFrame) -> pd.Series:
    """For each row of `people` (phone, email), whether either is suppressed; same index."""
    by_phone = suppressed_phones(connection, key, people["phone"])
    return by_phone | suppressed_emails(connection, key, people["email"])


def suppressed_digests(connection: psycopg.Connection, kind: str, digests: Iterable[bytes]) -> set[bytes]:
    """Those of `digests` that are suppressed, asked of the database now."""
    rows = connection.execute(
        "select digest from lead_intel.suppressions where kind = %s and digest = any(%s)", (kind, list(digests))
    ).fetchall()
    return {bytes(row[0]) for row in rows}


def count(connection: psycopg.Connection) -> int:
    """How many digests the list holds."""
    row = connection.execute("select count(*) from lead_intel.suppressions").fetchone()
    return int(row[0]) if row else 0


def _add(connection: psycopg.Connection, kind: str, digest: bytes, reason: str, channel: str) -> bool:
    row = connection.execute(
        "insert into lead_intel.suppressions (kind, digest, reason, channel) values (%s, %s, %s, %s) "
        "on conflict do nothing returning kind",
        (kind, digest, reason, channel),
    ).fetchone()
    return row is not None


def _digests(connection: psycopg.Connection, kind: str) -> set[bytes]:
    rows = connection.execute("select digest from lead_intel.suppressions where kind = %s", (kind,)).fetchall()
    return {bytes(row[0]) for row in rows}
