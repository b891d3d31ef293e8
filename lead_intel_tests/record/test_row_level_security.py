"""Every table of ours denies by default: read from the catalogue, so a new table without it fails here."""

from __future__ import annotations

import psycopg
import pytest


def test_every_table_has_row_level_security(database: psycopg.Connection) -> None:
    rows = database.execute(
        "select relname, relrowsecurity from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname = 'lead_intel' and c.relkind in ('r', 'p')"
    ).fetchall()

    assert len(rows) > 20
    assert [name for name, secured in rows if not secured] == []


def test_no_policy_grants_anything(database: psycopg.Connection) -> None:
    assert database.execute("select * from pg_policies where schemaname = 'lead_intel'").fetchall() == []


def test_a_role_with_every_grant_still_sees_no_row(database: psycopg.Connection) -> None:
    database.execute(
        "insert into lead_intel.leads (lead_id, phone, first_upload) values (gen_random_uuid(), 12125550100, 'x')"
    )
    with database.transaction(force_rollback=True):
        database.execute("create role curious nologin")
        database.execute("grant curious to current_user")
        database.execute("grant usage on schema lead_intel to curious")
        database.execute("grant all on all tables in schema lead_intel to curious")
        database.execute("set local role curious")

        assert database.execute("select count(*) from lead_intel.leads").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute(
                "insert into lead_intel.leads (lead_id, phone, first_upload) "
                "values (gen_random_uuid(), 12125550101, 'x')"
            )


def test_views_run_with_the_rights_of_whoever_asks(database: psycopg.Connection) -> None:
    views = database.execute(
        "select relname, coalesce(reloptions, '{}') from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname = 'lead_intel' and c.relkind = 'v'"
    ).fetchall()

    assert [name for name, options in views if "security_invoker=true" not in options] == []
