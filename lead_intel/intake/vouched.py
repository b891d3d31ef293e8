"""Codes that a person answers for are lifted from a row. Pure, and light enough for a judging process."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

VOUCHED = "_vouched"
"""Column beside the raw frame's: the codes, `|`-joined, that a person answers for. There only if rows were released."""

_BETWEEN = "|"


def vouched_for(codes: pa.Array, rows: pa.Table) -> pa.Array:
    """`codes` (`|`-joined, beside `rows`) without those that a person answered for."""
    if VOUCHED not in rows.column_names:
        return codes
    vouched = rows[VOUCHED].combine_chunks()
    released = pc.and_(pc.not_equal(vouched, ""), pc.not_equal(codes, ""))
    left = [
        _BETWEEN.join(code for code in given.split(_BETWEEN) if code not in said.split(_BETWEEN))
        for given, said in zip(codes.filter(released).to_pylist(), vouched.filter(released).to_pylist(), strict=True)
    ]
    return pc.replace_with_mask(codes, released, pa.array(left, codes.type))
