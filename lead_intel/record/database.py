"""Connections to the system of record and its migrations. SQL of one table family lives in its own module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from lead_intel.errors import SetupError, TransientError
from lead_intel.settings import REPOSITORY, Settings

MIGRATIONS = REPOSITORY / "deploy" / "supabase" / "migrations"

Connection = psycopg.Connection[tuple[object, ...]]

_TRANSACTION_POOLER_PORT = 6543
_POOL_SECONDS = 3.0


@contextmanager
def connected(settings: Settings) -> Iterator[psycopg.Connection]:
    """An autocommit connection; use `connection.transaction()` for several statements.

    Raises:
        TransientError: the database does not answer.
    """
    connection = connect(settings)
    try:
        yield connection
    finally:
        connection.close()


def connect(settings: Settings) -> psycopg.Connection:
    """Like `connected`, for callers that own the connection's life."""
    url = settings.database_url.get_secret_value()
    try:
        return psycopg.connect(url, **_options(url))
    except psycopg.ProgrammingError:
        raise SetupError(
            "database_url", "DATABASE_URL is not a PostgreSQL URL.", "See DATABASE_URL in .env.example."
        ) from None
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no answer"
        raise TransientError(
            "database_down", f"PostgreSQL does not answer: {reason}.", "Check DATABASE_URL and the server."
        ) from None


def pool(settings: Settings, at_most: int) -> ConnectionPool:
    """Connections like `connect`'s, kept open for a server, which opens and closes the pool."""
    url = settings.database_url.get_secret_value()
    return ConnectionPool(
        url,
        kwargs=_options(url),
        min_size=1,
        max_size=at_most,
        timeout=_POOL_SECONDS,
        check=ConnectionPool.check_connection,
        open=False,
    )


def _options(url: str) -> dict[str, Any]:
    info = psycopg.conninfo.conninfo_to_dict(url)
    # Named prepared statements and session settings do not survive Supabase's transaction pooler.
    pooled = str(info.get("port", "")) == str(_TRANSACTION_POOLER_PORT)
    return {
        "autocommit": True,
        "connect_timeout": 10,
        "application_name": "lead-intel",
        "prepare_threshold": None if pooled else 5,
    }


def now(connection: psycopg.Connection) -> datetime:
    """The database's clock, which is the only one that every process shares."""
    row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101  # the statement always yields one row
    return row[0]  # type: ignore[no-any-return]


def migrate(connection: psycopg.Connection, folder: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing, each file in one transaction, and return the versions applied.

    Records them as the Supabase CLI does, so that `supabase db push` and this agree.
    """
    applied: list[str] = []
    with connection.transaction():
        # Two starters at once: one waits for the other.
        connection.execute("select pg_advisory_xact_lock(hashtext('lead_intel.migrate'))")
        connection.execute("create schema if not exists supabase_migrations")
        connection.execute(
            "create table if not exists supabase_migrations.schema_migrations "
            "(version text primary key, statements text[], name text)"
        )
        connection.execute("create schema if not exists dagster")
        known = {
            row[0] for row in connection.execute("select version from supabase_migrations.schema_migrations").fetchall()
        }
        for path in sorted(folder.glob("*.sql")):
            version, _, name = path.stem.partition("_")
            if version in known:
                continue
            statements = path.read_text(encoding="utf-8")
            connection.execute(statements)
            connection.execute(
                "insert into supabase_migrations.schema_migrations (version, statements, name) values (%s, %s, %s)",
                (version, [statements], name),
            )
            applied.append(version)
    return applied
