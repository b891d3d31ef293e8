"""Rows of `activation_outbox`: one row a message, committed before the first byte leaves; and what became of it.

A message is sent at least once and always under the same id. `attempts` counts hand-overs to the wire: a pending row
with attempts may have arrived. Audience memberships move in the transaction that records an arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
from psycopg.rows import class_row

from lead_intel.record.copying import copy_in, copy_out
from lead_intel.record.members import UNCONFIRMED, may_have_arrived, newer_owner

_TEXT = pa.string()


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is next to leave."""

    message_id: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """What must still be true of a message's lead at the moment it leaves.

    `phone` is None when the person is no longer known; `verdict` is None when the lead is not screened under the
    upload's present profile.
    """

    message_id: str
    action: str
    phone: int | None
    email: str | None
    verdict: str | None
    fresh: bool
    newer_owner: bool


def enqueue(connection: psycopg.Connection, plan: str, upload: str, messages: pd.DataFrame) -> None:
    """Commit the plan's messages: message_id, lead_id, persona, action, version, payload, state, reason.

    A message that is known and was not sent joins this plan; one that may have arrived keeps the content it left with.
    What older plans of the upload still had pending is withheld: this plan stands in its place. One of those that may
    have arrived is noted as a member, so that a later plan takes it out again.
    """
    with connection.transaction():
        _add(connection, plan, upload, messages)
        superseded = connection.execute(
            "update lead_intel.activation_outbox o set state = 'withheld', reason = 'superseded' "  # noqa: S608
            f"where upload = %s and plan <> %s and (state = 'pending' or {may_have_arrived()}) "
            "returning message_id, attempts",
            (upload, plan),
        ).fetchall()
        _join(connection, [str(row[0]) for row in superseded if row[1] > 0])


def enqueue_exits(connection: psycopg.Connection, plan: str, upload: str, removals: pd.DataFrame) -> None:
    """Commit removals (as in `enqueue`, with `excluded`: why) beside whatever else the upload has on its way.

    What was still to be said about the same memberships is withheld. One of those that may have arrived is noted as a
    member, so that it counts until its removal has arrived. Removals of earlier exits are withheld or join this plan.
    """
    with connection.transaction():
        withheld = connection.execute(
            "with gone as (select * from unnest(%(personas)s::text[], %(leads)s::uuid[], %(reasons)s::text[]) "  # noqa: S608
            "as gone (persona, lead_id, excluded)) "
            "update lead_intel.activation_outbox o set state = 'withheld', reason = gone.excluded from gone "
            "where o.upload = %(upload)s and o.persona = gone.persona and o.lead_id = gone.lead_id "
            f"and o.action <> 'remove' and (o.state = 'pending' or {may_have_arrived()}) "
            "returning o.message_id, o.attempts",
            {
                "upload": upload,
                "personas": removals["persona"].tolist(),
                "leads": removals["lead_id"].tolist(),
                "reasons": removals["excluded"].tolist(),
            },
        ).fetchall()
        _join(connection, [str(row[0]) for row in withheld if row[1] > 0])
        _add(connection, plan, upload, removals.drop(columns="excluded"))
        withhold_earlier_exits(connection, upload, plan)


def withhold_earlier_exits(connection: psycopg.Connection, upload: str, plan: str) -> None:
    """Withhold the removals of other exits than `plan` that did not leave and are owed no more."""
    connection.execute(
        "update lead_intel.activation_outbox o set state = 'withheld', reason = 'superseded' "
        "from lead_intel.activation_plans earlier where earlier.plan = o.plan and earlier.kind = 'exits' "
        "and o.upload = %s and o.plan <> %s and o.state = 'pending'",
        (upload, plan),
    )


def end_unconfirmed(connection: psycopg.Connection, plan: str) -> int:
    """Fail the plan's additions and changes that left more than 24 hours ago without an acknowledgement; how many.

    Segment drops a resend for 24 hours only: after that a machine would push twice. A person's next plan may send them
    again, under the same ids. Removals are left alone: saying a second time that somebody is out does no harm.
    """
    return connection.execute(
        "update lead_intel.activation_outbox set state = 'failed', reason = %s where plan = %s and state = 'pending' "
        "and action <> 'remove' and attempted_at < clock_timestamp() - interval '24 hours'",
        (UNCONFIRMED, plan),
    ).rowcount


def has_unconfirmed(connection: psycopg.Connection, upload: str) -> bool:
    """Whether nobody can tell of some messages of the upload if they arrived: only a person may renew them."""
    row = connection.execute(
        "select 1 from lead_intel.activation_outbox where upload = %s and state = 'failed' and reason = %s limit 1",
        (upload, UNCONFIRMED),
    ).fetchone()
    return row is not None


def due(connection: psycopg.Connection, plan: str, after: str, limit: int) -> list[Due]:
    """The plan's next pending messages, in the order of their ids."""
    with connection.cursor(row_factory=class_row(Due)) as cursor:
        return cursor.execute(
            "select message_id, payload from lead_intel.activation_outbox "
            "where plan = %s and state = 'pending' and message_id > %s order by message_id limit %s",
            (plan, after, limit),
        ).fetchall()


