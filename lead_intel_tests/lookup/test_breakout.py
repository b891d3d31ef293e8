"""The carrier breakout counts every number once."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_intel.contract import LINE_TYPES, CarrierBreakout, checked
from lead_intel.lookup.breakout import break_out, unknown_share

ROWS = st.lists(st.tuples(st.sampled_from(["Verizon", "AT&T", "unknown"]), st.sampled_from(LINE_TYPES)), max_size=80)


def lookups(rows: list[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "phone": pd.Series(range(len(rows)), dtype="int64"),
            "carrier_name": pd.Series([carrier for carrier, _ in rows], dtype="str"),
            "line_type": pd.Series([line_type for _, line_type in rows], dtype="str"),
        }
    )


@given(ROWS)
@settings(deadline=None, max_examples=60)
def test_numbers_and_shares_sum_to_the_whole(rows: list[tuple[str, str]]) -> None:
    breakout = checked(break_out(lookups(rows)), CarrierBreakout)
    assert breakout["numbers"].sum() == len(rows)
    assert not rows or abs(breakout["share"].sum() - 1) < 1e-9
    for row in breakout.itertuples():
        assert row.numbers == rows.count((row.carrier, row.line_type))


def test_unknown_is_shown_as_such_and_the_largest_comes_first() -> None:
    breakout = break_out(lookups([("unknown", "unknown")] * 2 + [("Verizon", "mobile")]))
    assert breakout.iloc[0].to_dict() == {"carrier": "unknown", "line_type": "unknown", "numbers": 2, "share": 2 / 3}
    assert unknown_share(lookups([("unknown", "unknown"), ("Verizon", "mobile")])) == 0.5
