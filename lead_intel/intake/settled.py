"""What people said about rows, applied to a screening: corrected rows leave it, released codes are lifted. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lead_intel.columns import BAD_CODE
from lead_intel.record.quarantine import Place, Settled

CORRECTS, UNCHANGED = "corrects", "unchanged"
APPLIED = (CORRECTS, UNCHANGED)
"""Outcomes of a correction's row that need no code of their own."""

_LINES = 1 << 40
"""More than any file has; file and line then fit into one number."""

Numbers = np.ndarray[Any, np.dtype[np.int64]]


def standing(raw: pd.DataFrame, said: Settled) -> pd.DataFrame:
    """The rows that count: without those that were corrected, or only say again what was said.

    Rows of a correction that correct nothing get their code.
    """
    left_out = [row.of for row in said.corrections if row.outcome == CORRECTS and row.of is not None]
    left_out += [row.place for row in said.corrections if row.outcome == UNCHANGED]
    coded = {row.place: row.outcome for row in said.corrections if row.outcome not in APPLIED}
    if not left_out and not coded:
        return raw
    places = _numbers(raw["file_no"].to_numpy(), raw["line"].to_numpy())
    rows = raw
    if coded:
        numbers = {_number(place): code for place, code in coded.items()}
        found = np.flatnonzero(np.isin(places, list(numbers)) & (raw[BAD_CODE] == "").to_numpy())
        codes = raw[BAD_CODE].copy()
        codes.iloc[found] = [numbers[int(number)] for number in places[found]]
        rows = raw.assign(**{BAD_CODE: codes})
    stays = ~np.isin(places, [_number(place) for place in left_out])
    return rows[stays].reset_index(drop=True)


def vouched_for(codes: pa.Array, rows: pa.Table, releases: Mapping[Place, Sequence[str]]) -> pa.Array:
    """`codes` (`|`-joined, beside `rows`) without those that a person answered for."""
    if not releases:
        return codes
    places = _numbers(rows["file_no"].to_numpy(), rows["line"].to_numpy())
    by_number = {_number(place): frozenset(vouched) for place, vouched in releases.items()}
    found = np.flatnonzero(np.isin(places, list(by_number)))
    if not len(found):
        return codes
    left = [
        "|".join(code for code in text.split("|") if code not in by_number[int(places[index])])
        for index, text in zip(found, codes.take(pa.array(found)).to_pylist(), strict=True)
    ]
    mask = np.zeros(len(codes), bool)
    mask[found] = True
    return pc.replace_with_mask(codes, pa.array(mask), pa.array(left, codes.type))


def _number(place: Place) -> int:
    return place[0] * _LINES + place[1]


def _numbers(files: Numbers, lines: Numbers) -> Numbers:
    return np.asarray(files.astype(np.int64) * _LINES + lines.astype(np.int64))
