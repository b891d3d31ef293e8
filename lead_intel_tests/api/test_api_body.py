"""The reader of posted bodies, and the list made of its rows: however a body is cut, each value arrives as written."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from lead_intel.hub.api_body import JSON, NDJSON, Body, BodyReader, RefusedBody
from lead_intel.intake.reading import loaded
from lead_intel.intake.reading_csv import read_csv
from lead_intel.policy import load_policy
from lead_intel.record.api_storing import write_csv
from lead_intel.settings import REPOSITORY

LIMITS = load_policy(REPOSITORY / "data" / "policy").ingestion
NAMES = ("phone", "email", "consent_source", "score", "Größe", "a b")
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters=[chr(c) for c in range(32)]))
NUMBER = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)


def read(content: bytes, media_type: str = JSON, blocks: Sequence[int] = ()) -> Body:
    reader = BodyReader(media_type, LIMITS)
    at = 0
    for size in blocks:
        reader.feed(content[at : at + size])
        at += size
    reader.feed(content[at:])
    return reader.end()


def rows_of(body: Body) -> list[dict[str, str]]:
    return [dict(zip(body.columns, row, strict=False)) for row in json.loads(body.cells)]


@given(
    st.lists(
        st.dictionaries(st.sampled_from(NAMES), TEXT, min_size=1).filter(lambda row: any(map(str.strip, row.values()))),
        min_size=1,
        max_size=8,
    ),
    st.lists(st.integers(0, 40), max_size=20),
    st.booleans(),
    st.booleans(),
)
def test_texts_arrive_as_they_were_written_however_the_body_is_cut(
    rows: list[dict[str, str]], blocks: list[int], lines: bool, ascii_only: bool
) -> None:
    if lines:
        content = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows).encode()
    else:
        content = json.dumps(rows, ensure_ascii=ascii_only, indent=1).encode()
    body = read(content, NDJSON if lines else JSON, blocks)
    found = rows_of(body)
    assert body.rows == len(rows)
    assert [{name: row.get(name, "") for name in NAMES} for row in found] == [
        {name: row.get(name, "") for name in NAMES} for row in rows
    ]


@given(NUMBER)
def test_numbers_keep_their_written_digits(number: str) -> None:
    body = read(f'[{{"phone": {number}, "x": [{number}, {{"a": {number}}}]}}]'.encode())
    assert rows_of(body) == [{"phone": number, "x": f'[{number},{{"a":{number}}}]'}]


def test_null_is_blank_and_other_values_are_compact_text() -> None:
    body = read(b'[{"phone":1,"a":null,"b":true,"c":false,"d":{"x":[1.50,"y\\"",null,{}]},"e":[]}]')
    assert rows_of(body) == [
        {"phone": "1", "a": "", "b": "true", "c": "false", "d": '{"x":[1.50,"y\\"",null,{}]}', "e": "[]"}
    ]


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_body_or_a_refusal(content: bytes, lines: bool) -> None:
    try:
        assert read(content, NDJSON if lines else JSON).rows > 0
    except RefusedBody:
        return


def test_a_body_of_many_blocks_is_read_in_bounded_pieces() -> None:
    rows = [{"phone": str(n), "note": "é" * 1500} for n in range(2000)]
    body = read(json.dumps(rows, ensure_ascii=False).encode(), blocks=[1000] * 3000)
    assert body.rows == 2000
    assert rows_of(body)[1999] == rows[1999]


def test_the_same_content_has_the_same_digest_however_it_is_cut() -> None:
    content = b'[{"phone": "1"}]'
    assert read(content).digest == read(content, blocks=[3, 4]).digest != read(content + b" ").digest


ODD = st.lists(st.sampled_from([*"\",;|\t\n\r 'é=+-@#\\", "sep=;", "1", "a"]), max_size=12).map("".join)


@effort(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(ODD, min_size=4, max_size=4).filter(lambda row: any(map(str.strip, row))), min_size=1))
def test_the_stored_list_is_read_back_cell_by_cell(rows: list[list[str]]) -> None:
    columns = ("phone", "email", "consent_source", "note")
    with tempfile.TemporaryDirectory() as name:
        path, scratch = Path(name) / "list.csv", Path(name) / "scratch"
        scratch.mkdir()
        assert write_csv(path, columns, [(columns, rows)]) == len(rows)
        reading = loaded(read_csv(path, scratch), scratch)
    assert (reading.headers, reading.delimiter, reading.encoding) == (columns, ",", "utf-8")
    assert [list(row.values()) for row in reading.table.to_pylist()] == rows


def test_rows_of_batches_with_other_columns_stand_under_one_header(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    write_csv(path, ["phone", "email", "x"], [(["x", "phone"], [["a", "1"], ["b"]]), (["email"], [["c"]])])
    with path.open(newline="") as handle:
        assert list(csv.reader(handle)) == [["phone", "email", "x"], ["1", "", "a"], ["", "", "b"], ["", "c", ""]]


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_a_row_as_large_as_allowed_is_taken(media_type: str) -> None:
    row = {"phone": "1" * (LIMITS.row_characters - len('{"phone": ""}'))}
    content = json.dumps([row] if media_type == JSON else row).encode()
    assert read(content, media_type).rows == 1
