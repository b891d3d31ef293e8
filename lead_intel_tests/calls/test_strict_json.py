"""What the strict JSON reader accepts and refuses."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lead_intel.calls.strict_json import NotStrictJson, parse

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_ordinary_json_is_read_as_it_was_written(value: object) -> None:
    assert parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"valid": tru',
        b"<html>",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"valid": false, "valid": true}',
        b"9" * 5000,
        b'{"a": ' + b"1" * 100 + b".5}",
        b'"\xff\xfe"',
        b"[" * 200_000,
        b"[" * 65 + b"]" * 65,
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    with pytest.raises(NotStrictJson):
        parse(body)


def test_brackets_inside_texts_do_not_count_as_depth() -> None:
    assert parse(json.dumps({"a": "[{" * 500, "b": '\\"[' * 200}).encode())["a"] == "[{" * 500


def test_a_wide_answer_is_not_a_deep_one() -> None:
    rows = [{"Phone": "2125550123", "Lists": []} for _ in range(10_000)]
    started = time.monotonic()
    assert len(parse(json.dumps(rows).encode())) == 10_000
    assert time.monotonic() - started < 2
