"""Migrations apply once, by whoever starts first, and agree with the Supabase CLI's own book-keeping."""

from __future__ import annotations

import threading

import psycopg

from lead_intel.record.database import MIGRATIONS, connect, migrate
from lead_intel.settings import Settings


def test_migrating_again_applies_nothing(database: psycopg.Connection) -> None:
    assert migrate(database) == []
    applied = database.execute("select version from supabase_migrations.schema_migrations").fetchall()
    assert [version for (version,) in applied] == [path.stem.split("_")[0] for path in sorted(MIGRATIONS.glob("*.sql"))]


def test_two_starters_at_once_apply_each_migration_once(database: psycopg.Connection, settings: Settings) -> None:
    database.execute("drop schema lead_intel cascade")
    database.execute("drop schema supabase_migrations cascade")
    results: list[list[str]] = []

    def start() -> None:
        connection = connect(settings)
        results.append(migrate(connection))
        connection.close()

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(len(applied) for applied in results) == [0, len(list(MIGRATIONS.glob("*.sql")))]
