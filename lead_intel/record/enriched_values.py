"""Rows of `enriched_values`: what every vendor said about the fields of an upload's enriched leads. SQL only."""

from __future__ import annotations

import pandas as pd
import psycopg

from lead_intel.record.copying import copy_in

_COLUMNS = ["lead_id", "field", "vendor", "value", "answered_at", "confidence", "chosen"]


def replace(connection: psycopg.Connection, upload: str, values: pd.DataFrame) -> None:
    """Put `values` (`value` as JSON text) in the place of the upload's earlier ones."""
    with connection.transaction():
        connection.execute("delete from lead_intel.enriched_values where upload = %s", (upload,))
        copy_in(connection, ("lead_intel", "enriched_values"), values[_COLUMNS].assign(upload=upload))
