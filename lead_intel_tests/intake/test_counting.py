"""Rows are counted apart from the reader: both agree on every file, and a reading of another number is refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lead_intel.intake.counting import (
    BalanceBroken,
    assert_whole,
    counted_rows,
    rows_by_csv,
    rows_by_parity,
    rows_read,
)
from lead_intel.intake.counting_xlsx import rows_in_sheet, rows_in_sheet_exactly
from lead_intel.intake.reading import Reading

CELLS = st.text(st.sampled_from('ab1 ",;\n\r\t\u00a0\u2028\u00e9'), max_size=5)
TABLES = st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=8)


def as_csv(rows: list[list[str]], line_end: str, quoting: Any, final: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end, quoting=quoting).writerows([["x", "y", "z"], *rows])
    return (text.getvalue().removesuffix(line_end) + final).encode()


def is_doubtful(row: list[str]) -> bool:
    """A row of nothing but quotes and delimiters, or of exotic blanks: the fast count leaves these to the exact one."""
    return any(cell.strip() for cell in row) != any(cell.strip(' ",;\n\r\t') for cell in row)


@settings(max_examples=60, deadline=None)
@given(
    rows=TABLES,
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    final=st.sampled_from(["", "\n", "\r\n", "\r"]),
)
@example(rows=[["", "", ""], ["a", '"', "\n"]], line_end="\r\n", quoting=csv.QUOTE_ALL, final="\r")
def test_three_readers_count_the_same(
    parse_bytes: Callable[[bytes], Reading],
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    line_end: str,
    quoting: Any,
    final: str,
) -> None:
    content = as_csv(rows, line_end, quoting, final)
    path = tmp_path_factory.getbasetemp() / "counted.csv"
    path.write_bytes(content)
    reading = parse_bytes(content)

    assert rows_by_csv(path, reading) == rows_read(reading)
    records = csv.reader(io.StringIO(content.decode(), newline=""), delimiter=reading.delimiter or ",")
    if not any(is_doubtful(record) for record in records):
        assert rows_by_parity(path, reading) == rows_read(reading)
    assert counted_rows(path, reading) == rows_read(reading)


@pytest.mark.parametrize(
    "content",
    [
        b"phone,email\n1,2\n",
        b"\xef\xbb\xbfphone,email\n1,2",
        b"sep=;\nphone;email\n1;2\n",
        "phone,email\r\n1,2\r\n".encode("utf-16"),
        "phone,email\n1,\u00e9\n".encode("cp1252"),
        b"\n\n,\nphone,email\n,\n\n1,2\n ,\n\x00,\x00\n",
        b'phone,email\n5" pipe,2\n',
        b'phone,email\n"1","a\nb"\n,,,\n,\n',
        b"phone,email,x\n,\n1,2,3\n",
        b"title\n\n\n;;;;;\n1;2;3\n",
    ],
)
def test_a_file_written_in_any_way_is_counted(
    parse: Callable[[bytes], Reading], tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    assert counted_rows(path, parse(content)) == 1


def test_rows_are_counted_across_blocks(parse: Callable[[bytes], Reading], tmp_path: Path) -> None:
    """Line ends and quoted cells lie on the borders of the blocks, wherever these fall."""
    rows = b"".join(b'%d,"line\r\nbreak %s"\r\n' % (number, b"x" * (number % 97)) for number in range(120_000))
    path = tmp_path / "list.csv"
    path.write_bytes(b"phone,email\r\n" + rows)
    assert path.stat().st_size > 4 << 20
    assert rows_by_parity(path, parse(path.read_bytes())) == 120_000


def test_a_reader_that_loses_or_invents_a_row_is_refused(parse: Callable[[bytes], Reading], tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"phone,email\n1,2\n3,4\n5,6,7\n")
    reading = parse(path.read_bytes())
    assert counted_rows(path, reading) == 3
    for wrong in (reading.table.slice(1), reading.table.take([0, 0, 1])):
        with pytest.raises(BalanceBroken) as refusal:
            counted_rows(path, replace(reading, table=wrong))
        assert refusal.value.code == "balance_broken"


SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def test_workbooks_are_counted_in_their_xml(workbook: Callable[..., Path], read: Callable[..., Reading]) -> None:
    other = [["phone"], *[["1"]] * 7]
    path = workbook({"Other": [["a"]], "Leads": [["phone", "x"], [1, None], [None, None], [" ", ""], ["a", 2.5]]})
    reading = read(path)
    assert (rows_in_sheet(path, "Leads"), rows_in_sheet_exactly(path, "Leads")) == (4, 3)
    assert counted_rows(path, reading) == rows_read(reading) == 2
    with pytest.raises(BalanceBroken):
        counted_rows(path, replace(reading, table=reading.table.slice(1)))
    assert rows_in_sheet(workbook({"Leads": other}), "Leads") == 8


def test_a_row_of_error_cells_is_a_row(
    parts_of: Callable[..., dict[str, str]], zip_of: Callable[..., Path], read: Callable[..., Reading]
) -> None:
    error = '<c r="{}{}" t="e"><f>gone</f><v>#REF!</v></c>'
    rows = [f'<row r="{y}">{error.format("A", y)}{error.format("B", y)}</row>' for y in (2, 3)]
    names = "".join(
        f'<c r="{x}1" t="inlineStr"><is><t>{name}</t></is></c>' for x, name in (("A", "phone"), ("B", "email"))
    )
    sheet = f'<worksheet xmlns="{SHEET}"><sheetData><row r="1">{names}</row>{"".join(rows)}</sheetData></worksheet>'
    path = zip_of(parts_of(sheet))

    reading = read(path)

    assert counted_rows(path, reading) == rows_read(reading) == 2
    assert reading.lines.tolist() == [2, 3]
    assert reading.table.column(1).to_pylist() == ["#REF!", "#REF!"]


def test_rows_at_hand_must_be_those_that_were_counted() -> None:
    assert_whole({1: 10, 2: 3}, {1: 10, 2: 3, 3: None, 4: 0})
    for held in ({1: 9, 2: 3}, {1: 10}, {1: 10, 2: 3, 3: 1}):
        with pytest.raises(BalanceBroken):
            assert_whole(held, {1: 10, 2: 3, 3: None, 4: 0})
