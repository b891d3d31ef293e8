"""What a file is, from its bytes: CSV text, an XLSX workbook, or something that is refused by name.

Runs in the reading child. Looks at the first bytes and at a zip's directory only; nothing is unpacked here beyond the
first bytes of a part. No table is read here.
"""

from __future__ import annotations

import mmap
import re
import zipfile
import zlib
from pathlib import Path
from typing import Literal

from lead_intel.errors import RejectedInput

Kind = Literal["csv", "xlsx"]

SAVE_AS = "Save the list as CSV (UTF-8) or XLSX and upload it again."

MAX_FILE_BYTES = 4 << 30
MAX_ZIP_ENTRIES = 10_000
MAX_ZIP_INFLATED = 4 << 30
MAX_ZIP_RATIO = 100
RATIO_MATTERS_FROM = 1 << 20
"""A part smaller than this is harmless however well it was packed."""

_TOO_MANY_PARTS = f"it has more than {MAX_ZIP_ENTRIES:,} parts"
_PACKED_TOO_WELL = f"a part unpacks to more than {MAX_ZIP_RATIO} times its size"

_HEAD = 64 << 10
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF", "pdf", "a PDF document"),
    (b"\x1f\x8b", "gzip", "a gzip archive"),
    (b"BZh", "bzip2", "a bzip2 archive"),
    (b"\xfd7zXZ", "xz", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "zstd", "a zstd archive"),
    (b"7z\xbc\xaf", "7z", "a 7-Zip archive"),
    (b"Rar!", "rar", "a RAR archive"),
    (b"\x89PNG", "image", "a picture"),
    (b"\xff\xd8\xff", "image", "a picture"),
    (b"GIF8", "image", "a picture"),
    (b"PAR1", "parquet", "a Parquet file"),
    (b"SQLite format 3", "sqlite", "a SQLite database"),
    (b"{\\rtf", "rtf", "an RTF document"),
    (b"TABLE\r\n0,1", "dif", "a DIF spreadsheet"),
    (b"TABLE\n0,1", "dif", "a DIF spreadsheet"),
)
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_WIDE_START = {b"<\x00": "utf-16-le", b"\x00<": "utf-16-be"}
_XML_ENCODINGS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "windows-1252", "utf-16"})
_DECLARED = re.compile(r"""<\?xml[^>]*encoding\s*=\s*["']([^"']+)""")
_ROOT = re.compile(r"<[A-Za-z_]")
_DTD = re.compile(r"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


def kind_of(path: Path) -> Kind:
    """The kind of `path` by content.

    Raises:
        RejectedInput: `file_empty`, `file_too_large`, `file_unsafe`, `file_damaged`, `password_protected` or
            `format_<name>` for every format that is not read.
    """
    size = path.stat().st_size
    if size == 0:
        raise RejectedInput("file_empty", "The file is empty.", "Upload a list with a header and rows.")
    if size > MAX_FILE_BYTES:
        raise RejectedInput("file_too_large", f"The file is larger than {MAX_FILE_BYTES >> 30} GiB.", "Split the list.")
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(path)
    if head.startswith(_OLE):
        raise _refused_ole(path)
    for magic, name, words in _MAGIC:
        if head.startswith(magic):
            raise refused_format(name, words)
    _refuse_markup(head)
    return "csv"


def refused_format(name: str, words: str) -> RejectedInput:
    """The refusal of a format that is not read."""
    return RejectedInput(f"format_{name}", f"The file is {words}, not a list that can be read.", SAVE_AS)


def _refused_ole(path: Path) -> RejectedInput:
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find("EncryptedPackage".encode("utf-16-le")) >= 0:
            return password_protected()
        if any(content.find(name.encode("utf-16-le")) >= 0 for name in ("Workbook", "Book")):
            return refused_format("xls", "an old Excel workbook (XLS)")
    return refused_format("ole", "an old Office document")


def password_protected() -> RejectedInput:
    """The refusal of every encrypted file."""
    return RejectedInput(
        "password_protected", "The file is protected by a password.", "Remove the password and upload it again."
    )


def _refuse_markup(head: bytes) -> None:
    text = head
    for bom in _BOMS:
        text = text.removeprefix(bom)
    text = text.replace(b"\x00", b"").lstrip().lower()
    if not text and not head.strip(b"\x00\r\n\t \xef\xbb\xbf\xff\xfe"):
        raise RejectedInput("file_empty", "The file holds no text.", "Upload a list with a header and rows.")
    if text.startswith((b"<!doctype html", b"<html", b"<table", b"<head", b"<body", b"<div")):
        raise refused_format("html", "a web page (HTML)")
    if text.startswith((b"<?xml", b"<!doctype", b"<!--")):
        raise refused_format("xml", "an XML document")
    if re.match(rb"[\[{]\s*[\"{\[\]}]", text):
        raise refused_format("json", "JSON")


def _kind_of_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            _refuse_unsafe_directory(parts)
            kind = _kind_of_parts(archive, {part.filename.replace("\\", "/").lower(): part for part in parts})
            _refuse_unsafe_xml(archive, parts)
            return kind
    except (zipfile.BadZipFile, NotImplementedError, EOFError, UnicodeDecodeError, OSError, zlib.error):
        raise RejectedInput(
            "file_damaged", "The workbook is damaged: its zip container cannot be read.", "Save it again in Excel."
        ) from None


def _refuse_unsafe_directory(parts: list[zipfile.ZipInfo]) -> None:
    """Judge the directory before anything is inflated (ASVS 5.2.3)."""
    if any(part.flag_bits & 1 for part in parts):
        raise password_protected()
    if len(parts) > MAX_ZIP_ENTRIES:
        raise unsafe(_TOO_MANY_PARTS)
    names = [part.filename.replace("\\", "/").lower() for part in parts]
    if len(set(names)) < len(names):
        raise unsafe("two of its parts have one name")
    if sum(part.file_size for part in parts) > MAX_ZIP_INFLATED:
        raise RejectedInput(
            "file_too_large", f"Unpacked, the workbook is larger than {MAX_ZIP_INFLATED >> 30} GiB.", "Split the list."
        )
    for part in parts:
        if part.file_size > RATIO_MATTERS_FROM and part.file_size > MAX_ZIP_RATIO * max(part.compress_size, 1):
            raise unsafe(_PACKED_TOO_WELL)


def unsafe(why: str) -> RejectedInput:
    """The refusal of a file that would harm whoever opens it."""
    return RejectedInput("file_unsafe", f"The file is not safe to open: {why}.", SAVE_AS)


def _kind_of_parts(archive: zipfile.ZipFile, parts: dict[str, zipfile.ZipInfo]) -> Kind:
    if "xl/workbook.bin" in parts:
        raise refused_format("xlsb", "a binary Excel workbook (XLSB)")
    if "mimetype" in parts or "content.xml" in parts:
        manifest = parts.get("meta-inf/manifest.xml")
        if manifest is not None and b"encryption-data" in _head_of(archive, manifest, 1 << 20):
            raise password_protected()
        raise refused_format("ods", "an OpenDocument file (ODS)")
    types = parts.get("[content_types].xml")
    content_types = b"" if types is None else _head_of(archive, types, 1 << 20)
    if any(name.endswith("vbaproject.bin") for name in parts) or b"macroEnabled" in content_types:
        raise refused_format("xlsm", "a workbook with macros")
    if any(name.endswith("xl/workbook.xml") for name in parts) or b"spreadsheetml.sheet.main" in content_types:
        return "xlsx"
    if types is not None:
        raise refused_format("office", "an Office document without a sheet")
    raise refused_format("zip", "a zip archive")


def _head_of(archive: zipfile.ZipFile, part: zipfile.ZipInfo, limit: int = _HEAD) -> bytes:
    with archive.open(part) as handle:
        return handle.read(limit)


def _refuse_unsafe_xml(archive: zipfile.ZipFile, parts: list[zipfile.ZipInfo]) -> None:
    """Every XML part begins with its root: no DTD, no entity, no encoding that hides one (ASVS 1.5.1)."""
    for part in parts:
        if part.filename.lower().endswith((".xml", ".rels")) and part.file_size:
            prolog = _text_of(_head_of(archive, part))
            if _DTD.search(prolog):
                raise unsafe("it declares a document type")
            if not _ROOT.search(prolog):
                raise unsafe("one of its parts does not begin as XML")


def _text_of(head: bytes) -> str:
    for bom, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(bom):
            return head[len(bom) :].decode(encoding, "replace")
    text = head.decode(_WIDE_START.get(head[:2], "latin-1"), "replace")
    declared = _DECLARED.match(text.lstrip())
    if declared and declared[1].lower() not in _XML_ENCODINGS:
        raise unsafe("one of its parts is written in an unusual encoding")
    return text
