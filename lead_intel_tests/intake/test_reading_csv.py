"""CSV in every shape that suppliers send: the right table, or the row set aside, or the file refused by name."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_intel.errors import RejectedInput
from lead_intel.intake.reading import Reading, loaded, read_list
from lead_intel.intake.reading_csv import read_csv

Parse = Callable[[bytes], Reading]

HEADER = "phone,email,consent_source"
ROWS = [
    ["2125550101", "ann@example.com", "web_form"],
    ["2125550102", "Zoë, née Ñandú <z@example.com>", "event_2026"],
    ["2125550103", "", ""],
]


def cells(reading: Reading) -> list[list[str]]:
    return [list(row.values()) for row in reading.table.to_pylist()]


def text_of(rows: list[list[str]], delimiter: str = ",", end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows([HEADER.split(","), *rows])
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_delimiter_and_line_end_gives_the_same_table(parse: Parse, delimiter: str, end: str) -> None:
    reading = parse(text_of(ROWS, delimiter, end).encode())

    assert (reading.format, reading.encoding, reading.delimiter) == ("csv", "utf-8", delimiter)
    assert reading.headers == ("phone", "email", "consent_source")
    assert cells(reading) == ROWS
    assert reading.lines.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("codec", "named"),
    [
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16-le"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32-le"),
        ("cp1252", "cp1252"),
    ],
)
def test_every_encoding_gives_the_same_letters(parse: Parse, codec: str, named: str) -> None:
    reading = parse(text_of(ROWS).encode(codec))

    assert reading.encoding == named
    assert cells(reading) == ROWS


def test_a_sep_line_is_obeyed_and_counted(parse: Parse) -> None:
    reading = parse(("sep=;\r\n" + text_of(ROWS, ";", "\r\n")).encode())

    assert cells(reading) == ROWS
    assert reading.lines.tolist() == [3, 4, 5]


@pytest.mark.parametrize("row", ["1,2,3,4", "1,2", "1,2,3,"])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_ragged_row_moves_no_other_row(parse: Parse, row: str, place: int) -> None:
    lines = [",".join(r) for r in (ROWS[0], ROWS[2], ROWS[0])]
    lines.insert(place, row)

    reading = parse("\n".join([HEADER, *lines]).encode())

    mended = [["1", "2", "3"]] if row.endswith(",") else []
    others = [ROWS[0], ROWS[2], ROWS[0]]
    assert cells(reading) == [*others[:place], *mended, *others[place:]]
    assert reading.lines.tolist() == [n for n in range(2, 6) if mended or n != place + 2]
    if not mended:
        assert reading.bad.to_pylist() == [{"line": place + 2, "code": "row_ragged", "text": row}]


def test_line_breaks_in_cells_and_blank_lines_leave_the_line_numbers_right(parse: Parse) -> None:
    reading = parse(b'phone,email,consent_source\n1,"a\r\nb",c\n\n2,d,e\n , ,\n3,f\n4,g,h\n')

    assert cells(reading) == [["1", "a\r\nb", "c"], ["2", "d", "e"], ["4", "g", "h"]]
    assert reading.lines.tolist() == [2, 5, 8]
    assert reading.bad.to_pylist() == [{"line": 7, "code": "row_ragged", "text": "3,f"}]
    assert reading.blank_rows == 2


def test_rows_that_a_stray_quote_joins_are_set_aside(parse: Parse) -> None:
    reading = parse(b'phone,email,consent_source\n1,"a,b\n2,c,d\n3,e",f,g\n4,h,i\n')

    assert cells(reading) == [["4", "h", "i"]]
    assert reading.lines.tolist() == [5]
    assert reading.bad.to_pylist() == [{"line": 2, "code": "row_quoting", "text": '1,"a,b\n2,c,d\n3,e",f,g'}]


def test_a_quote_that_swallows_rows_and_keeps_the_width_is_noticed(parse: Parse) -> None:
    reading = parse(b'phone,email,consent_source\n1,a,"b\n2,c,d\n3,e,f"\n4,g,h\n')

    assert reading.lines.tolist() == [2, 5]
    assert reading.bad.to_pylist() == [{"line": 2, "code": "row_quoting", "text": ""}]


def test_a_quote_that_never_closes_rejects_the_file(parse: Parse) -> None:
    with pytest.raises(RejectedInput) as caught:
        parse(b'phone,email,consent_source\n1,a,b\n2,"c,d\n3,e,f\n')

    assert caught.value.code == "quoting_broken"
    assert "row 3" in caught.value.message


def test_quotes_inside_unquoted_cells_are_text(parse: Parse) -> None:
    reading = parse(b'phone,email,consent_source\n1,5" pipe,"say ""hi"""\n')

    assert cells(reading) == [["1", '5" pipe', 'say "hi"']]


