"""XLSX workbook -> one Arrow table of text per visible sheet that holds anything.

Runs in the reading child, after `recognise` found the zip's directory harmless. Hidden sheets are never read,
formulas never evaluated: a cell is its stored value. Rows and columns keep their places.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import fastexcel
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lead_intel.errors import RejectedInput
from lead_intel.intake import tables
from lead_intel.intake.dialect import MAX_COLUMNS, header_row_missing, unnamed_headers
from lead_intel.intake.tables import TableFiles

MAX_SHEETS = 30
_WORKBOOK_BYTES = 8 << 20
_ERROR = re.compile(r"Error\((\w+)\)")
_ERRORS = {
    "Div0": "#DIV/0!", "GettingData": "#GETTING_DATA", "NA": "#N/A", "Name": "#NAME?", "Null": "#NULL!", "Num": "#NUM!",
    "Ref": "#REF!", "Value": "#VALUE!",
}  # fmt: skip
_EPOCH_1900, _EPOCH_1904 = 1900, 1904
_BETWEEN_EPOCHS = timedelta(days=1462)
_DATE = r"^(?:19|[2-8][0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}(?: [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?)?$"


def read_xlsx(path: Path, scratch: Path, header_row: int | None = None) -> list[TableFiles]:
    """Read every visible sheet of `path` into `scratch`; `header_row` as in `reading.read_list`.

    Raises:
        RejectedInput: `file_damaged`, `sheet_missing`, `sheet_ambiguous`, `too_many_columns`.
    """
    try:
        reader = fastexcel.read_excel(str(path))
        visible, epoch = _visible_sheets(path, reader.sheet_names)
        if len(visible) > MAX_SHEETS:
            raise RejectedInput(
                "sheet_ambiguous",
                f"The workbook has more than {MAX_SHEETS} sheets.",
                "Keep the sheet with the list and delete the others.",
            )
        found = [_read_sheet(reader, name, number, scratch, epoch, header_row) for number, name in enumerate(visible)]
    except fastexcel.FastExcelError:
        raise RejectedInput(
            "file_damaged", "The workbook is damaged: its sheets cannot be read.", "Save it again in Excel."
        ) from None
    read = [table for table in found if table is not None]
    if not read:
        raise RejectedInput("file_empty", "The workbook has no visible sheet with text.", "Upload a list with rows.")
    return read


def _visible_sheets(path: Path, names: list[str]) -> tuple[list[str], int]:
    """Names of visible worksheets, and the year from which their days have to be counted anew (see `_lost_epoch`).

    Chart sheets and hidden ones are left out by the workbook's own account.
    """
    hidden: set[str] = set()
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename.replace("\\", "/").lower(): part for part in archive.infolist()}
        workbook = next((part for name, part in parts.items() if name.endswith("workbook.xml")), None)
        if workbook is None:
            return names, _EPOCH_1900
        with archive.open(workbook) as handle:
            content = handle.read(_WORKBOOK_BYTES)
        charts = _chart_relations(archive, parts)
    for sheet in _elements(content, "sheet"):
        relation = next((value for key, value in sheet.attrib.items() if key.endswith("}id")), "")
        if sheet.get("state", "visible") != "visible" or relation in charts:
            hidden.add(sheet.get("name", ""))
    return [name for name in names if name not in hidden], _lost_epoch(content)


def _lost_epoch(workbook: bytes) -> int:
    """The year from which days have to be counted anew: the reader forgets 1904 where an extension follows it.

    Excel 2013 and later write a second `workbookPr`, of their own namespace, and the reader takes the last one's word.
    """
    said = [element.get("date1904") for element in _elements(workbook, "workbookPr")]
    return _EPOCH_1904 if any(map(_is_on, said)) and not _is_on(said[-1]) else _EPOCH_1900


def _is_on(value: str | None) -> bool:
    return value is not None and value.strip().lower() in ("1", "true", "on")


def _chart_relations(archive: zipfile.ZipFile, parts: dict[str, zipfile.ZipInfo]) -> set[str]:
    relations = next((part for name, part in parts.items() if name.endswith("_rels/workbook.xml.rels")), None)
    if relations is None:
        return set()
    with archive.open(relations) as handle:
        content = handle.read(_WORKBOOK_BYTES)
    return {
        element.get("Id", "")
        for element in _elements(content, "Relationship")
        if not element.get("Type", "").endswith("/worksheet")
    }


def _elements(content: bytes, name: str) -> list[ET.Element]:
    try:
        root = ET.fromstring(content)  # noqa: S314  # a part with a DTD was refused before
    except ET.ParseError:
        raise RejectedInput(
            "file_damaged", "The workbook is damaged: its list of sheets cannot be read.", "Save it again in Excel."
        ) from None
    return [element for element in root.iter() if element.tag.rsplit("}", 1)[-1] == name]


def _read_sheet(
    reader: fastexcel.ExcelReader, name: str, number: int, scratch: Path, epoch: int, header_row: int | None
) -> TableFiles | None:
    sheet = reader.load_sheet(name, header_row=None, skip_rows=0, dtypes="string")
    if sheet.width > MAX_COLUMNS:
        raise RejectedInput(
            "too_many_columns",
            f"A sheet has {sheet.width:,} columns; {MAX_COLUMNS:,} are read at most.",
            "Delete the columns that are not needed.",
        )
    batch, errors = sheet.to_arrow_with_errors()
    columns = [pc.fill_null(column.cast(pa.string()), "") for column in batch.columns]
    if epoch == _EPOCH_1904:
        days = reader.load_sheet(name, header_row=None, skip_rows=0, dtypes="datetime").to_arrow()
        columns = [_days_from_1904(texts, as_days) for texts, as_days in zip(columns, days.columns, strict=True)]
    if errors is not None:
        columns = _with_error_texts(columns, errors.errors)
    filled = np.zeros(batch.num_rows, bool)
    for column in columns:
        filled |= pc.not_equal(pc.utf8_trim_whitespace(column), "").to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(filled)
    if not len(rows):
        return None
    header = int(rows[0]) if header_row is None else header_row - 1
    if header >= 0 and header not in rows:
        raise header_row_missing(header + 1)
    below = rows[rows > header]
    names = [f"c{index}" for index in range(len(columns))]
    table = pa.Table.from_arrays(columns, names=names).take(pa.array(below))
    label = f"sheet{number}"
    tables.write_table(tables.part(scratch, label, "cells"), table)
    tables.write_lines(scratch, label, below.astype(np.int64) + 1)
    tables.write_bad(scratch, label, [])
    headers = unnamed_headers(len(columns))
    if header >= 0:
        headers = tuple(str(column[header].as_py()) for column in columns)
    blank = batch.num_rows - header - 1 - len(below)
    return TableFiles(label, headers, header + 1, "xlsx", sheet=name, blank_rows=blank)


def _with_error_texts(columns: list[pa.Array], errors: Iterable[fastexcel.CellError]) -> list[pa.Array]:
    """Error cells as a spreadsheet shows them: a blank would pass for something that nobody wrote."""
    found: dict[int, dict[int, str]] = {}
    for cell in errors:
        row, column = cell.position
        kind = _ERROR.search(cell.detail)
        found.setdefault(column, {})[row] = _ERRORS.get(kind[1] if kind else "", "#ERROR!")
    for column, texts in found.items():
        rows = sorted(texts)
        mask = np.zeros(len(columns[column]), bool)
        mask[rows] = True
        written = pa.array([texts[row] for row in rows], columns[column].type)
        columns[column] = pc.replace_with_mask(columns[column], pa.array(mask), written)
    return columns


def _days_from_1904(texts: pa.Array, as_days: pa.Array) -> pa.Array:
    """Dates as the workbook counts them: the reader counted its days from 1900.

    A cell holds a date where it is written as one and can be read as a day too; a text that looks like one cannot.
    """
    is_date = pc.and_(pc.is_valid(as_days), pc.match_substring_regex(texts, _DATE))
    if not pc.any(is_date).as_py():
        return texts
    places = np.flatnonzero(is_date.to_numpy(zero_copy_only=False))
    cells = texts.take(pa.array(places)).to_pylist()
    moved = [str(datetime.fromisoformat(cell) + _BETWEEN_EPOCHS) for cell in cells]
    return pc.replace_with_mask(texts, is_date, pa.array(moved, pa.string()))
