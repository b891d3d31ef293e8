"""The audiences of the sandbox's space, and the faults that make one vanish, stop or change its key."""

from __future__ import annotations

from typing import Any

from lead_intel.sandbox import settings
from lead_intel.sandbox.answers import hexadecimal, share
from lead_intel.sandbox.faults import Switches
from lead_intel.sandbox.memory import Memory

_SCHEMA = """
create table if not exists segment_audiences(key text primary key, id text not null, name text not null);
"""
_KEYS = {
    "li_reachable_mobile": "Reachable on a mobile phone",
    "li_verified_email": "Verified e-mail address",
    "li_business_decider": "Business decider",
    "newsletter_readers": "Newsletter readers",
    "recent_buyers": "Recent buyers",
    "lapsed_customers": "Lapsed customers",
    "webinar_guests": "Webinar guests",
    "all_customers": "All customers",
}
_CREATED = "2026-03-02T09:00:00.000Z"


def audience_id(key: str) -> str:
    """The id of the audience with `key`."""
    return "aud_" + hexadecimal(key, "audience", 27)


class Audiences:
    """The list, as the faults let it be seen."""

    def __init__(self, memory: Memory, switches: Switches) -> None:
        self._memory = memory
        self._switches = switches
        memory.create(_SCHEMA, "segment_audiences")
        if not memory.row("select 1 from segment_audiences"):
            self.seed()

    def seed(self) -> None:
        """The audiences of a new workspace."""
        self._memory.write_many(
            "insert or ignore into segment_audiences values(?,?,?)",
            ((key, audience_id(key), name) for key, name in _KEYS.items()),
        )

    def all(self) -> list[dict[str, Any]]:
        """Every audience that is there, in the order of the keys."""
        rows = self._memory.rows("select * from segment_audiences order by key")
        return [shown for row in rows if (shown := self._seen(row["key"], row["id"], row["name"]))]

    def find(self, identity: str) -> dict[str, Any] | None:
        """One audience by id."""
        row = self._memory.row("select * from segment_audiences where id = ?", (identity,))
        return self._seen(row["key"], row["id"], row["name"]) if row else None

    def delete(self, identity: str) -> bool:
        """Delete one audience for good; False when it is not there."""
        return self._memory.write("delete from segment_audiences where id = ?", (identity,)).rowcount > 0

    def _seen(self, key: str, identity: str, name: str) -> dict[str, Any] | None:
        def on(kind: str) -> Any:
            return self._switches.is_on("segment_public", kind, key, identity)

        if on("audience_deleted"):
            return None
        enabled, status = True, "Live"
        if computing := on("audience_computing"):
            status = computing.text("status", "Computing")
        if on("audience_disabled"):
            enabled, status = False, "Disabled"
        members = int(share(key, "size") * 50_000)
        return {
            "id": identity,
            "spaceId": settings.SEGMENT_SPACE_ID,
            "name": name,
            "description": None,
            "key": f"{key}_v2" if on("audience_key_changed") else key,
            "enabled": enabled,
            "definition": {"query": f"trait('{key}') = true", "targetEntity": None},
            "status": status,
            "createdBy": "usr_sandbox",
            "updatedBy": "usr_sandbox",
            "createdAt": _CREATED,
            "updatedAt": _CREATED,
            "audienceType": "USERS",
            "options": {
                "filterByExternalIds": ["user_id", "email", "android.idfa", "ios.idfa"],
                "includeHistoricalData": True,
                "backfillEventDataDays": None,
            },
            "computeCadence": {"type": "REALTIME"},
            "size": {"count": members, "type": "USERS", "uniqueCount": members},
            "schedules": None,
        }
