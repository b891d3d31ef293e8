"""What the Segment workspace remembers: events kept and dropped, profiles, suppressed users. No HTTP.

Shared by the three Segment services: tracking writes, the Profile API reads, the Public API counts and erases.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lead_intel.sandbox.memory import Memory

_SCHEMA = """
create table if not exists segment_events(
  id integer primary key, at real not null, message_id text not null, type text, user_id text,
  kept integer not null, reason text, event text);
create unique index if not exists segment_kept_once on segment_events(message_id) where kept = 1;
create index if not exists segment_kept_users on segment_events(kept, user_id);
create index if not exists segment_event_times on segment_events(at);
create table if not exists segment_profiles(
  user_id text primary key, traits text not null, previous text, first_at real not null, visible_at real not null);
create table if not exists segment_external_ids(
  type text not null, id text not null, user_id text not null, at real not null, primary key(type, id));
create table if not exists segment_suppressed(user_id text primary key, at real not null);
"""
_TABLES = ("segment_events", "segment_profiles", "segment_external_ids", "segment_suppressed")
_TRAITS_PER_IDENTIFY = 300


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile as it is visible now."""

    user_id: str
    traits: Mapping[str, Any]
    first_at: float
    updated_at: float


class Workspace:
    """Events and profiles of the one workspace."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        memory.create(_SCHEMA, *_TABLES)

    def keep(self, message_id: str, event: Mapping[str, Any], delay: float | None) -> bool:
        """Keep one event; False (and kept apart) for a message id that was kept before.

        An identify's traits show in the profile `delay` seconds later; never, when `delay` is None.
        """
        user = _user_of(event)
        cursor = self._memory.write(
            "insert into segment_events(at, message_id, type, user_id, kept, event) values(?,?,?,?,1,?)"
            " on conflict do nothing",
            (time.time(), message_id, event.get("type"), user, json.dumps(event)),
        )
        if cursor.rowcount == 0:
            self.drop(message_id, event, "duplicate")
            return False
        traits = event.get("traits")
        if event.get("type") == "identify" and user and isinstance(traits, Mapping) and delay is not None:
            self._show(user, dict(list(traits.items())[:_TRAITS_PER_IDENTIFY]), delay)
        return True

    def drop(self, message_id: str, event: Mapping[str, Any], reason: str) -> None:
        """Note an event that the workspace does not keep."""
        self._memory.write(
            "insert into segment_events(at, message_id, type, user_id, kept, reason) values(?,?,?,?,0,?)",
            (time.time(), message_id, event.get("type"), _user_of(event), reason),
        )

    def _show(self, user: str, traits: Mapping[str, Any], delay: float) -> None:
        now, text = time.time(), json.dumps(traits)
        # json_patch is RFC 7396: a null removes the trait, as Unify does.
        self._memory.write(
            "insert into segment_profiles values(?, json_patch('{}', ?), null, ?, ?) on conflict(user_id) do update"
            " set previous = case when visible_at <= ? then traits else previous end,"
            " traits = json_patch(traits, ?), visible_at = excluded.visible_at",
            (user, text, now, now + delay, now, text),
        )
        external = [("user_id", user.lower(), user, now)]
        if isinstance(traits.get("email"), str):
            external.append(("email", traits["email"].lower(), user, now))
        self._memory.write_many("insert into segment_external_ids values(?,?,?,?) on conflict do nothing", external)

    def profile(self, id_type: str, value: str) -> Profile | None:
        """The profile that `id_type:value` names, as far as it is visible now. Look-ups are lower-cased."""
        row = self._memory.row(
            "select p.* from segment_external_ids e join segment_profiles p on p.user_id = e.user_id"
            " where e.type = ? and e.id = ?",
            (id_type, value.lower()),
        )
        if row is None:
            return None
        visible = row["traits"] if row["visible_at"] <= time.time() else row["previous"]
        if visible is None:
            return None
        return Profile(row["user_id"], json.loads(visible), row["first_at"], row["visible_at"])

    def external_ids(self, user: str) -> list[dict[str, Any]]:
        """Type, id and time of each identifier of a profile."""
        return [dict(row) for row in self._memory.rows("select * from segment_external_ids where user_id = ?", (user,))]

    def events(self, user: str, limit: int) -> list[dict[str, Any]]:
        """The newest kept events of a profile."""
        rows = self._memory.rows(
            "select event from segment_events where kept = 1 and user_id = ? and event is not null"
            " order by id desc limit ?",
            (user, limit),
        )
        return [json.loads(row["event"]) for row in rows]

    def is_suppressed(self, user: str | None) -> bool:
        """Whether events of this user are no longer taken."""
        found = self._memory.row("select 1 from segment_suppressed where user_id = ?", (user,))
        return user is not None and found is not None

    def suppressed(self) -> list[dict[str, Any]]:
        """Every suppressed user and since when."""
        return [dict(row) for row in self._memory.rows("select * from segment_suppressed order by user_id")]

    def suppress(self, users: Iterable[str]) -> None:
        """Take no more events of these users."""
        self._memory.write_many(
            "insert into segment_suppressed values(?,?) on conflict do nothing", ((user, time.time()) for user in users)
        )

    def unsuppress(self, users: Iterable[str]) -> None:
        """Take the events of these users again."""
        self._memory.write_many("delete from segment_suppressed where user_id = ?", ((user,) for user in users))

    def erase(self, users: Iterable[str]) -> None:
        """Delete profiles and the contents of events; that an event was kept stays countable."""
        for user in users:
            self._memory.write("update segment_events set event = null where user_id = ?", (user,))
            self._memory.write("delete from segment_profiles where user_id = ?", (user,))
            self._memory.write("delete from segment_external_ids where user_id = ?", (user,))

    def counts(self) -> dict[str, int]:
        """Distinct messages and users of kept events, and how many events were dropped."""
        row = self._memory.row(
            "select count(*) filter (where kept = 1), count(distinct case when kept = 1 then user_id end),"
            " count(*) filter (where kept = 0) from segment_events"
        )
        messages, users, dropped = row if row else (0, 0, 0)
        return {"distinct_message_ids": messages, "distinct_user_ids": users, "dropped_events": dropped}

    def events_by_time(self, kept: int, start: float, end: float, step: int) -> list[tuple[int, str, str, int]]:
        """(bucket start, type, reason, count) of events in [start, end), in buckets of `step` seconds."""
        rows = self._memory.rows(
            "select cast(at / ? as integer) * ? as bucket, coalesce(type, '') as type, coalesce(reason, '') as reason,"
            " count(*) as n from segment_events where kept = ? and at >= ? and at < ? group by 1, 2, 3 order by 1",
            (step, step, kept, start, end),
        )
        return [(row["bucket"], row["type"], row["reason"], row["n"]) for row in rows]

    def log(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Every event in the order of arrival, kept or dropped, for tests."""
        rows = self._memory.rows("select * from segment_events where id > ? order by id limit ?", (after, limit))
        return [
            {**dict(row), "kept": bool(row["kept"]), "event": json.loads(row["event"]) if row["event"] else None}
            for row in rows
        ]


def _user_of(event: Mapping[str, Any]) -> str | None:
    user = event.get("userId") or event.get("anonymousId")
    return str(user) if user else None
