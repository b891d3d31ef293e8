"""Rows of `vendor_rounds`: who calls a vendor's account right now, in whatever process.

Every round divides the account's pace by the rounds it sees here. Rows, not locks: a row of a process that died ages
by itself, and rows work behind a transaction pooler. A round that cannot write its row cannot record its calls either.
"""

from __future__ import annotations

from uuid import UUID

import psycopg

LOOK_SECONDS = 1.0
"""How often a round shows itself and counts the others."""

_ALIVE_SECONDS = 5.0
_KEPT_SECONDS = 60.0


def share(connection: psycopg.Connection, vendor: str, round_id: UUID) -> int:
    """Show that `round_id` calls `vendor`; returns how many rounds do, this one included."""
    connection.execute(
        "insert into lead_intel.vendor_rounds (round_id, vendor) values (%s, %s) "
        "on conflict (round_id) do update set seen_at = clock_timestamp()",
        (round_id, vendor),
    )
    row = connection.execute(
        "select count(*) from lead_intel.vendor_rounds where vendor = %s and (round_id = %s "
        "or seen_at > clock_timestamp() - make_interval(secs => %s))",
        (vendor, round_id, _ALIVE_SECONDS),
    ).fetchone()
    return max(1, int(row[0])) if row else 1


def leave(connection: psycopg.Connection, round_id: UUID) -> None:
    """The round is over; rows that dead processes left long ago go with it."""
    connection.execute(
        "delete from lead_intel.vendor_rounds where round_id = %s "
        "or seen_at < clock_timestamp() - make_interval(secs => %s)",
        (round_id, _KEPT_SECONDS),
    )
