"""How many rows of a worksheet hold text, counted in its XML apart from the library that reads it.

The directory and the DTDs were judged before (`recognise`), and a child has read the whole sheet under limits. The
fast count looks at bytes only; the exact one parses the sheet, knows blank strings, and is asked when they disagree.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO
from xml.etree import ElementTree as ET

_BLOCK = 1 << 20
_LONGEST_ROW = 64 << 20
_ROW = re.compile(rb"<(?:\w+:)?row[\s/>]")
_VALUE = re.compile(rb"<(?:\w+:)?(?:v|t)(?:\s[^>]*)?>[^<]")
_LONGEST_TAG = 64


def rows_in_sheet(path: Path, sheet: str) -> int:
    """Rows with a value. A string that is blank counts as a value here: ask `rows_in_sheet_exactly` then."""
    with zipfile.ZipFile(path) as archive, archive.open(_part_of(archive, sheet)) as stream:
        return sum(1 for row in _row_texts(stream) if _VALUE.search(row))


def _row_texts(stream: IO[bytes]) -> Iterator[bytes]:
    """The bytes from each row's tag to the next one's."""
    waiting = b""
    while block := stream.read(_BLOCK):
        waiting += block
        starts = [match.start() for match in _ROW.finditer(waiting)]
        yield from (waiting[start:end] for start, end in pairwise(starts))
        # What no row begins in may hold the beginning of a tag.
        waiting = waiting[starts[-1] :] if starts else waiting[-_LONGEST_TAG:]
        if len(waiting) > _LONGEST_ROW:
            return
    if _ROW.match(waiting):
        yield waiting


def rows_in_sheet_exactly(path: Path, sheet: str, below: int = 0) -> int:
    """Rows with a cell whose value is more than blanks, by an XML parser and the workbook's own strings.

    `below`: only rows under the one with this number.
    """
    with zipfile.ZipFile(path) as archive:
        blank = _blank_strings(archive)
        filled: set[str] = set()
        with archive.open(_part_of(archive, sheet)) as stream:
            number = 0
            for row in _ended(stream, "row"):
                number = int(row.get("r") or number + 1)
                if number > below and any(_has_text(cell, blank) for cell in row if _local(cell) == "c"):
                    filled.add(str(number))
                row.clear()
    return len(filled)


def _has_text(cell: ET.Element, blank: frozenset[str]) -> bool:
    value = next((child.text or "" for child in cell if _local(child) == "v"), "")
    if cell.get("t") == "s":
        return bool(value.strip()) and value.strip() not in blank
    if cell.get("t") == "inlineStr":
        return bool(_text_of(cell).strip())
    return bool(value.strip())


def _blank_strings(archive: zipfile.ZipFile) -> frozenset[str]:
    name = _named(archive, "sharedStrings.xml")
    if name is None:
        return frozenset()
    found = set()
    with archive.open(name) as stream:
        for index, item in enumerate(_ended(stream, "si")):
            if not _text_of(item).strip():
                found.add(str(index))
            item.clear()
    return frozenset(found)


def _text_of(element: ET.Element) -> str:
    return "".join(part.text or "" for part in element.iter() if _local(part) == "t")


def _ended(stream: IO[bytes], name: str) -> Iterator[ET.Element]:
    # A part with a DTD was refused before the sheet was read.
    for _, element in ET.iterparse(stream):  # noqa: S314
        if _local(element) == name:
            yield element


def _local(element: ET.Element) -> str:
    return element.tag.rsplit("}", 1)[-1]


def _part_of(archive: zipfile.ZipFile, sheet: str) -> str:
    """The worksheet's part: workbook -> relation -> target."""
    workbook = _named(archive, "workbook.xml") or ""
    relations = _named(archive, "workbook.xml.rels") or ""
    with archive.open(workbook) as stream:
        relation = next(
            (value for found in _ended(stream, "sheet") if found.get("name") == sheet
             for key, value in found.attrib.items() if key.endswith("}id")),
            "",
        )  # fmt: skip
    with archive.open(relations) as stream:
        target = next((found.get("Target", "") for found in _ended(stream, "Relationship")
                       if found.get("Id") == relation), "")  # fmt: skip
    folder = PurePosixPath(workbook.replace("\\", "/")).parent
    wanted = target.lstrip("/") if target.startswith("/") else str(folder / target)
    names = {_canonical(name): name for name in archive.namelist()}
    return names.get(_canonical(wanted), wanted)


def _canonical(name: str) -> str:
    """One spelling for a part's name: no case, no backslashes, no dots."""
    parts: list[str] = []
    for part in name.replace("\\", "/").lower().split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _named(archive: zipfile.ZipFile, ending: str) -> str | None:
    wanted = ending.lower()
    return next((name for name in archive.namelist() if _canonical(name).rsplit("/", 1)[-1] == wanted), None)