def standing(connection: psycopg.Connection, message_ids: Sequence[str]) -> list[Standing]:
    """What is true now of the leads of these messages, by the database's clock."""
    with connection.cursor(row_factory=class_row(Standing)) as cursor:
        return cursor.execute(
            "select o.message_id, o.action, lead.phone, lead.email, said.verdict, "  # noqa: S608  # our own clause
            "coalesce(said.fresh_until > clock_timestamp(), false) as fresh, "
            f"{newer_owner('o', 'o.upload')} as newer_owner "
            "from lead_intel.activation_outbox o left join lead_intel.leads lead using (lead_id) "
            "join lead_intel.lead_ingestions present on present.upload = o.upload "
            "left join lead_intel.dnc_verdicts said on said.upload = o.upload and said.lead_id = o.lead_id "
            "and said.profile = present.profile "
            "where o.message_id = any(%s)",
            (list(message_ids),),
        ).fetchall()


def note_attempt(connection: psycopg.Connection, message_ids: Sequence[str]) -> None:
    """Commit that these messages are handed to the wire now."""
    connection.execute(
        "update lead_intel.activation_outbox set attempts = attempts + 1, attempted_at = clock_timestamp() "
        "where message_id = any(%s)",
        (list(message_ids),),
    )


def note_sent(connection: psycopg.Connection, message_ids: Sequence[str]) -> None:
    """Segment took these messages: the rows and the memberships that they stand for, together."""
    ids = list(message_ids)
    with connection.transaction():
        connection.execute(
            "update lead_intel.activation_outbox set state = 'sent', sent_at = clock_timestamp(), reason = null "
            "where message_id = any(%s)",
            (ids,),
        )
        _join(connection, ids)
        connection.execute(
            "delete from lead_intel.audience_members member using lead_intel.activation_outbox o "
            "where o.message_id = any(%s) and o.action = 'remove' "
            "and member.persona = o.persona and member.lead_id = o.lead_id",
            (ids,),
        )


def note_failed(connection: psycopg.Connection, message_ids: Sequence[str], reason: str) -> None:
    """Segment refused these messages for what they are."""
    connection.execute(
        "update lead_intel.activation_outbox set state = 'failed', reason = %s where message_id = any(%s)",
        (reason, list(message_ids)),
    )


def note_withheld(connection: psycopg.Connection, message_ids: Sequence[str], reason: str) -> None:
    """These leads may not be contacted any more: their messages do not leave, and the plan leaves them out.

    One that may have arrived before is noted as a member, so that the next plan takes it out again.
    """
    ids = list(message_ids)
    with connection.transaction():
        rows = connection.execute(
            "update lead_intel.activation_outbox set state = 'withheld', reason = %s where message_id = any(%s) "
            "returning message_id, attempts",
            (reason, ids),
        ).fetchall()
        _join(connection, [str(row[0]) for row in rows if row[1] > 0])
        connection.execute(
            "update lead_intel.persona_members member set excluded = %s from lead_intel.activation_outbox o "
            "where o.message_id = any(%s) and o.action <> 'remove' and member.upload = o.upload "
            "and member.persona = o.persona and member.lead_id = o.lead_id",
            (reason, ids),
        )


def message_numbers(connection: psycopg.Connection, upload: str) -> pd.DataFrame:
    """How many messages about a membership were sent so far, for those the upload wants or holds.

    Columns: persona, lead_id, sent. The next message about it is another one, even with the same content.
    """
    return copy_out(
        connection,
        "select o.persona, o.lead_id, count(*) from lead_intel.activation_outbox o where o.state = 'sent' and "
        "(exists (select 1 from lead_intel.persona_members wanted where wanted.upload = %(upload)s "
        "and wanted.persona = o.persona and wanted.lead_id = o.lead_id) or exists (select 1 "
        "from lead_intel.audience_members member where member.upload = %(upload)s "
        "and member.persona = o.persona and member.lead_id = o.lead_id) or exists (select 1 "
        "from lead_intel.activation_outbox lost where lost.upload = %(upload)s and lost.state <> 'sent' "
        "and lost.persona = o.persona and lost.lead_id = o.lead_id)) group by o.persona, o.lead_id",
        {"upload": upload},
        {"persona": _TEXT, "lead_id": _TEXT, "sent": pa.int64()},
    )


def receipts(connection: psycopg.Connection, plan: str) -> pd.DataFrame:
    """What became of the plan's messages, as in `contract.ActivationReceipts`."""
    return copy_out(
        connection,
        "select message_id, lead_id, persona, action, state, coalesce(reason, '') "
        "from lead_intel.activation_outbox where plan = %(plan)s order by message_id",
        {"plan": plan},
        dict.fromkeys(("message_id", "lead_id", "persona", "action", "state", "reason"), _TEXT),
    )


