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
        "insert into lead_intel.sample_draws as kept (upload, key_version, lead_id, percent, stratum) "
        "select upload, %s, lead_id, %s, stratum from lead_intel.lead_samples where upload = %s order by lead_id "
        "on conflict (upload, key_version, lead_id) do update set percent = excluded.percent, "
        "stratum = excluded.stratum where kept.percent > excluded.percent",
        (key_version, percent, upload),
    )


def drawn_earlier(
    connection: psycopg.Connection, upload: str, supplier: str, key_version: str, percent: Decimal
) -> pd.DataFrame:
    """The upload's screened leads that were drawn at `percent` or less, here or in another list of the supplier.

    Columns: lead_id, stratum (as it was then), here (drawn in this upload).
    """
    return copy_out(
        connection,
        "select drawn.lead_id, drawn.stratum, drawn.upload = %(upload)s from lead_intel.sample_draws drawn "
        "join lead_intel.lead_ingestions ingestion on ingestion.upload = drawn.upload "
        "join lead_intel.dnc_verdicts present on present.lead_id = drawn.lead_id and present.upload = %(upload)s "
        "where ingestion.supplier = %(supplier)s and key_version = %(key_version)s and percent <= %(percent)s",
        {"upload": upload, "supplier": supplier, "key_version": key_version, "percent": percent},
        {"lead_id": pa.string(), "stratum": pa.string(), "here": pa.bool_()},
    )
