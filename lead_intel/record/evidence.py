"""The evidence ledger: append-only, hash-chained entries, each with a Merkle root over its per-lead facts.

Personal data stays outside the chain: leaves are digests. The chain proves order and content; the tables hold both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg.types.json import Jsonb

_GENESIS = "0" * 64
# RFC 6962, section 2.1: leaves and nodes are hashed in different domains, so a node cannot pose as a leaf.
_LEAF, _NODE = b"\x00", b"\x01"
_BETWEEN_VALUES = "\x1f"


def leaves_of(frame: pd.DataFrame) -> list[bytes]:
    """One digest per row, over its values as text in column order; sorted, so that row order does not matter."""
    columns = [pa.array(frame[name].astype(str), pa.large_string()) for name in frame.columns]
    if not columns:
        return []
    rows = pc.binary_join_element_wise(*columns, pa.scalar(_BETWEEN_VALUES, pa.large_string()))
    return sorted(hashlib.sha256(_LEAF + row.encode()).digest() for row in rows.to_pylist())


def merkle_root(leaves: Sequence[bytes]) -> str:
    """Root over `leaves` (hex); the digest of nothing for an empty list."""
    level = list(leaves) or [hashlib.sha256(b"").digest()]
    while len(level) > 1:
        paired = [hashlib.sha256(_NODE + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        level = paired + ([level[-1]] if len(level) % 2 else [])
    return level[0].hex()


def append(connection: psycopg.Connection, upload: str, stage: str, body: dict[str, Any], facts: pd.DataFrame) -> str:
    """Chain one entry and return its hash; a stage rerun with the same facts adds nothing.

    One writer at a time; the lock ends with the transaction.
    """
    root = merkle_root(leaves_of(facts))
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('lead_intel.evidence'))")
        same = connection.execute(
            "select body = %s and merkle_root = %s, hash from lead_intel.evidence "
            "where upload = %s and stage = %s order by seq desc limit 1",
            (Jsonb(body), root, upload, stage),
        ).fetchone()
        if same is not None and same[0]:
            return str(same[1])
        last = connection.execute("select hash from lead_intel.evidence order by seq desc limit 1").fetchone()
        previous = str(last[0]) if last else _GENESIS
        entry_hash = _entry_hash(previous, upload, stage, body, root)
        connection.execute(
            "insert into lead_intel.evidence (upload, stage, body, merkle_root, previous_hash, hash) "
            "values (%s, %s, %s, %s, %s, %s)",
            (upload, stage, Jsonb(body), root, previous, entry_hash),
        )
    return entry_hash


def first_break(connection: psycopg.Connection) -> int | None:
    """`seq` of the first entry that does not follow from the one before, or None when the chain holds."""
    previous = _GENESIS
    for seq, upload, stage, body, root, said, found in connection.execute(
        "select seq, upload, stage, body, merkle_root, previous_hash, hash from lead_intel.evidence order by seq"
    ):
        if said != previous or _entry_hash(previous, upload, stage, body, root) != found:
            return int(seq)
        previous = str(found)
    return None


def _entry_hash(previous: str, upload: str, stage: str, body: dict[str, Any], root: str) -> str:
    canonical = json.dumps([previous, upload, stage, body, root], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
