"""What people said about rows, applied to a screening: corrected rows leave it, released codes are lifted. Pure.

Works on tables with the raw frame's columns, whole or piece by piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lead_intel.columns import BAD_CODE
from lead_intel.intake.judging import BETWEEN_CODES
from lead_intel.intake.vouched import VOUCHED
from lead_intel.record.quarantine import Place, Settled

CORRECTS, UNCHANGED = "corrects", "unchanged"
APPLIED = (CORRECTS, UNCHANGED)
"""Outcomes of a correction's row that need no code of their own."""

_LINES = 1 << 40
"""More than any file has; file and line then fit into one number."""

Numbers = np.ndarray[Any, np.dtype[np.int64]]


class Standing:
    """The rows that count, by what people said."""

    def __init__(self, said: Settled) -> None:
        corrections = said.corrections
        left_out = [row.of for row in corrections if row.outcome == CORRECTS and row.of is not None]
        left_out += [row.place for row in corrections if row.outcome == UNCHANGED]
        self._left_out = np.array([_number(place) for place in left_out], np.int64)
        self._codes = {_number(row.place): str(row.outcome) for row in corrections if row.outcome not in APPLIED}
        self._vouched = {_number(place): BETWEEN_CODES.join(codes) for place, codes in said.releases.items()}

    @property
    def changes_nothing(self) -> bool:
        """True when nobody said anything: every table stays as it is."""
        return not (len(self._left_out) or self._codes or self._vouched)

    def of(self, table: pa.Table) -> pa.Table:
        """`table` without rows that were corrected or only say again what was said.

        Rows of a correction that correct nothing get their code, released ones what was vouched for (VOUCHED).
        """
        places = table["file_no"].to_numpy() * _LINES + table["line"].to_numpy()
        if self._codes:
            kept = table[BAD_CODE].combine_chunks()
            unread = pc.not_equal(kept, "").to_numpy(zero_copy_only=False)
            codes = _texts(kept, places, self._codes, ~unread)
            table = table.set_column(table.column_names.index(BAD_CODE), BAD_CODE, codes)
        if self._vouched:
            blank = pa.repeat(pa.scalar("", pa.large_string()), table.num_rows)
            everywhere = np.ones(table.num_rows, bool)
            table = table.append_column(VOUCHED, _texts(blank, places, self._vouched, everywhere))
        return table.filter(pa.array(~np.isin(places, self._left_out))) if len(self._left_out) else table


def standing(raw: pd.DataFrame, said: Settled) -> pd.DataFrame:
    """`Standing.of` for the raw frame."""
    rows = Standing(said)
    if rows.changes_nothing:
        return raw
    frame: pd.DataFrame = rows.of(pa.Table.from_pandas(raw, preserve_index=False)).to_pandas()
    return frame


def _texts(before: pa.Array, places: Numbers, texts: Mapping[int, str], where: np.ndarray[Any, Any]) -> pa.Array:
    """`before`, with the texts of those places `where` they may be written."""
    mask = np.isin(places, list(texts)) & where
    written = [texts[int(place)] for place in places[mask]]
    return pc.replace_with_mask(before, pa.array(mask), pa.array(written, before.type))


def _number(place: Place) -> int:
    return place[0] * _LINES + place[1]
