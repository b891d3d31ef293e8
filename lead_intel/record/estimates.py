"""Rows of `sample_estimates`: what an upload's enriched sample says about its whole list. SQL only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa

from lead_intel.record.copying import copy_out
from lead_intel.record.vendor_calls import ANSWERS

_BLOCK = 50_000


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


def billed_subjects(
    connection: psycopg.Connection, upload: str, vendor: str, package: str, subjects: Sequence[str]
) -> pd.DataFrame:
    """Whether the newest answer about each of `subjects` was billed: subject, billed. Whoever paid it counts.

    Without an answer it is the upload's own call that may have been billed; a subject with neither is not there.
    """
    parts = [
        copy_out(
            connection,
            "select distinct on (subject) subject, billed <> 'no' as billed from lead_intel.vendor_calls "
            "where vendor = %(vendor)s and package = %(package)s and subject = any(%(subjects)s) "
            "and (outcome = any(%(answers)s) or (upload = %(upload)s and billed <> 'no')) "
            "order by subject, outcome = any(%(answers)s) desc, answered_at desc",
            {
                "vendor": vendor,
                "package": package,
                "subjects": list(subjects[start : start + _BLOCK]),
                "answers": list(ANSWERS),
                "upload": upload,
            },
            {"subject": pa.string(), "billed": pa.bool_()},
        )
        for start in range(0, max(len(subjects), 1), _BLOCK)
    ]
    return pd.concat(parts, ignore_index=True)


def _money(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    msg = f"{type(value).__name__} has no JSON form"
    raise TypeError(msg)
