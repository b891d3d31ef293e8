"""What a run over a thousand files of other projects found: each was read wrongly once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lead_intel.errors import RejectedInput
from lead_intel.intake.dialect import dialect_of
from lead_intel.intake.reading import Reading, loaded
from lead_intel.intake.reading_xlsx import read_xlsx

WORKBOOKS = Path(__file__).resolve().parent.parent / "data" / "spreadsheets"


def test_days_counted_from_1904_keep_their_date(tmp_path: Path) -> None:
    (sheet,) = read_xlsx(WORKBOOKS / "dates_since_1904.xlsx", tmp_path)
    reading = loaded(sheet, tmp_path)

    assert reading.headers[:6] == ("text", "date", "integer", "boolean", "float", "datetime")
    assert reading.table["c1"].to_pylist()[:3] == ["1971-01-01 00:00:00", "1948-01-01 00:00:00", "1920-01-01 00:00:00"]
    assert reading.table["c5"][0].as_py() == "1971-01-01 04:14:00"
    assert reading.table["c2"][0].as_py() == "40"
    assert reading.lines[0] == 5


@pytest.mark.parametrize("content", [b"hello\n\x00world\x00\n", b"a\x00b", b"phone\x00\nx\x00\n"])
def test_stray_nul_bytes_do_not_make_a_text_wide(parse: Callable[[bytes], Reading], content: bytes) -> None:
    assert parse(content).encoding == "utf-8"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_wide_text_without_a_mark_is_still_known(parse: Callable[[bytes], Reading], encoding: str) -> None:
    reading = parse("phone,name\r\n1,Zoë\r\n2,Ψ\r\n".encode(encoding))

    assert reading.encoding == encoding
    assert reading.table["c1"].to_pylist() == ["Zoë", "Ψ"]


@pytest.mark.parametrize("header_row", [2, 9])
def test_a_header_row_without_text_is_refused(header_row: int) -> None:
    with pytest.raises(RejectedInput) as caught:
        dialect_of(b"title\n\nphone,email\n1,2\n", whole=True, header_row=header_row)
    assert caught.value.code == "header_row_missing"


def test_a_title_with_other_marks_does_not_choose_the_delimiter() -> None:
    found = dialect_of(b"a,b,c,d\nx,y,z,w\nphone;email\n1;2\n", whole=True, header_row=3)

    assert (found.delimiter, found.headers, found.header_record) == (";", ("phone", "email"), 3)
