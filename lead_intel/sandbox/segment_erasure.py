"""Segment's regulations: suppress and erase users, with a completion that can be followed."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lead_intel.sandbox import settings
from lead_intel.sandbox.faults import Switches
from lead_intel.sandbox.memory import Memory
from lead_intel.sandbox.segment_workspace import Workspace

_SCHEMA = """
create table if not exists segment_regulations(
  id text primary key, type text not null, users text not null, at real not null, finished_at real not null);
"""
_TYPES = {
    "SUPPRESS_ONLY", "SUPPRESS_WITH_DELETE", "SUPPRESS_WITH_DELETE_INTERNAL", "DELETE_INTERNAL", "DELETE_ONLY",
    "UNSUPPRESS",
}  # fmt: skip
_USERS_PER_CALL = 5000
_TAKES_SECONDS = 0.3


class Unacceptable(Exception):
    """An order that the API answers with 422."""


class Regulations:
    """Orders to suppress or erase, and how far they are."""

    def __init__(self, memory: Memory, switches: Switches, workspace: Workspace) -> None:
        self._memory = memory
        self._switches = switches
        self._workspace = workspace
        memory.create(_SCHEMA, "segment_regulations")

    def create(self, order: Any) -> str:
        """Take an order; it takes effect at once and is reported finished a little later.

        Raises:
            Unacceptable: for an order that the API refuses.
        """
        kind, users = _checked(order)
        slow = self._switches.is_on("segment_public", "regulation_slow")
        now = time.time()
        finished = now + (slow.number("seconds", 60) if slow else _TAKES_SECONDS)
        identity = f"reg_{uuid.uuid4().hex[:22]}"
        self._memory.write(
            "insert into segment_regulations values(?,?,?,?,?)", (identity, kind, json.dumps(users), now, finished)
        )
        if kind == "UNSUPPRESS":
            self._workspace.unsuppress(users)
        elif kind.startswith("SUPPRESS"):
            self._workspace.suppress(users)
        if "DELETE" in kind:
            self._workspace.erase(users)
        return identity

    def find(self, identity: str) -> dict[str, Any] | None:
        """One order with its status."""
        row = self._memory.row("select * from segment_regulations where id = ?", (identity,))
        if row is None:
            return None
        done = row["finished_at"] <= time.time()
        status = "FINISHED" if done else "RUNNING"
        return {
            "id": row["id"],
            "workspaceId": settings.SEGMENT_WORKSPACE_ID,
            "overallStatus": status,
            "createdAt": _moment(row["at"]),
            "finishedAt": _moment(row["finished_at"]) if done else None,
            "streamStatus": [
                {
                    "id": settings.SEGMENT_SOURCE_ID,
                    "destinationStatus": [
                        {"name": "Segment", "id": "segment", "status": status, "errString": "", "finishedAt": None}
                    ],
                }
            ],
        }


def _checked(order: Any) -> tuple[str, list[str]]:
    if not isinstance(order, Mapping):
        raise Unacceptable("the body must be an object")
    kind, users = order.get("regulationType"), order.get("subjectIds")
    if kind not in _TYPES or order.get("subjectType") not in {"USER_ID", "ANONYMOUS_ID"}:
        raise Unacceptable("regulationType or subjectType is not known")
    if not isinstance(users, list) or not 1 <= len(users) <= _USERS_PER_CALL:
        raise Unacceptable("subjectIds must hold 1 to 5000 ids")
    return str(kind), [str(user) for user in users]


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
