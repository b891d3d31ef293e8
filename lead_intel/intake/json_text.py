"""Rows of text columns as JSON objects, for a whole column at once. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NEEDS_ESCAPE = np.zeros(256, bool)
_NEEDS_ESCAPE[[*range(32), ord('"'), ord("\\")]] = True
_TEXT = pa.large_string()
_NOTHING = pa.scalar("", _TEXT)
_SHORT_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))
_OTHER_CONTROLS = [chr(code) for code in range(32) if chr(code) not in "\n\r\t"]


def objects(columns: Mapping[str, pa.Array | pa.ChunkedArray], rows: int) -> pa.Array:
    """One JSON object a row, from text columns without nulls; blank values are left out."""
    filled = {name: values for name, values in columns.items() if pc.max(pc.binary_length(values)).as_py()}
    if not filled:
        return pa.repeat(pa.scalar("{}", _TEXT), rows)
    pieces = [_piece(name, _whole(values)) for name, values in filled.items()]
    joined = pc.binary_join_element_wise(*pieces, _NOTHING)
    # Every piece ends with a comma; the last one goes.
    return pc.binary_join_element_wise(*_around("{", pc.utf8_rtrim(joined, ","), "}"))


def _whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return whole.cast(_TEXT)


def _piece(name: str, values: pa.Array) -> pa.Array:
    key = json.dumps(name, ensure_ascii=False)
    piece = pc.binary_join_element_wise(*_around(f'{key}:"', _escaped(values), '",'))
    return pc.if_else(pc.equal(values, _NOTHING), _NOTHING, piece)


def _bytes_of(values: pa.Array) -> np.ndarray[Any, np.dtype[np.uint8]]:
    _, offsets, content = values.buffers()
    if content is None:
        return np.zeros(0, np.uint8)
    begin, end = np.frombuffer(offsets, np.int64)[[values.offset, values.offset + len(values)]]
    return np.frombuffer(content, np.uint8)[begin:end]


def _around(before: str, values: pa.Array, after: str) -> tuple[pa.Scalar, pa.Array, pa.Scalar, pa.Scalar]:
    return pa.scalar(before, _TEXT), values, pa.scalar(after, _TEXT), _NOTHING


def _escaped(values: pa.Array) -> pa.Array:
    if not _NEEDS_ESCAPE[_bytes_of(values)].any():
        return values
    for plain, escaped in _SHORT_ESCAPES:
        values = pc.replace_substring(values, plain, escaped)
    if pc.any(pc.match_substring_regex(values, r"[\x00-\x1f]")).as_py():
        for control in _OTHER_CONTROLS:
            values = pc.replace_substring(values, control, f"\\u{ord(control):04x}")
    return values
