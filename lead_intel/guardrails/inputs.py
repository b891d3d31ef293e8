"""What the ten guardrails look at, gathered once: settings, policy, the upload's row, the columns of its list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pyarrow.parquet as pq

from lead_intel.policy import Policy
from lead_intel.record import ingestions
from lead_intel.record.database import connected
from lead_intel.record.frames import frame_path
from lead_intel.settings import Settings

_RAW_FRAME = "raw_upload"
_STATEMENT_TIMEOUT = "3s"


@dataclass(frozen=True, slots=True)
class Inputs:
    """`ingestion` is None when no upload is asked about; `headers` are the raw frame's columns, once it was read."""

    settings: Settings
    policy: Policy
    ingestion: ingestions.Ingestion | None = None
    headers: tuple[str, ...] | None = None

    @property
    def upload(self) -> str | None:
        """The upload's key, if one is asked about."""
        return None if self.ingestion is None else self.ingestion.upload

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection]:
        """A connection of the guardrail's own, in one transaction with a bounded statement time.

        Not the caller's: guardrails run side by side, and one that hangs must not hold up the others.
        """
        with connected(self.settings) as connection, connection.transaction():
            connection.execute("select set_config('statement_timeout', %s, true)", (_STATEMENT_TIMEOUT,))
            yield connection


def gather(settings: Settings, policy: Policy, connection: psycopg.Connection, upload: str | None) -> Inputs:
    """Read the upload's row and the columns of its list (the Parquet footer only).

    Raises:
        UsageError: there is no such upload.
    """
    if upload is None:
        return Inputs(settings, policy)
    ingestion = ingestions.find(connection, upload)
    path = frame_path(settings.frames_dir, _RAW_FRAME, upload)
    headers = tuple(pq.read_schema(path).names) if path.exists() else None
    return Inputs(settings, policy, ingestion, headers)
