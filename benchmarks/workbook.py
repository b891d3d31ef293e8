"""The generated list as an XLSX workbook, every cell text; in a minute, because no cell is an object of Python."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.lists import HEADERS, list_tables

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.'
    'sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-'
    'officedocument.spreadsheetml.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
    f'Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets><sheet name="Leads" sheetId="1" '
    'r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
    f'Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
}


def write_workbook(path: Path, rows: int) -> None:
    """Write `rows` generated rows to `path`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in _PARTS.items():
            archive.writestr(name, content)
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(f'<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
            sheet.write(_rows_xml(pa.table({name: [name] for name in HEADERS}), 1))
            above = 2
            for table in list_tables(rows):
                sheet.write(_rows_xml(table, above))
                above += table.num_rows
            sheet.write(b"</sheetData></worksheet>")


def _rows_xml(table: pa.Table, first: int) -> bytes:
    numbers = pc.cast(pa.array(range(first, first + table.num_rows)), pa.string())
    parts: list[pa.Array | str] = ['<row r="', numbers, '">']
    for place, column in enumerate(table.columns):
        text = column.combine_chunks()
        for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = pc.replace_substring(text, plain, escaped)
        parts += [f'<c r="{chr(65 + place)}', numbers, '" t="inlineStr"><is><t xml:space="preserve">', text]
        parts += ["</t></is></c>"]
    return "".join(pc.binary_join_element_wise(*parts, "</row>", "").to_pylist()).encode()
