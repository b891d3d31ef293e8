"""Rows of `persona_members`, `personas` and `audience_members`: who should be in an audience, and who is.

`audience_members` is what we know to have told Segment; one upload owns each membership, the newest that wanted it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
from psycopg.types.json import Jsonb

from lead_intel.record.copying import copy_in, copy_out

_TEXT = pa.string()

_NEWER_OWNER = (
    "exists (select 1 from lead_intel.audience_members held "
    "join lead_intel.lead_ingestions theirs on theirs.upload = held.upload "
    "join lead_intel.lead_ingestions ours on ours.upload = {upload} "
    "where held.persona = {table}.persona and held.lead_id = {table}.lead_id and held.upload <> ours.upload "
    "and (theirs.created_at, theirs.upload) > (ours.created_at, ours.upload))"
)


def newer_owner(table: str, upload: str) -> str:
    """SQL: whether a newer upload than `upload` owns the membership that a row of `table` is about."""
    return _NEWER_OWNER.format(table=table, upload=upload)


UNCONFIRMED = "unconfirmed_24h"
"""Reason of a message that left, whose acknowledgement was lost, and that Segment would by now take a second time."""

_MAY_HAVE_ARRIVED = (
    "(o.attempts > 0 and o.action <> 'remove' and (o.state = 'pending' "
    f"or (o.state = 'failed' and o.reason = '{UNCONFIRMED}')))"
)


def may_have_arrived() -> str:
    """SQL: whether outbox row `o` is an addition or change that left, and whose acknowledgement was lost."""
    return _MAY_HAVE_ARRIVED


@dataclass(frozen=True, slots=True)
class PersonaVersion:
    """A persona as policy defined it once: its audience key is needed to take people out again."""

    persona: str
    audience_key: str


def remember_personas(connection: psycopg.Connection, definitions: Mapping[str, tuple[str, dict[str, Any]]]) -> None:
    """Keep persona -> (version, definition) as used now."""
    with connection.transaction():
        for persona, (version, definition) in definitions.items():
            connection.execute(
                "insert into lead_intel.personas (persona, version, definition) values (%s, %s, %s) "
                "on conflict do nothing",
                (persona, version, Jsonb(definition)),
            )


def personas_ever_used(connection: psycopg.Connection) -> list[PersonaVersion]:
    """Every persona and audience key that was ever used, oldest first."""
    rows = connection.execute(
        "select persona, definition ->> 'audience_key' from lead_intel.personas "
        "group by 1, 2 order by min(first_used), 1, 2"
    ).fetchall()
    return [PersonaVersion(str(persona), str(key)) for persona, key in rows]


def replace_members(connection: psycopg.Connection, upload: str, members: pd.DataFrame) -> None:
    """Put `members` (as in `contract.PersonaMembers`) in the place of the upload's earlier ones."""
    with connection.transaction():
        connection.execute("delete from lead_intel.persona_members where upload = %s", (upload,))
        copy_in(
            connection,
            ("lead_intel", "persona_members"),
            members[["persona", "lead_id", "version", "score"]].assign(upload=upload),
        )


def members_with_facts(connection: psycopg.Connection, upload: str) -> pd.DataFrame:
    """The upload's persona members with what decides on a contact, as it is now.

    Columns: persona, lead_id, version, phone (0 when the person is no longer known), email, verdict (blank when not
    screened under the upload's present profile), fresh_until (microseconds, 0 when none), fresh, newer_owner.
    """
    return copy_out(
        connection,
        "select wanted.persona, wanted.lead_id, wanted.version, "  # noqa: S608  # our own clause
        "coalesce(lead.phone, 0), coalesce(lead.email, ''), "
        "coalesce(said.verdict, ''), coalesce((extract(epoch from said.fresh_until) * 1000000)::bigint, 0), "
        f"coalesce(said.fresh_until > clock_timestamp(), false), {newer_owner('wanted', 'wanted.upload')} "
        "from lead_intel.persona_members wanted left join lead_intel.leads lead using (lead_id) "
        "join lead_intel.lead_ingestions present on present.upload = wanted.upload "
        "left join lead_intel.dnc_verdicts said on said.upload = wanted.upload and said.lead_id = wanted.lead_id "
        "and said.profile = present.profile "
        "where wanted.upload = %(upload)s order by wanted.persona, wanted.lead_id",
        {"upload": upload},
        {
            "persona": _TEXT,
            "lead_id": _TEXT,
            "version": _TEXT,
            "phone": pa.int64(),
            "email": _TEXT,
            "verdict": _TEXT,
            "fresh_until": pa.int64(),
            "fresh": pa.bool_(),
            "newer_owner": pa.bool_(),
        },
    )


def set_exclusions(connection: psycopg.Connection, upload: str, excluded: pd.DataFrame) -> None:
    """Note why members are left out (persona, lead_id, excluded); everybody else of the upload is wanted."""
    with connection.transaction():
        connection.execute(
            "update lead_intel.persona_members set excluded = null where upload = %s and excluded is not null",
            (upload,),
        )
        exclude(connection, upload, excluded)


