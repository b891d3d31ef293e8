"""A closed upload of posted rows -> one CSV object in the bucket, pinned like every list. Can be repeated at any step.

The bytes follow from the committed rows alone, so a repetition after a crash finds the object that it would write.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import psycopg

from lead_intel.errors import LeadIntelError
from lead_intel.record import api_uploads, bucket
from lead_intel.record.api_uploads import Collected
from lead_intel.record.frames import fetched_lists
from lead_intel.record.upload_files import StoredObject
from lead_intel.settings import Settings

_OURS = re.compile(r"api-(upl_[0-9]{8}_[0-9a-z]{10})(-[0-9a-f]{12})?\.csv")


def owns(connection: psycopg.Connection, object_path: str) -> bool:
    """True for an object that is an upload of posted rows, also before it is pinned: no list that somebody dropped."""
    path = PurePosixPath(object_path)
    found = _OURS.fullmatch(path.name)
    if found is None:
        return False
    row = connection.execute(
        "select 1 from lead_intel.api_uploads where upload = %s and supplier = %s", (found[1], str(path.parent))
    ).fetchone()
    return row is not None


def store_closed(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Put every closed upload into the bucket; returns those that this call finished.

    Raises:
        LeadIntelError: the bucket refuses one or does not answer; the others are stored all the same.
    """
    done, refusal = [], None
    for upload in api_uploads.unstored(connection):
        try:
            if store(connection, settings, upload):
                done.append(upload)
        except LeadIntelError as error:
            refusal = error
            _say_why(connection, upload, error)
    if refusal is not None:
        raise refusal
    return done


def store(connection: psycopg.Connection, settings: Settings, upload: str) -> bool:
    """Put the closed `upload` into the bucket; False when it is there already, or somebody else is at it.

    Raises:
        RejectedInput, SetupError: the bucket refuses it.
        TransientError: storage does not answer.
    """
    with connection.transaction():
        row = connection.execute("select pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (upload,)).fetchone()
        if row is None or not row[0]:
            return False
        found = api_uploads.find(connection, upload)
        if found is None or found.closed_at is None or found.stored_at is not None:
            return False
        # As long as the object is written, the transaction holds no row that a post needs.
        _pin(connection, upload, _put(connection, settings, found))
    return True


def _say_why(connection: psycopg.Connection, upload: str, error: LeadIntelError) -> None:
    """Show on the upload's row why it is not in the bucket yet; its state, and what a person did to it, stay."""
    connection.execute(
        "update lead_intel.lead_ingestions set state_reason = %(reason)s, state_message = %(message)s, "
        "state_remedy = %(remedy)s, updated_at = now() where upload = %(upload)s and state = 'received'",
        {"upload": upload, **error.as_reason()},
    )


def _put(connection: psycopg.Connection, settings: Settings, found: Collected) -> StoredObject:
    parent = fetched_lists(settings.lead_intel_home)
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{found.upload}-api-", dir=parent))
    try:
        path = folder / f"api-{found.upload}.csv"
        written = write_csv(path, found.columns, _batches(connection, found.upload))
        if written != found.rows:
            raise LeadIntelError(
                "rows_unbalanced",
                f"{found.upload} took {found.rows} rows and holds {written}.",
                "Nothing was stored; compare api_uploads with api_batches.",
            )
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        return bucket.put_list(settings, path, found.supplier, digest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _batches(connection: psycopg.Connection, upload: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Columns and rows of each batch, in order of arrival, one batch in memory."""
    with connection.cursor(name="api_batches") as cursor:
        cursor.itersize = 20
        cursor.execute(
            "select columns, cells from lead_intel.api_batches where upload = %s order by first_row", (upload,)
        )
        for columns, cells in cursor:
            yield columns, json.loads(bytes(cells))


def write_csv(path: Path, columns: Sequence[str], batches: Iterable[tuple[Sequence[str], list[list[str]]]]) -> int:
    """Write the rows of each batch, under columns of its own, below the header `columns`; returns how many."""
    rows_written = 0
    with path.open("w", encoding="utf-8", newline="") as handle:
        # CR LF: with it the writer quotes every cell that holds either.
        writer = csv.writer(handle, lineterminator="\r\n")
        writer.writerow(columns)
        for own, rows in batches:
            writer.writerows(_in_order(columns, own, rows))
            rows_written += len(rows)
    return rows_written


def _in_order(columns: Sequence[str], own: Sequence[str], rows: list[list[str]]) -> Iterator[list[str]]:
    """`rows` under `own` columns, maybe shorter than these, as rows under `columns`."""
    places = {name: place for place, name in enumerate(own)}
    wanted = [places.get(name, len(own)) for name in columns]
    blanks = [""] * (len(own) + 1)
    for row in rows:
        whole = row + blanks[len(row) :]
        yield [whole[place] for place in wanted]


def _pin(connection: psycopg.Connection, upload: str, stored: StoredObject) -> None:
    where = (stored.bucket, stored.object_path, stored.object_version)
    connection.execute(
        "insert into lead_intel.upload_files (upload, file_no, kind, bucket, object_path, object_version, file_name, "
        "bytes, sha256) values (%s, 1, 'api', %s, %s, %s, %s, %s, %s)",
        (upload, *where, stored.file_name, stored.bytes, stored.sha256),
    )
    connection.execute(
        "insert into lead_intel.bucket_objects (bucket, object_path, object_version, upload) values (%s, %s, %s, %s) "
        "on conflict (bucket, object_path, object_version) do update set upload = excluded.upload",
        (*where, upload),
    )
    connection.execute("update lead_intel.api_uploads set stored_at = clock_timestamp() where upload = %s", (upload,))
    connection.execute("update lead_intel.api_batches set cells = null where upload = %s", (upload,))
    connection.execute(
        "update lead_intel.lead_ingestions set collecting = false, updated_at = now() where upload = %s", (upload,)
    )
    connection.execute(
        "update lead_intel.lead_ingestions set state_reason = null, state_message = null, state_remedy = null "
        "where upload = %s and state = 'received'",
        (upload,),
    )