def failures(connection: psycopg.Connection, upload: str) -> int:
    """How many messages of the upload's newest plan failed."""
    row = connection.execute(
        "select count(*) from lead_intel.activation_outbox where state = 'failed' and plan = (select plan "
        "from lead_intel.activation_plans where upload = %s and kind = 'difference' "
        "order by created_at desc, plan desc limit 1)",
        (upload,),
    ).fetchone()
    return int(row[0]) if row else 0


def pending(connection: psycopg.Connection, plan: str) -> int:
    """How many of the plan's messages have not left."""
    row = connection.execute(
        "select count(*) from lead_intel.activation_outbox where plan = %s and state = 'pending'", (plan,)
    ).fetchone()
    return int(row[0]) if row else 0


def lead_counts(connection: psycopg.Connection, upload: str) -> dict[str, int]:
    """Leads of the upload's newest plan: planned = pushed + failed + pending.

    A lead wanted in several audiences is failed when one of its messages failed, else pending while one is.
    """
    row = connection.execute(
        "with newest as (select plan from lead_intel.activation_plans where upload = %(upload)s "
        "and kind = 'difference' order by created_at desc, plan desc limit 1), per_lead as ("
        "select wanted.lead_id, bool_or(member.lead_id is null and o.state = 'failed') as failed, "
        "bool_or(member.lead_id is null and o.state is distinct from 'failed') as pending "
        "from lead_intel.persona_members wanted "
        "left join lead_intel.audience_members member on member.persona = wanted.persona "
        "and member.lead_id = wanted.lead_id and member.version = wanted.version "
        "left join lead_intel.activation_outbox o on o.plan = (select plan from newest) "
        "and o.persona = wanted.persona and o.lead_id = wanted.lead_id "
        "where wanted.upload = %(upload)s and wanted.excluded is null group by wanted.lead_id) "
        "select count(*), count(*) filter (where not coalesce(failed, false) and not coalesce(pending, false)), "
        "count(*) filter (where coalesce(failed, false)), "
        "count(*) filter (where coalesce(pending, false) and not coalesce(failed, false)) from per_lead",
        {"upload": upload},
    ).fetchone()
    assert row is not None  # noqa: S101  # an aggregate without group by has one row
    return dict(zip(("planned", "pushed", "failed", "pending"), (int(value) for value in row), strict=True))


def message_counts(connection: psycopg.Connection, upload: str) -> dict[str, int]:
    """Messages of the upload over all its plans: planned (withheld ones are not), sent, failed.

    A plan that is not on its way yet counts with the messages that it wants to send.
    """
    row = connection.execute(
        "with rows as (select count(*) filter (where state <> 'withheld') as planned, "
        "count(*) filter (where state = 'sent') as sent, count(*) filter (where state = 'failed') as failed "
        "from lead_intel.activation_outbox where upload = %(upload)s), "
        "waiting as (select coalesce(sum(additions + changes + removals), 0) as planned "
        "from lead_intel.activation_plans plan where upload = %(upload)s "
        "and kind = 'difference' and state in ('draft', 'approved') "
        "and not exists (select 1 from lead_intel.activation_outbox o where o.plan = plan.plan)) "
        "select rows.planned + waiting.planned, sent, failed from rows, waiting",
        {"upload": upload},
    ).fetchone()
    assert row is not None  # noqa: S101  # one row each
    return dict(zip(("planned", "sent", "failed"), (int(value) for value in row), strict=True))


def _add(connection: psycopg.Connection, plan: str, upload: str, messages: pd.DataFrame) -> None:
    connection.execute(
        "create temporary table enqueued (message_id text, lead_id uuid, persona text, action text, "
        "version text, payload jsonb, state text, reason text) on commit drop"
    )
    copy_in(connection, ["enqueued"], messages)
    connection.execute(
        "insert into lead_intel.activation_outbox as kept "
        "(message_id, plan, upload, lead_id, persona, action, version, payload, state, reason) "
        "select message_id, %(plan)s, %(upload)s, lead_id, persona, action, version, payload, state, "
        "nullif(reason, '') from enqueued order by message_id "
        "on conflict (message_id) do update set plan = excluded.plan, upload = excluded.upload, "
        "payload = case when kept.attempts > 0 then kept.payload else excluded.payload end, "
        # A person renews what failed for want of an acknowledgement: its 24 hours begin again.
        "attempted_at = case when kept.state = 'failed' then null else kept.attempted_at end, "
        "state = excluded.state, reason = excluded.reason "
        "where kept.state <> 'sent' and kept.plan <> excluded.plan",
        {"plan": plan, "upload": upload},
    )


def _join(connection: psycopg.Connection, message_ids: list[str]) -> None:
    """Make the leads of these additions and changes members; removals among them are passed over."""
    connection.execute(
        "insert into lead_intel.audience_members (persona, lead_id, upload, version, message_id) "
        "select persona, lead_id, upload, version, message_id from lead_intel.activation_outbox "
        "where message_id = any(%s) and action <> 'remove' "
        "on conflict (persona, lead_id) do update set upload = excluded.upload, version = excluded.version, "
        "message_id = excluded.message_id, since = now()",
        (message_ids,),
    )
