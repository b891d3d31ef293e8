"""One upload's plan (dry run): reads what is wanted, held and allowed now, and keeps the difference as a plan.

What a plan was made from has a digest. The push computes it again and refuses a plan whose facts have changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pandas as pd
import psycopg

from lead_intel.activation import personas
from lead_intel.activation.plan import (
    audience_keys,
    difference,
    facts_digest,
    messages_digest,
    policy_digest,
)
from lead_intel.policy import Policy
from lead_intel.record import database, ingestions, members, outbox, plans, suppressions
from lead_intel.settings import Settings


@dataclass(frozen=True, slots=True)
class Facts:
    """An upload's persona members now. `members`: persona, lead_id, version, excluded (blank = wanted)."""

    members: pd.DataFrame
    digest: str


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan as kept, its messages (`contract.ActivationPlan`), and how many members are left out, by reason."""

    plan: plans.Plan
    messages: pd.DataFrame
    left_out: dict[str, int]


def keep_members(connection: psycopg.Connection, upload: str, policy: Policy, found: pd.DataFrame) -> None:
    """Keep who belongs to which persona (`contract.PersonaMembers`), and the personas as they are defined now."""
    members.remember_personas(connection, personas.definitions(policy.personas))
    members.replace_members(connection, upload, found)


def facts_now(connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str) -> Facts:
    """Who of the upload's persona members may be contacted at this moment, and a digest of why."""
    rows = members.members_with_facts(connection, upload)
    rows["suppressed"] = suppressions.suppressed_people(connection, settings.lead_intel_identity_key, rows)
    rows["excluded"] = _exclusions(rows)
    judged = rows[["persona", "lead_id", "version", "verdict", "fresh_until", "fresh", "suppressed", "newer_owner"]]
    digest = facts_digest(judged, policy_digest(policy.personas, policy.activation))
    return Facts(rows[["persona", "lead_id", "version", "excluded"]], digest)


def make_plan(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str, found: pd.DataFrame
) -> Planned:
    """Plan the push for `found` (`contract.PersonaMembers`), which `keep_members` has kept. Pushes nothing."""
    facts = facts_now(connection, settings, policy, upload)
    left_out = facts.members[facts.members["excluded"] != ""]
    wanted = found.merge(left_out[["persona", "lead_id"]], on=["persona", "lead_id"], how="left", indicator=True)
    wanted = wanted.loc[wanted["_merge"] == "left_only", ["persona", "lead_id", "version", "traits"]]
    ever = [(used.persona, used.audience_key) for used in members.personas_ever_used(connection)]
    messages = difference(
        wanted,
        members.held(connection, upload),
        outbox.message_numbers(connection, upload),
        audience_keys(policy.personas, ever),
        database.now(connection),
    )
    with connection.transaction():
        choices = choices_now(connection, policy, upload)
        members.set_exclusions(connection, upload, left_out)
        plan = plans.put(connection, upload, _draft(choices, facts, messages, wanted, policy))
    return Planned(plan, messages, {str(k): int(n) for k, n in left_out["excluded"].value_counts().items()})


def choices_now(connection: psycopg.Connection, policy: Policy, upload: str) -> plans.Choices:
    """What people have chosen for the upload by now; a plan that was made for something else is not current."""
    row = ingestions.find(connection, upload)
    return plans.Choices(
        row.sample_percent or Decimal(0), row.profile, policy_digest(policy.personas, policy.activation)
    )


def _draft(
    choices: plans.Choices, facts: Facts, messages: pd.DataFrame, wanted: pd.DataFrame, policy: Policy
) -> plans.Draft:
    actions = messages["action"].value_counts()
    sizes = wanted["persona"].value_counts()
    return plans.Draft(
        choices=choices,
        facts=facts.digest,
        messages=messages_digest(messages["message_id"]),
        additions=int(actions.get("add", 0)),
        changes=int(actions.get("change", 0)),
        removals=int(actions.get("remove", 0)),
        personas={name: int(sizes.get(name, 0)) for name in policy.personas.personas},
    )


def _exclusions(rows: pd.DataFrame) -> pd.Series:
    """Why each member is left out, blank when it is not; the gravest reason is named."""
    excluded = pd.Series("", index=rows.index, dtype="str")
    reasons = {
        "newer_upload": rows["newer_owner"],
        "verdict_stale": ~rows["fresh"],
        "verdict_hold": rows["verdict"] == "hold",
        "not_screened": rows["verdict"] == "",
        "verdict_block": rows["verdict"] == "block",
        "suppressed": rows["suppressed"],
        "person_unknown": rows["phone"] == 0,
    }
    for reason, where in reasons.items():
        excluded = excluded.mask(where, reason)
    return excluded
