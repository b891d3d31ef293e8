"""Rows of `carrier_cells`, and the cuts that are read from them. SQL only; counts, no number of anybody's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd
import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.rows import dict_row

from lead_intel.record.copying import copy_in, copy_out

Cut = Literal["upload", "supplier", "day", "week", "state", "line_type", "brand", "carrier"]

_UNKNOWN = sql.SQL("coalesce(sum(numbers) filter (where line_type = 'unknown'), 0)")
_ANSWERS = {"phone": pa.int64(), "answered_on": pa.string(), "mcc": pa.string(), "mnc": pa.string()}
_BLOCK = 100_000


def stored_answers(connection: psycopg.Connection, phones: Sequence[int], package: str) -> pd.DataFrame:
    """Day (UTC) and network of the stored answers about `phones`: phone, answered_on, mcc, mnc; blank for none."""
    query = (
        "select phone, (answered_at at time zone 'utc')::date::text, coalesce(mobile_country_code, ''), "
        "coalesce(mobile_network_code, '') from lead_intel.phone_lookups "
        "where package = %(package)s and phone = any(%(phones)s)"
    )
    parts = [
        copy_out(connection, query, {"package": package, "phones": list(phones[start : start + _BLOCK])}, _ANSWERS)
        for start in range(0, max(len(phones), 1), _BLOCK)
    ]
    return pd.concat(parts, ignore_index=True)


def replace_cells(connection: psycopg.Connection, upload: str, cells: pd.DataFrame) -> None:
    """Put `cells` (as in `contract.CarrierCells`) in the place of the upload's earlier ones."""
    with connection.transaction():
        # Two screenings of one upload would otherwise both find nothing to delete.
        connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 7))", (f"carriers {upload}",))
        connection.execute("delete from lead_intel.carrier_cells where upload = %s", (upload,))
        days = cells["answered_on"].replace("", None)
        copy_in(connection, ("lead_intel", "carrier_cells"), cells.assign(upload=upload, answered_on=days))


def cut(connection: psycopg.Connection, by: Cut, upload: str | None = None) -> list[dict[str, Any]]:
    """Numbers of `upload` (None: of all) by `by`, largest first, with the share of unknown line types in each.

    `unknown_low` and `unknown_high` bound that share (Wilson, 95 %).
    """
    query = sql.SQL(
        "select {by} as key, sum(numbers)::bigint as numbers, "
        "(sum(numbers) / sum(sum(numbers)) over ())::float8 as share, {unknown}::bigint as unknown, "
        "({unknown} / sum(numbers))::float8 as unknown_share, "
        "(lead_intel.wilson({unknown}, sum(numbers)))[1] as unknown_low, "
        "(lead_intel.wilson({unknown}, sum(numbers)))[2] as unknown_high "
        "from lead_intel.carrier_numbers where %(upload)s::text is null or upload = %(upload)s "
        "group by {by} order by 2 desc, 1"
    ).format(by=sql.Identifier(by), unknown=_UNKNOWN)
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, {"upload": upload}).fetchall()
