"""Workbooks: cells as stored, rows in their places, one visible sheet; attacks die in the child, in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lead_intel.errors import RejectedInput
from lead_intel.intake.reading import Reading

Read = Callable[[Path], Reading]
Workbook = Callable[..., Path]
Zip = Callable[[Mapping[str, str | bytes]], Path]
Parts = Callable[[str], dict[str, str]]

LEADS = [["phone", "email", "consent_source"], ["2125550101", "ann@example.com", "web_form"]]
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SECONDS = 5


def refused(read: Read, path: Path) -> RejectedInput:
    started = time.monotonic()
    with pytest.raises(RejectedInput) as caught:
        read(path)
    assert time.monotonic() - started < SECONDS
    assert caught.value.remedy
    return caught.value


def test_cells_come_out_as_text_with_their_sheet_rows(read: Read, workbook: Workbook) -> None:
    rows: list[list[Any]] = [
        [None],
        ["phone", "email", "zip"],
        [12125550101, "N/A", "00501"],
        [None],
        ["'+1 212", "=1+1", 501],
        [2.12555012e9, " x ", 1.5],
    ]

    reading = read(workbook({"Leads": rows}))

    assert (reading.format, reading.sheet, reading.headers) == ("xlsx", "Leads", ("phone", "email", "zip"))
    assert [list(row.values()) for row in reading.table.to_pylist()] == [
        ["12125550101", "N/A", "00501"],
        ["'+1 212", "=1+1", "501"],
        ["2125550120", " x ", "1.5"],
    ]
    assert reading.lines.tolist() == [3, 5, 6]
    assert reading.blank_rows == 1


def test_hidden_and_empty_sheets_are_not_read(read: Read, workbook: Workbook) -> None:
    path = workbook({"secret": [["phone"], ["1"]], "Leads": LEADS, "empty": []}, hidden=["secret"])

    assert read(path).sheet == "Leads"


def test_of_several_sheets_the_one_with_lead_columns_is_read(read: Read, workbook: Workbook) -> None:
    assert read(workbook({"Notes": [["about"], ["x"]], "Leads": LEADS})).sheet == "Leads"


def test_two_sheets_with_leads_are_refused(read: Read, workbook: Workbook) -> None:
    assert refused(read, workbook({"May": LEADS, "June": LEADS})).code == "sheet_ambiguous"


def test_a_workbook_without_text_is_empty(read: Read, workbook: Workbook) -> None:
    assert refused(read, workbook({"Leads": [[None]]})).code == "file_empty"


def test_a_cell_at_the_far_corner_kills_only_the_child(read: Read, zip_of: Zip, parts_of: Parts) -> None:
    far = (
        f'<worksheet xmlns="{MAIN}"><dimension ref="A1:B2"/><sheetData><row r="1"><c r="A1"><v>1</v></c></row>'
        '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
    )

    assert refused(read, zip_of(parts_of(far))).code == "file_unsafe"


def test_a_bomb_is_refused_from_its_directory(read: Read, zip_of: Zip, parts_of: Parts) -> None:
    parts = parts_of(f'<worksheet xmlns="{MAIN}"/>')
    bomb = zip_of({**parts, "xl/sharedStrings.xml": "<sst>" + "<si/>" * 5_000_000 + "</sst>"})

    assert refused(read, bomb).code == "file_unsafe"


def test_too_many_parts_are_refused(read: Read, zip_of: Zip) -> None:
    assert refused(read, zip_of({f"xl/{n}": "" for n in range(10_001)})).code == "file_unsafe"


@pytest.mark.parametrize(
    "prolog",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        b'<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd">',
        "\ufeff<!DOCTYPE x>".encode("utf-16-le"),
        b'<?xml version="1.0" encoding="UTF-7"?>',
        b"\x4c\x6f\xa7\x94\x93",
        b"+ADw-+ACE-DOCTYPE",
    ],
)
def test_a_document_type_or_an_odd_encoding_is_refused(read: Read, zip_of: Zip, parts_of: Parts, prolog: bytes) -> None:
    parts: dict[str, str | bytes] = {**parts_of("")}
    parts["xl/worksheets/sheet1.xml"] = prolog + f'<worksheet xmlns="{MAIN}"/>'.encode()
    if prolog.startswith((b"+", b"\x4c")):
        parts["xl/worksheets/sheet1.xml"] = prolog

    assert refused(read, zip_of(parts)).code == "file_unsafe"


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"xl/workbook.bin": "x"}, "format_xlsb"),
        ({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": "<a/>"}, "format_ods"),
        ({"mimetype": "x", "META-INF/manifest.xml": "<m><encryption-data/></m>"}, "password_protected"),
        ({"[Content_Types].xml": "<Types/>", "xl/workbook.xml": "<a/>", "xl/vbaProject.bin": "x"}, "format_xlsm"),
        ({"[Content_Types].xml": "<Types/>", "word/document.xml": "<a/>"}, "format_office"),
        ({"list.csv": "phone,email"}, "format_zip"),
    ],
)
def test_other_containers_are_refused_by_name(
    read: Read, zip_of: Zip, parts: Mapping[str, str | bytes], code: str
) -> None:
    assert refused(read, zip_of(parts)).code == code


def test_a_truncated_workbook_is_damaged(read: Read, workbook: Workbook) -> None:
    path = workbook({"Leads": LEADS})
    path.write_bytes(path.read_bytes()[:-200])

    assert refused(read, path).code == "file_damaged"


def test_a_workbook_with_a_broken_sheet_is_damaged(read: Read, zip_of: Zip, parts_of: Parts) -> None:
    assert refused(read, zip_of(parts_of("<worksheet><sheetData><row><c"))).code == "file_damaged"


def test_the_encrypted_flag_of_a_zip_is_understood(read: Read, workbook: Workbook) -> None:
    path = workbook({"Leads": LEADS})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = content.find(signature)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(signature, at + 4)
    path.write_bytes(content)

    assert refused(read, path).code == "password_protected"
