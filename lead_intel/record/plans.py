"""Rows of `activation_plans`: what would be pushed, who approved it, what became of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from lead_intel.errors import UsageError

PlanState = Literal["draft", "approved", "activated", "superseded"]

BY_POLICY = "policy: removals need no approval"
"""Who approved a plan of exits."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True)
class Choices:
    """What people chose before a plan was made: the sample, the consent profile, the policy (its digest)."""

    sample_percent: Decimal
    profile: str
    policy: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan. `facts`, `messages` and `policy` are digests; `personas` counts the leads wanted in each audience."""

    plan: str
    upload: str
    sample_percent: Decimal
    profile: str
    policy: str
    facts: str
    messages: str
    state: PlanState
    additions: int
    changes: int
    removals: int
    personas: dict[str, int]
    created_at: datetime
    approved_by: str | None
    approved_at: datetime | None

    @property
    def choices(self) -> Choices:
        """What it was made for; it is current while these are the upload's present ones."""
        return Choices(self.sample_percent, self.profile, self.policy)

    @property
    def size(self) -> int:
        """How many messages it wants to send."""
        return self.additions + self.changes + self.removals


@dataclass(frozen=True, slots=True)
class Draft:
    """What a new plan consists of."""

    choices: Choices
    facts: str
    messages: str
    additions: int
    changes: int
    removals: int
    personas: dict[str, int]


_COLUMNS = ", ".join(Plan.__slots__)


def find(connection: psycopg.Connection, plan: str) -> Plan:
    """The plan. Raises UsageError when there is none."""
    with connection.cursor(row_factory=class_row(Plan)) as cursor:
        row = cursor.execute(
            f"select {_COLUMNS} from lead_intel.activation_plans where plan = %s",  # noqa: S608  # our own names
            (plan,),
        ).fetchone()
    if row is None:
        raise UsageError(
            "plan_unknown", f"There is no plan {plan}.", "`lead-intel status UPLOAD` names the newest plan."
        )
    return row


def newest_or_none(connection: psycopg.Connection, upload: str) -> Plan | None:
    """The upload's newest plan, if it was ever planned. Exits are no such plan: nobody is asked about them."""
    with connection.cursor(row_factory=class_row(Plan)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from lead_intel.activation_plans where upload = %s "  # noqa: S608  # our own names
            "and kind = 'difference' order by created_at desc, plan desc limit 1",
            (upload,),
        ).fetchone()


def newest(connection: psycopg.Connection, upload: str) -> Plan:
    """The upload's newest plan. Raises UsageError when it was never planned."""
    plan = newest_or_none(connection, upload)
    if plan is None:
        raise UsageError("plan_missing", f"{upload} has no plan.", f"`lead-intel plan {upload}` makes one.")
    return plan


def put(connection: psycopg.Connection, upload: str, draft: Draft) -> Plan:
    """Make `draft` the upload's newest plan; the same content as the newest is that plan, approval included.

    Older plans that were not pushed are superseded.
    """
    with connection.transaction():
        connection.execute("select 1 from lead_intel.lead_ingestions where upload = %s for update", (upload,))
        before = newest_or_none(connection, upload)
        if before is not None and before.state != "superseded" and _same(before, draft):
            return before
        connection.execute(
            "update lead_intel.activation_plans set state = 'superseded' "
            "where upload = %s and kind = 'difference' and state in ('draft', 'approved')",
            (upload,),
        )
        plan = _insert(connection, upload, draft, "difference")
    return find(connection, plan)


def put_exits(connection: psycopg.Connection, upload: str, draft: Draft) -> Plan:
    """Keep a plan of removals that need no approval; it takes the place of earlier exits that did not all leave."""
    with connection.transaction():
        connection.execute(
            "update lead_intel.activation_plans set state = 'superseded' "
            "where upload = %s and kind = 'exits' and state = 'approved'",
            (upload,),
        )
        plan = _insert(connection, upload, draft, "exits")
        approve(connection, plan, BY_POLICY)
    return find(connection, plan)


def approve(connection: psycopg.Connection, plan: str, by: str) -> bool:
    """Mark a draft approved; False when it was no draft any more."""
    row = connection.execute(
        "update lead_intel.activation_plans set state = 'approved', approved_by = %s, approved_at = now() "
        "where plan = %s and state = 'draft' returning plan",
        (by, plan),
    ).fetchone()
    return row is not None


def set_activated(connection: psycopg.Connection, plan: str) -> None:
    """Every message of the plan has reached its end."""
    connection.execute(
        "update lead_intel.activation_plans set state = 'activated' where plan = %s and state = 'approved'", (plan,)
    )


def last_approved(connection: psycopg.Connection, upload: str) -> Plan | None:
    """The plan that was approved last, whether its push has ended, broke half-way, or was superseded since."""
    with connection.cursor(row_factory=class_row(Plan)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from lead_intel.activation_plans where upload = %s "  # noqa: S608  # our own names
            "and kind = 'difference' and approved_by is not null order by approved_at desc limit 1",
            (upload,),
        ).fetchone()


def _insert(connection: psycopg.Connection, upload: str, draft: Draft, kind: Literal["difference", "exits"]) -> str:
    plan = "plan_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))
    choices = draft.choices
    connection.execute(
        "insert into lead_intel.activation_plans (plan, upload, kind, sample_percent, profile, policy, "
        "facts, messages, additions, changes, removals, personas, created_at) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp())",
        (
            plan,
            upload,
            kind,
            choices.sample_percent,
            choices.profile,
            choices.policy,
            draft.facts,
            draft.messages,
            draft.additions,
            draft.changes,
            draft.removals,
            Jsonb(draft.personas),
        ),
    )
    return plan


def _same(plan: Plan, draft: Draft) -> bool:
    if plan.choices != draft.choices:
        return False
    if plan.state == "activated":
        return draft.additions + draft.changes + draft.removals == 0 and plan.facts == draft.facts
    return plan.facts == draft.facts and plan.messages == draft.messages
