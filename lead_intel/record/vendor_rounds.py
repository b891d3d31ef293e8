"""Rows of `vendor_rounds` and `vendor_turns`: who calls a vendor's account right now, in whatever process.

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


def take_turn(connection: psycopg.Connection, vendor: str, per_second: float, not_before: float) -> float:
    """Seconds until a round that begins may make its first call: not before `not_before`, nor together with others.

    Dividing the pace does not help against many rounds of one call each; their first calls keep the pace like this.
    """
    between = 1 / per_second
    row = connection.execute(
        "insert into lead_intel.vendor_turns as turn (vendor, next_at) "
        "values (%(vendor)s, clock_timestamp() + make_interval(secs => %(first)s)) "
        "on conflict (vendor) do update set next_at = make_interval(secs => %(between)s) "
        "+ greatest(turn.next_at, clock_timestamp() + make_interval(secs => %(not_before)s)) "
        "returning extract(epoch from next_at - clock_timestamp())",
        {"vendor": vendor, "first": not_before + between, "between": between, "not_before": not_before},
    ).fetchone()
    assert row is not None  # noqa: S101  # the statement always yields one row
    return max(0.0, float(row[0]) - between)


def leave(connection: psycopg.Connection, round_id: UUID) -> None:
    """The round is over; rows that dead processes left long ago go with it."""
    connection.execute(
        "delete from lead_intel.vendor_rounds where round_id = %s "
        "or seen_at < clock_timestamp() - make_interval(secs => %s)",
        (round_id, _KEPT_SECONDS),
    )