def test_unicode_line_separators_are_no_line_ends(parse: Parse) -> None:
    text = "phone,email,consent_source\n1,a\u2028b,c\x0bd\x85e\x0c\n"

    assert cells(parse(text.encode())) == [["1", "a\u2028b", "c\x0bd\x85e\x0c"]]


def test_nul_bytes_are_dropped(parse: Parse) -> None:
    assert cells(parse(b"phone,email,consent_source\n1,a\x00b,c\n\x00\n")) == [["1", "ab", "c"]]


def test_nothing_is_taken_for_a_missing_value_or_a_number(parse: Parse) -> None:
    row = ["NA", "null", "None", "nan", "007", "1e5", "TRUE"]

    reading = parse((",".join("abcdefg") + "\n" + ",".join(row)).encode())

    assert cells(reading) == [row]


def test_one_byte_that_is_no_text_sets_only_its_row_aside(parse: Parse) -> None:
    reading = parse("phone,email,consent_source\n1,é,b\n".encode() + b"2,\xe9,d\n3,e,f\n")

    assert reading.bad.to_pylist() == [{"line": 3, "code": "row_encoding", "text": ""}]
    assert cells(reading)[0] == ["1", "é", "b"]


def test_trailing_columns_without_name_or_text_move_nothing(parse: Parse) -> None:
    assert cells(parse(b"phone,email,consent_source\n1,2,3,,\n4,5,6,,\n"))[1][:3] == ["4", "5", "6"]


def test_a_header_that_is_too_short_shifts_no_column(parse: Parse) -> None:
    reading = parse(b"phone,email,consent_source\nx1,1,2,3\nx2,4,5,6\n")

    assert cells(reading) == []
    assert reading.bad["code"].to_pylist() == ["row_ragged", "row_ragged"]


def test_a_cell_longer_than_the_limit_sets_its_row_aside(parse: Parse) -> None:
    reading = parse(b"phone,email,consent_source\n1,a,b\n2," + b"x" * 100_001 + b",c\n")

    assert reading.bad.to_pylist() == [{"line": 3, "code": "cell_too_long", "text": ""}]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "file_empty"),
        (b"\xef\xbb\xbf", "file_empty"),
        (b"\n \r\n\n", "file_empty"),
        (b"\x00" * 500, "file_empty"),
        (b"\xef\xbb\xbf<!DOCTYPE html><table>", "format_html"),
        ("<html>".encode("utf-16"), "format_html"),
        (b"<?xml version='1.0'?><a/>", "format_xml"),
        (b'[{"phone": "1"}]', "format_json"),
        (b"%PDF-1.7\n", "format_pdf"),
        (b"\x1f\x8b\x08\x00", "format_gzip"),
        (b"\xff\xd8\xff\xe0\x00", "format_image"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600 + "Workbook".encode("utf-16-le"), "format_xls"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600 + "EncryptedPackage".encode("utf-16-le"),
            "password_protected",
        ),
        (b"phone,\x81\x8d\n1,2\n", "encoding_unknown"),
        (b"a\x01\x02\x03,b\n" * 40, "format_unknown"),
        (b'"' + b"x" * 1_000_000, "header_too_long"),
        (b",".join(b"c%d" % n for n in range(1001)), "too_many_columns"),
    ],
)
def test_what_is_no_list_is_refused_by_name(parse: Parse, content: bytes, code: str) -> None:
    with pytest.raises(RejectedInput) as caught:
        parse(content)

    assert caught.value.code == code
    assert caught.value.remedy


_CELL = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\x00\ufeff").filter(
        lambda c: c in "\t\n\r\x0b\x0c" or ord(c) >= 32
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(_CELL, min_size=3, max_size=3), max_size=6),
    st.sampled_from([("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)]),
)
def test_the_table_is_what_the_standard_library_reads(rows: list[list[str]], style: tuple[str, int]) -> None:
    content = text_of(rows, ",", *style).encode()
    expected = [
        row
        for row in list(csv.reader(io.StringIO(content.decode(), newline="")))[1:]
        if any(cell.strip() for cell in row)
    ]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "list.csv"
        path.write_bytes(content)
        reading = loaded(read_csv(path, Path(folder)), Path(folder))

    assert cells(reading) == expected
    assert reading.lines.tolist() == sorted(set(reading.lines.tolist()))


def test_a_list_is_read_by_content_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "list.xlsx.exe"
    path.write_bytes(text_of(ROWS).encode())

    reading = read_list(path, lambda headers: True)

    assert (reading.format, cells(reading)) == ("csv", ROWS)


def test_a_refusal_in_the_child_is_the_callers(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"%PDF-1.7\n")

    with pytest.raises(RejectedInput) as caught:
        read_list(path, lambda headers: True)

    assert caught.value.code == "format_pdf"