def inside(connection: psycopg.Connection, upload: str, stale_for: timedelta) -> pd.DataFrame:
    """Who is, or may be, in an audience because of this upload, with what decides whether they may stay.

    Columns: persona, lead_id, version, phone (0 when the person is no longer known), email, verdict (blank when not
    screened under the upload's present profile), stale (for longer than `stale_for`).
    """
    return copy_out(
        connection,
        "with ours as (select persona, lead_id, version from lead_intel.audience_members "  # noqa: S608  # our own clause
        "where upload = %(upload)s union all (select distinct on (o.persona, o.lead_id) "
        "o.persona, o.lead_id, o.version "
        f"from lead_intel.activation_outbox o where o.upload = %(upload)s and {may_have_arrived()} "
        "and not exists (select 1 from lead_intel.audience_members member "
        "where member.persona = o.persona and member.lead_id = o.lead_id))) "
        "select ours.persona, ours.lead_id, ours.version, coalesce(lead.phone, 0), coalesce(lead.email, ''), "
        "coalesce(said.verdict, ''), "
        "coalesce(said.fresh_until + make_interval(secs => %(stale_for)s) <= clock_timestamp(), true) "
        "from ours join lead_intel.lead_ingestions present on present.upload = %(upload)s "
        "left join lead_intel.leads lead using (lead_id) "
        "left join lead_intel.dnc_verdicts said on said.upload = %(upload)s and said.lead_id = ours.lead_id "
        "and said.profile = present.profile order by ours.persona, ours.lead_id",
        {"upload": upload, "stale_for": stale_for.total_seconds()},
        {
            "persona": _TEXT,
            "lead_id": _TEXT,
            "version": _TEXT,
            "phone": pa.int64(),
            "email": _TEXT,
            "verdict": _TEXT,
            "stale": pa.bool_(),
        },
    )


def exclude(connection: psycopg.Connection, upload: str, excluded: pd.DataFrame) -> None:
    """Note why these members (persona, lead_id, excluded) are left out from now on; the others stay as they are."""
    with connection.transaction():
        connection.execute("create temporary table left_out (persona text, lead_id uuid, excluded text) on commit drop")
        copy_in(connection, ["left_out"], excluded[["persona", "lead_id", "excluded"]])
        connection.execute(
            "update lead_intel.persona_members member set excluded = left_out.excluded from left_out "
            "where member.upload = %s and member.persona = left_out.persona and member.lead_id = left_out.lead_id",
            (upload,),
        )
        # The caller may note more within one transaction.
        connection.execute("drop table left_out")


def held(connection: psycopg.Connection, upload: str) -> pd.DataFrame:
    """Memberships that this upload owns or wants: persona, lead_id, version, ours, unsure.

    `unsure`: a message may have arrived whose acknowledgement was lost.
    """
    return copy_out(
        connection,
        "select member.persona, member.lead_id, member.version, "  # noqa: S608  # our own clause
        "member.upload = %(upload)s, false "
        "from lead_intel.audience_members member where member.upload = %(upload)s "
        "or exists (select 1 from lead_intel.persona_members wanted where wanted.upload = %(upload)s "
        "and wanted.persona = member.persona and wanted.lead_id = member.lead_id) "
        "union all "
        "select distinct on (o.persona, o.lead_id) o.persona, o.lead_id, o.version, true, true "
        f"from lead_intel.activation_outbox o where o.upload = %(upload)s and {may_have_arrived()} "
        "and not exists (select 1 from lead_intel.audience_members member where member.persona = o.persona "
        "and member.lead_id = o.lead_id)",
        {"upload": upload},
        {"persona": _TEXT, "lead_id": _TEXT, "version": _TEXT, "ours": pa.bool_(), "unsure": pa.bool_()},
    )


def take_over(connection: psycopg.Connection, upload: str) -> int:
    """Own the memberships that this upload wants unchanged and that an older upload brought; how many."""
    return connection.execute(
        "update lead_intel.audience_members member set upload = wanted.upload "  # noqa: S608  # our own clause
        "from lead_intel.persona_members wanted where wanted.upload = %s and wanted.excluded is null "
        "and wanted.persona = member.persona and wanted.lead_id = member.lead_id "
        "and wanted.version = member.version and member.upload <> wanted.upload "
        f"and not {newer_owner('wanted', 'wanted.upload')}",
        (upload,),
    ).rowcount


def exclusion_counts(connection: psycopg.Connection, upload: str) -> dict[str, int]:
    """Sampled leads that are not planned, by reason: `no_persona`, or why the plan leaves them out."""
    rows = connection.execute(
        "with lead_state as (select sample.lead_id, count(member.lead_id) as personas, "
        "count(*) filter (where member.lead_id is not null and member.excluded is null) as wanted, "
        "min(member.excluded) as reason from lead_intel.lead_samples sample "
        "left join lead_intel.persona_members member "
        "on member.upload = sample.upload and member.lead_id = sample.lead_id "
        "where sample.upload = %s group by sample.lead_id) "
        "select case when personas = 0 then 'no_persona' else reason end, count(*) from lead_state "
        "where wanted = 0 group by 1 order by 2 desc, 1",
        (upload,),
    ).fetchall()
    return {str(reason): int(count) for reason, count in rows}
