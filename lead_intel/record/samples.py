"""Rows of `lead_samples` (which leads of an upload are in its sample) and of `sample_draws`. SQL only."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd
import psycopg
import pyarrow as pa

from lead_intel.record.copying import copy_in, copy_out


def replace(connection: psycopg.Connection, upload: str, sample: pd.DataFrame) -> None:
    """Put `sample` (as in `contract.LeadSample`) in the place of the upload's earlier one. Answers are kept."""
    with connection.transaction():
        connection.execute("delete from lead_intel.lead_samples where upload = %s", (upload,))
        copy_in(
            connection,
            ("lead_intel", "lead_samples"),
            sample[["lead_id", "stratum", "position"]].assign(upload=upload),
        )


def keep_draw(connection: psycopg.Connection, upload: str, key_version: str, percent: Decimal) -> None:
    """The leads of the upload's sample were drawn at `percent`, which is not 0."""
    connection.execute(
        "insert into lead_intel.sample_draws as kept (supplier, key_version, lead_id, percent) "
        "select ingestion.supplier, %s, sample.lead_id, %s from lead_intel.lead_samples sample "
        "join lead_intel.lead_ingestions ingestion using (upload) where upload = %s order by sample.lead_id "
        "on conflict (supplier, key_version, lead_id) do update set percent = excluded.percent "
        "where kept.percent > excluded.percent",
        (key_version, percent, upload),
    )


def drawn_earlier(connection: psycopg.Connection, supplier: str, key_version: str, percent: Decimal) -> pd.Series[str]:
    """The supplier's leads that were drawn at `percent` or less, in whichever upload."""
    return copy_out(
        connection,
        "select lead_id from lead_intel.sample_draws "
        "where supplier = %(supplier)s and key_version = %(key_version)s and percent <= %(percent)s",
        {"supplier": supplier, "key_version": key_version, "percent": percent},
        {"lead_id": pa.string()},
    )["lead_id"]
