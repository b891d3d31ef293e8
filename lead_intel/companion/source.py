"""One file to be uploaded: read in pieces, and watched while it is read. Bytes of two contents are never mixed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from lead_intel.companion.folder import Found, Stamp

_PIECE = 64 * 1024
_BLOCK = 1 << 20


class FileChanged(Exception):
    """The file is not what it was when we began: begin again with what it is now."""


class Source:
    """The file of `found`, as long as it stays that file. `sha256` is known once `digest` or a memory gave it."""

    def __init__(self, found: Found) -> None:
        self.path: Path = found.path
        self.stamp: Stamp = found.stamp

    def must_be_unchanged(self) -> None:
        """Raise FileChanged unless the name still leads to the same content."""
        try:
            now = Stamp.of(self.path.stat(follow_symlinks=False))
        except OSError:
            raise FileChanged from None
        if now != self.stamp:
            raise FileChanged

    def digest(self) -> str:
        """SHA-256 of the whole file.

        Raises:
            FileChanged: it changed, or went, while it was read.
        """
        digest = self._digest_until(self.stamp.size)
        self.must_be_unchanged()
        return digest.hexdigest()

    def ends_as(self, sha256: str, offset: int, last: bytes) -> bool:
        """True when what lies before `offset`, and `last`, together are the bytes of `sha256`."""
        digest = self._digest_until(offset)
        digest.update(last)
        return digest.hexdigest() == sha256

    def read(self, offset: int, length: int) -> bytes:
        """One chunk.

        Raises:
            FileChanged: it is not there as it was.
        """
        self.must_be_unchanged()
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                chunk = file.read(length)
        except OSError:
            raise FileChanged from None
        if len(chunk) != length:
            raise FileChanged
        self.must_be_unchanged()
        return chunk

    def _digest_until(self, end: int) -> hashlib._Hash:
        digest, left = hashlib.sha256(), end
        try:
            with self.path.open("rb") as file:
                while left > 0 and (block := file.read(min(_BLOCK, left))):
                    digest.update(block)
                    left -= len(block)
        except OSError:
            raise FileChanged from None
        return digest


def in_pieces(chunk: bytes, sent: Callable[[int], None]) -> Iterator[bytes]:
    """`chunk` bit by bit; `sent` hears how much of it has been handed to the network."""
    for start in range(0, len(chunk), _PIECE):
        yield chunk[start : start + _PIECE]
        sent(min(start + _PIECE, len(chunk)))
