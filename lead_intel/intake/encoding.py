"""The text of a CSV file as UTF-8: which encoding its bytes are in, and a UTF-8 copy where they are in another.

Runs in the reading child. A BOM decides; else the whole file is UTF-8 or it is not; else Windows-1252. Nothing is
guessed from statistics: on lists of Western names detectors answer cp1250 and turn n-tilde into n-acute.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lead_intel.errors import RejectedInput
from lead_intel.intake.recognise import SAVE_AS

_BLOCK = 4 << 20
_SAMPLE = 64 << 10
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MULTIBYTE = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe1-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_TWO_LETTERS = re.compile(rb"[\x20-\x7e]{2}")
_WIDE_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Utf8Text:
    """UTF-8 text in `path` from byte `offset` on. `lossy`: bytes that fit nowhere stand as U+FFFD."""

    path: Path
    offset: int
    encoding: str
    lossy: bool = False


def as_utf8(path: Path, scratch: Path) -> Utf8Text:
    """The text of `path` as UTF-8; a copy in `scratch` when the file is written otherwise.

    Raises:
        RejectedInput: `encoding_unknown` when the bytes fit no encoding that a list may have.
    """
    with path.open("rb") as handle:
        head = handle.read(_SAMPLE)
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            if encoding == "utf-8-sig" and _is_utf8(path):
                return Utf8Text(path, len(bom), encoding)
            return _copied(path, scratch, encoding, skip=len(bom))
    wide = _wide_without_bom(head)
    if wide is not None:
        return _copied(path, scratch, wide, skip=0)
    if _is_utf8(path):
        return Utf8Text(path, 0, "utf-8")
    # Mostly UTF-8 with some bytes that are not: those rows are quarantined, the others keep their letters.
    encoding = "utf-8" if _has_multibyte(path) else "cp1252"
    return _copied(path, scratch, encoding, skip=0)


def _is_utf8(path: Path) -> bool:
    with pa.memory_map(str(path)) as source:
        content = source.read_buffer()
        offsets = pa.array([0, content.size], pa.int64()).buffers()[1]
        try:
            pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, content]).validate(full=True)
        except pa.ArrowInvalid:
            return False
    return True


def _has_multibyte(path: Path) -> bool:
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            if _MULTIBYTE.search(block):
                return True
    return False


def _wide_without_bom(head: bytes) -> str | None:
    """UTF-16 without a BOM: every second byte of Western text is NUL, and letters seldom stand side by side."""
    if len(head) % 2:
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) / 2
    if len(_TWO_LETTERS.findall(head)) >= max(even, odd):
        return None
    if odd > half * _WIDE_SHARE and even < odd / 4:
        return "utf-16-le"
    if even > half * _WIDE_SHARE and odd < even / 4:
        return "utf-16-be"
    return None


def _copied(path: Path, scratch: Path, encoding: str, skip: int) -> Utf8Text:
    name = "utf-8" if encoding == "utf-8-sig" else encoding
    errors = "replace" if name == "utf-8" else "strict"
    decoder = codecs.getincrementaldecoder(name)(errors)
    target = scratch / "text.csv"
    try:
        with path.open("rb") as source, target.open("wb") as copy:
            source.seek(skip)
            while block := source.read(_BLOCK):
                copy.write(decoder.decode(block).encode("utf-8"))
            copy.write(decoder.decode(b"", final=True).encode("utf-8"))
    except UnicodeError:
        raise RejectedInput("encoding_unknown", f"The text is neither UTF-8 nor {encoding}.", SAVE_AS) from None
    return Utf8Text(target, 0, encoding, lossy=errors == "replace")
