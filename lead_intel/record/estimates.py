"""Rows of `sample_estimates`: what an upload's enriched sample says about its whole list. SQL only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa

from lead_intel.record.copying import copy_out


def store(connection: psycopg.Connection, upload: str, estimate: Mapping[str, Any]) -> None:
    """Put `estimate` in the place of the upload's earlier one."""
    connection.execute(
        "insert into lead_intel.sample_estimates as kept (upload, estimate) values (%s, %s) "
        "on conflict (upload) do update set estimate = excluded.estimate, made_at = excluded.made_at",
        (upload, json.dumps(estimate, default=_money)),
    )


def find(connection: psycopg.Connection, upload: str) -> dict[str, Any] | None:
    """The object `estimate` of `status --json`, or None before any sample was enriched."""
    row = connection.execute("select estimate from lead_intel.sample_estimates where upload = %s", (upload,)).fetchone()
    return None if row is None else dict(row[0])


def free_answers(connection: psycopg.Connection, upload: str) -> pd.DataFrame:
    """Answers about the upload's sampled leads that the vendor did not charge: lead_id, vendor."""
    return copy_out(
        connection,
        "select answer.lead_id, answer.vendor from lead_intel.enrichments answer "
        "join lead_intel.vendor_calls call using (call_id) join lead_intel.lead_samples sample using (lead_id) "
        "where sample.upload = %(upload)s and call.billed = 'no'",
        {"upload": upload},
        {"lead_id": pa.string(), "vendor": pa.string()},
    )


def _money(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    msg = f"{type(value).__name__} has no JSON form"
    raise TypeError(msg)
