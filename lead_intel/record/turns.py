"""Whose turn it is to move an upload: a lock in PostgreSQL that ends with the session that took it."""

from __future__ import annotations

import psycopg

_MOVES = 0x4C49  # the class of our advisory locks, apart from those of others in the same database


def take(connection: psycopg.Connection, upload: str) -> bool:
    """Take the turn to move `upload`; False while another session has it."""
    row = connection.execute("select pg_try_advisory_lock(%s, hashtext(%s))", (_MOVES, upload)).fetchone()
    return row is not None and bool(row[0])


def give_back(connection: psycopg.Connection, upload: str) -> None:
    """End the turn. On a connection that broke it has ended already."""
    if not connection.broken and not connection.closed:
        connection.execute("select pg_advisory_unlock(%s, hashtext(%s))", (_MOVES, upload))
