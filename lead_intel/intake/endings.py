"""Line ends of a CSV file: bytes with a known row behind them, and how many line breaks lie inside cells.

Runs in the reading child. The row behind the text proves that every quotation mark was closed: when it does not come
back as a row of its own, a quote swallowed it. NUL bytes, which PostgreSQL refuses, are dropped on the way.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def end_row(width: int, separator: str) -> list[str]:
    """A row of `width` cells that no list holds, as [token, text]."""
    token = f"end-{secrets.token_hex(12)}"
    return [token, separator.join([token] * width) + "\n"]


class TextWithEnd(RawIOBase):
    """A file for pyarrow: the text from `offset` on without NUL bytes, then the end row. Counts lines as it goes."""

    def __init__(self, path: Path, offset: int, end: Sequence[str]) -> None:
        super().__init__()
        self.token = end[0]
        self._end = end[1].encode()
        self._file = path.open("rb")
        self._file.seek(offset)
        self._breaks = 0
        self._last = b"\n"

    @property
    def lines(self) -> int:
        """Lines of the text, however they end."""
        return self._breaks + (self._last not in b"\r\n")

    def readable(self) -> bool:
        """As every input file."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`."""
        while block := self._file.read(size):
            block = block.replace(b"\x00", b"") if b"\x00" in block else block
            if block:
                self._count(block)
                return block
        end, self._end = self._end, b""
        return b"\n" + end if end and self._last not in b"\r\n" else end

    def _count(self, block: bytes) -> None:
        self._breaks += block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
        if self._last == b"\r" and block.startswith(b"\n"):
            self._breaks -= 1
        self._last = block[-1:]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def line_breaks(columns: Sequence[pa.Array | pa.ChunkedArray]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Line breaks (LF, CR or CRLF) in the cells of each row."""
    total = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        for text, weight in (("\n", 1), ("\r", 1), ("\r\n", -1)):
            counts = pc.count_substring(column, text)
            total += weight * np.asarray(
                counts.to_numpy(zero_copy_only=False) if isinstance(counts, pa.Array) else counts.to_numpy(), np.int64
            )
    return total
