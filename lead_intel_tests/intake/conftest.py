"""Files for the reader, written byte by byte: nothing here shares code with what reads them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from lead_intel.intake.reading import Reading, loaded, read_list
from lead_intel.intake.reading_csv import read_csv
from lead_intel.intake.recognise import kind_of

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"

Sheet = Sequence[Sequence[str | int | float | None]]


def _cell(reference: str, value: str | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f'<c r="{reference}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
    return f'<c r="{reference}"><v>{value}</v></c>'


def sheet_xml(rows: Sheet) -> str:
    lines = [
        f'<row r="{y}">' + "".join(_cell(f"{chr(64 + x)}{y}", cell) for x, cell in enumerate(row, 1)) + "</row>"
        for y, row in enumerate(rows, 1)
    ]
    return f'<worksheet xmlns="{MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>'


def workbook_parts(sheets: Mapping[str, str], hidden: Sequence[str] = ()) -> dict[str, str]:
    """The parts of a workbook: sheet name -> the sheet's XML."""
    numbered = list(enumerate(sheets, 1))
    states = {name: "hidden" if name in hidden else "visible" for name in sheets}
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" state="{states[name]}" r:id="rId{n}"/>' for n, name in numbered
    )
    relations = "".join(
        f'<Relationship Id="rId{n}" Type="{RELATIONS}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n, _ in numbered
    )
    types = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
        for n, _ in numbered
    )
    return {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/xl/workbook.xml" ContentType='
        f'"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>{types}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{relations}</Relationships>',
        **{f"xl/worksheets/sheet{n}.xml": sheets[name] for n, name in numbered},
    }


def write_zip(path: Path, parts: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def workbook(tmp_path: Path) -> Callable[..., Path]:
    """Writes a workbook of sheets given as rows."""

    def write(sheets: Mapping[str, Sheet], hidden: Sequence[str] = ()) -> Path:
        parts = workbook_parts({name: sheet_xml(rows) for name, rows in sheets.items()}, hidden)
        return write_zip(tmp_path / "book.xlsx", parts)

    return write


@pytest.fixture
def zip_of(tmp_path: Path) -> Callable[[Mapping[str, str | bytes]], Path]:
    """Writes any zip."""
    return lambda parts: write_zip(tmp_path / "book.xlsx", parts)


@pytest.fixture
def parts_of() -> Callable[..., dict[str, str]]:
    """The parts of a workbook whose one sheet, "Leads", has this XML."""
    return lambda xml: workbook_parts({"Leads": xml})


@pytest.fixture
def parse(tmp_path: Path) -> Callable[[bytes], Reading]:
    """Reads CSV bytes with the child's own functions, in this process: a child each would take minutes in all."""

    def parsing(content: bytes) -> Reading:
        path = tmp_path / "list.any"
        path.write_bytes(content)
        assert kind_of(path) == "csv"
        return loaded(read_csv(path, tmp_path), tmp_path)

    return parsing


@pytest.fixture(scope="session")
def parse_bytes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Reading]:
    """`parse`, for tests that make many inputs of their own."""
    folder = tmp_path_factory.mktemp("parsed")

    def parsing(content: bytes) -> Reading:
        path = folder / "list.any"
        path.write_bytes(content)
        return loaded(read_csv(path, folder), folder)

    return parsing


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes | Path], Reading]:
    """Reads bytes or a file as the product does, in a child."""

    def reading(content: bytes | Path) -> Reading:
        path = content
        if isinstance(content, bytes):
            path = tmp_path / "list.any"
            path.write_bytes(content)
        assert isinstance(path, Path)
        return read_list(path, lambda headers: "phone" in headers)

    return reading
