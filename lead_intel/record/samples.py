"""Rows of `lead_samples`: which leads of an upload are in its sample. SQL only."""

from __future__ import annotations

import pandas as pd
import psycopg

from lead_intel.record.copying import copy_in


def replace(connection: psycopg.Connection, upload: str, sample: pd.DataFrame) -> None:
    """Put `sample` (as in `contract.LeadSample`) in the place of the upload's earlier one. Answers are kept."""
    with connection.transaction():
        connection.execute("delete from lead_intel.lead_samples where upload = %s", (upload,))
        copy_in(
            connection,
            ("lead_intel", "lead_samples"),
            sample[["lead_id", "stratum", "position"]].assign(upload=upload),
        )
