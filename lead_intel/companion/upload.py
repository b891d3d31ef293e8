"""One list into the bucket: begun, resumed, finished, and read back. Decides what each answer of Storage means.

The object appears in the bucket with its last byte, and not before those bytes are proven to be the file's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from lead_intel.companion.folder import Found
from lead_intel.companion.memory import Memory
from lead_intel.companion.source import FileChanged, Source, in_pieces
from lead_intel.errors import RejectedInput, TransientError
from lead_intel.record import bucket, resumable
from lead_intel.settings import StorageSettings


class Witness(Protocol):
    """Hears how an upload goes."""

    def started(self) -> None:
        """The server knows of the upload; nothing was sent."""

    def resumed(self, offset: int, cause: str) -> None:
        """It goes on from where the server is: `restart` of the companion, `connection` cut, or `conflict`."""

    def expired(self) -> None:
        """The server has given the upload up; it begins again."""

    def sent(self, offset: int, more: int) -> None:
        """The network took `more` bytes; all before `offset` have been handed to it."""


@dataclass
class Done:
    """How the list came to lie in the bucket."""

    object_path: str
    was_there: bool
    seconds: float = 0.0
    bytes_sent: int = 0
    resumes: int = 0


@dataclass
class ListUpload:
    """The upload of one list, which may take several attempts; the server keeps what arrived."""

    http: httpx.Client
    settings: StorageSettings
    memory: Memory
    found: Found
    supplier: str
    sha256: str
    witness: Witness
    resumes: int = 0
    bytes_sent: int = 0
    _began: float = field(default_factory=time.monotonic)
    _attempts: int = 0

    def attempt(self) -> Done:
        """Go on until the list lies in the bucket.

        Raises:
            FileChanged: the file changed meanwhile; what was sent of it is forgotten.
            RejectedInput: the bucket refuses the list.
            SetupError: the bucket is missing or the key is refused.
            TransientError: try again later; what arrived is kept.
        """
        self._attempts += 1
        source = Source(self.found)
        try:
            place = self._place(source)
        except FileChanged:
            self._forget()
            raise
        if place.is_done:
            return Done(place.object_path, was_there=True)
        self._verify(place.object_path)
        self.memory.done(self.supplier, self.sha256, self.found.stamp.size, place.object_path)
        seconds = time.monotonic() - self._began
        return Done(
            place.object_path, was_there=False, seconds=seconds, bytes_sent=self.bytes_sent, resumes=self.resumes
        )

    def _place(self, source: Source) -> _Place:
        known = self.memory.find(self.supplier, self.sha256)
        if known is not None and known.is_done:
            return _Place(known.object_path, is_done=True)
        if known is not None and known.upload_id is not None:
            try:
                offset = self._offset(known.upload_id)
                self._resumed(offset, "restart" if self._attempts == 1 else "connection")
                self._send(source, known.upload_id, known.object_path, offset)
                return _Place(known.object_path, is_done=False)
            except resumable.UploadGone:
                self.memory.forget(self.supplier, self.sha256)
                self.witness.expired()
        return self._begin(source)

    def _begin(self, source: Source) -> _Place:
        own = bucket.object_name(self.found.path.name)
        for name in (own, bucket.other_object_name(own, self.sha256)):
            path = f"{self.supplier}/{name}"
            try:
                upload_id = resumable.begin(
                    self.http, self.settings, path, self.found.stamp.size, bucket.mime_of(name), self.sha256
                )
            except resumable.NameTaken:
                if bucket.read_stored(self.settings, path).sha256 == self.sha256:
                    self.memory.done(self.supplier, self.sha256, self.found.stamp.size, path)
                    return _Place(path, is_done=True)
                continue
            self.memory.begin(self.supplier, self.sha256, self.found.stamp.size, path, upload_id)
            self.witness.started()
            try:
                self._send(source, upload_id, path, 0)
            except resumable.UploadGone:
                self.memory.forget(self.supplier, self.sha256)
                self.witness.expired()
                raise TransientError("upload_expired", "The upload expired.", "It begins again.") from None
            return _Place(path, is_done=False)
        raise RejectedInput(
            "name_taken", "Other lists lie in the bucket under this name.", "Rename the file; it is taken up again."
        )

    def _send(self, source: Source, upload_id: str, path: str, offset: int) -> None:
        size = self.found.stamp.size
        if offset == size:
            return self._finish(source, upload_id)
        while offset < size:
            length = min(resumable.CHUNK, size - offset)
            chunk = source.read(offset, length)
            # The last chunk makes the object visible.
            if offset + length == size and not source.ends_as(self.sha256, offset, chunk):
                raise FileChanged
            try:
                offset = self._append(upload_id, offset, chunk)
            except resumable.OffsetConflict:
                offset = self._after_conflict(upload_id, path, offset)
        return None

    def _finish(self, source: Source, upload_id: str) -> None:
        """All bytes are there, and nobody knows whether the object is: a server may die in between.

        Nothing, sent at the end, makes the object if it is not there.
        """
        if not source.ends_as(self.sha256, self.found.stamp.size, b""):
            raise FileChanged
        try:
            resumable.append(self.http, self.settings, upload_id, self.found.stamp.size, 0, iter(()))
        except resumable.OffsetConflict:
            return  # it is there

    def _append(self, upload_id: str, offset: int, chunk: bytes) -> int:
        told = 0

        def sent(so_far: int) -> None:
            nonlocal told
            self.bytes_sent += so_far - told
            self.witness.sent(offset + so_far, so_far - told)
            told = so_far

        return resumable.append(self.http, self.settings, upload_id, offset, len(chunk), in_pieces(chunk, sent))

    def _after_conflict(self, upload_id: str, path: str, offset: int) -> int:
        """The server stands elsewhere: follow it. It stands here all the same: the name was taken meanwhile."""
        at = self._offset(upload_id)
        if at != offset:
            self._resumed(at, "conflict")
            return at
        self._forget()
        if bucket.read_stored(self.settings, path).sha256 == self.sha256:
            return self.found.stamp.size
        raise TransientError("name_taken", "Another list took the name meanwhile.", "It is sent under another name.")

    def _offset(self, upload_id: str) -> int:
        at = resumable.progress_of(self.http, self.settings, upload_id)
        if at.length != self.found.stamp.size:
            raise resumable.UploadGone
        return at.offset

    def _resumed(self, offset: int, cause: str) -> None:
        self.resumes += 1
        self.witness.resumed(offset, cause)

    def _verify(self, path: str) -> None:
        """Read the object back: only what lies there is proof.

        Raises:
            TransientError: other bytes lie there.
        """
        try:
            stored = bucket.read_stored(self.settings, path).sha256
        except RejectedInput:
            # Somebody removed it already, or the server lost it: nothing lies there, so it goes once more.
            stored = ""
        if stored != self.sha256:
            self.memory.forget(self.supplier, self.sha256)
            raise TransientError(
                "bytes_differ", "The bucket does not hold the bytes that were sent.", "The list is sent once more."
            )

    def _forget(self) -> None:
        known = self.memory.find(self.supplier, self.sha256)
        if known is not None and known.upload_id is not None:
            resumable.give_up(self.http, self.settings, known.upload_id)
        self.memory.forget(self.supplier, self.sha256)


@dataclass(frozen=True, slots=True)
class _Place:
    object_path: str
    is_done: bool
