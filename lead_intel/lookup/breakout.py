"""The carrier breakout: how many distinct numbers each carrier has, by line type. Pure."""

from __future__ import annotations

import pandas as pd

UNKNOWN = "unknown"


def break_out(lookups: pd.DataFrame) -> pd.DataFrame:
    """Count `lookups` (as in `contract.PhoneLookups`) by carrier and line type, largest first.

    A number without carrier or type is counted as `unknown`, never left out: the numbers sum to all of them.
    Returns carrier, line_type, numbers, share (of all numbers, 0 to 1), as in `contract.CarrierBreakout`.
    """
    counts = (
        lookups.groupby(["carrier_name", "line_type"], as_index=False, sort=True)
        .size()
        .rename(columns={"carrier_name": "carrier", "size": "numbers"})
    )
    counts["numbers"] = counts["numbers"].astype("int64")
    counts["share"] = counts["numbers"] / max(len(lookups), 1)
    return counts.sort_values(
        ["numbers", "carrier", "line_type"], ascending=[False, True, True], ignore_index=True
    ).astype({"carrier": "str", "line_type": "str", "share": "float64"})


def unknown_share(lookups: pd.DataFrame) -> float:
    """Share of the numbers whose line type is not known (0 to 1)."""
    return float((lookups["line_type"] == UNKNOWN).mean()) if len(lookups) else 0.0
