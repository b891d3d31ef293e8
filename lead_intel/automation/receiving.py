"""How a file becomes an upload, and what a person says of its columns. The moves after that are `journey`'s."""

from __future__ import annotations

import getpass
import hashlib
from dataclasses import dataclass
from pathlib import Path

from lead_intel.automation.desk import Desk
from lead_intel.automation.launch import register_partition
from lead_intel.errors import UsageError
from lead_intel.record import bucket, ingestions, layouts, plans, upload_files
from lead_intel.record.announcements import announce_state


@dataclass(frozen=True, slots=True)
class Received:
    """The upload that a file became, or already was."""

    upload: str
    created: bool


def receive(desk: Desk, file: Path, supplier: str, profile: str | None, said: layouts.Said | None = None) -> Received:
    """Put `file` into the bucket and make an upload of it; the same bytes again are the same upload.

    Raises:
        UsageError: the file cannot be read, or the supplier's name is impossible, or its columns are settled.
        RejectedInput: the bucket refuses it.
    """
    bucket.checked_supplier(supplier)
    digest = sha256_of(file)
    same = ingestions.find_same_bytes(desk.connection, supplier, digest)
    if same is not None:
        if profile is not None and profile != same.profile:
            ingestions.set_profile(desk.connection, same.upload, profile)
        if said is not None:
            say_columns(desk, same.upload, said)
        _bring_back(desk, same, file)
        return Received(same.upload, created=False)
    stored = bucket.put_list(desk.settings, file, supplier, digest)
    accepted = upload_files.accept(desk.connection, stored, supplier, profile or "strict")
    if profile is not None:
        ingestions.set_profile(desk.connection, accepted.upload, profile)
    if said is not None:
        say_columns(desk, accepted.upload, said)
    register_partition(desk.instance, accepted.upload)
    announce_state(desk.settings, accepted.upload)
    return Received(accepted.upload, accepted.created)


def say_columns(desk: Desk, upload: str, said: layouts.Said) -> None:
    """Store what a person says of the list's columns, beside what was said before; the next screening uses it.

    Raises:
        UsageError: a plan was made with the columns as they are.
    """
    before = layouts.said_of(desk.connection, upload)
    header_row = before.header_row if said.header_row is None else said.header_row
    together = layouts.Said({**before.columns, **said.columns}, header_row)
    if together == before:
        return
    if plans.newest_or_none(desk.connection, upload) is not None:
        raise UsageError(
            "columns_settled",
            f"The columns of {upload} are settled: a plan was made with them.",
            "Save the list under other bytes, for example with a changed header, and upload that.",
        )
    layouts.say(desk.connection, upload, together, getpass.getuser())


def _bring_back(desk: Desk, known: ingestions.Ingestion, file: Path) -> None:
    """Put the list into the bucket again if its bytes lie there no longer, so that the upload can be read again."""
    for pinned in upload_files.files_of(desk.connection, known.upload):
        if pinned.sha256 == known.sha256 and not bucket.still_holds(desk.settings, pinned):
            stored = bucket.put_list(desk.settings, file, known.supplier, known.sha256)
            upload_files.replace_object(desk.connection, known.upload, pinned.file_no, stored)
            desk.say("The list lies in the bucket again.")


def sha256_of(file: Path) -> str:
    """Digest of a file's bytes. Raises UsageError when it cannot be read."""
    try:
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(
            "file_unreadable", f"{file} cannot be read: {error.strerror}.", "Name a CSV or XLSX file."
        ) from None
