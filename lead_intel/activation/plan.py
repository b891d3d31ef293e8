"""The difference between who should be in each audience and who is: additions, changes, removals. Pure.

A message's id follows from what it says (lead, persona, action, version) and from how many messages about the same
membership were sent before it, so that a resend is the same message and a return after a removal is a new one.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import pandas as pd

from lead_intel.policy import Activation, Personas

MESSAGE_PREFIX = "li-"
"""Segment de-duplicates message ids across all its customers: ours are in a namespace of their own."""

_NAMESPACE = uuid.UUID("5b6f0d0e-8a57-5d7e-9a3c-0f6f2f0c7a11")
_COLUMNS = ["message_id", "lead_id", "persona", "action", "version", "payload"]
_PAIR = ["persona", "lead_id"]


@dataclass(frozen=True, slots=True)
class AudienceKeys:
    """The boolean trait of every persona ever used, and those that a persona had before its current one."""

    current: Mapping[str, str]
    former: Mapping[str, Sequence[str]]


def audience_keys(policy: Personas, ever: Sequence[tuple[str, str]]) -> AudienceKeys:
    """Keys from policy and from (persona, key) as used so far, oldest first; a key in use elsewhere is not former."""
    current = dict(ever) | {name: persona.audience_key for name, persona in policy.personas.items()}
    in_use = set(current.values())
    former: dict[str, list[str]] = {}
    for persona, key in ever:
        if key not in in_use:
            former.setdefault(persona, []).append(key)
    return AudienceKeys(current, former)


def difference(
    wanted: pd.DataFrame, held: pd.DataFrame, sent: pd.DataFrame, keys: AudienceKeys, at: datetime
) -> pd.DataFrame:
    """Messages (`contract.ActivationPlan`) that make `held` into `wanted`.

    Args:
        wanted: persona, lead_id, version, traits; each pair once.
        held: persona, lead_id, version, ours, unsure; each pair once. What is neither ours nor wanted is left alone.
        sent: persona, lead_id, sent: how many messages about a membership were sent before.
        keys: the audience keys.
        at: the timestamp that the messages carry.
    """
    both = wanted.merge(held, on=_PAIR, how="outer", suffixes=("", "_held"), indicator=True)
    absent = (both["_merge"] == "left_only") | both["unsure"].eq(other=True)
    desired = both["_merge"] != "right_only"
    both["action"] = pd.Series(pd.NA, index=both.index, dtype="str")
    both.loc[desired & absent, "action"] = "add"
    both.loc[desired & ~absent & (both["version"] != both["version_held"]), "action"] = "change"
    both.loc[~desired & both["ours"].eq(other=True), "action"] = "remove"
    rows = both[both["action"].notna()].copy()
    rows["version"] = rows["version"].fillna(rows["version_held"])
    rows["traits"] = rows["traits"].fillna("{}")
    rows = rows.merge(sent, on=_PAIR, how="left")
    rows["sent"] = rows["sent"].fillna(0).astype("int64")
    rows["message_id"] = _message_ids(rows)
    rows["payload"] = _payloads(rows, keys, at)
    rows = rows[_COLUMNS].sort_values("message_id", ignore_index=True)
    return rows.astype(dict.fromkeys(_COLUMNS, "str"))


def message_id(lead_id: str, persona: str, action: str, version: str, sent_before: int) -> str:
    """The id of the message that says this."""
    said = f"{lead_id}|{persona}|{action}|{version}" + (f"|{sent_before}" if sent_before else "")
    return f"{MESSAGE_PREFIX}{uuid.uuid5(_NAMESPACE, said)}"


def messages_digest(message_ids: pd.Series) -> str:
    """One digest for a set of messages."""
    return hashlib.sha256("\n".join(sorted(message_ids)).encode()).hexdigest()


def policy_digest(personas: Personas, activation: Activation) -> str:
    """One digest for the policy that a plan is made under."""
    content = {"personas": personas.model_dump(mode="json"), "activation": activation.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def facts_digest(facts: pd.DataFrame, policy: str) -> str:
    """One digest for everything that a plan is made from; `facts` is one row per persona member, sorted here."""
    rows = facts.sort_values(_PAIR, ignore_index=True).to_csv(index=False)
    return hashlib.sha256(f"{policy}\n{rows}".encode()).hexdigest()


def _message_ids(rows: pd.DataFrame) -> pd.Series:
    columns = (rows[name].tolist() for name in ("lead_id", "persona", "action", "version", "sent"))
    return pd.Series([message_id(*values) for values in zip(*columns, strict=True)], index=rows.index, dtype="str")


def _payloads(rows: pd.DataFrame, keys: AudienceKeys, at: datetime) -> pd.Series:
    """Identify calls as JSON text, put together column by column. userId is our lead id, never a phone or e-mail."""
    context = json.dumps({"library": {"name": "lead-intel", "version": version("lead-intel")}})
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    flags = {
        (persona, action): _flags(keys, persona, action)
        for persona, action in rows[["persona", "action"]].drop_duplicates().itertuples(index=False)
    }
    flag = pd.Series(
        [flags[pair] for pair in zip(rows["persona"], rows["action"], strict=True)], index=rows.index, dtype="str"
    )
    inner = rows["traits"].str.slice(1, -1)
    traits = "{" + inner.where(inner == "", inner + ",") + flag + "}"
    return (
        '{"type":"identify","userId":"'
        + rows["lead_id"]
        + '","messageId":"'
        + rows["message_id"]
        + f'","timestamp":"{moment}","context":{context},"traits":'
        + traits
        + "}"
    )


def _flags(keys: AudienceKeys, persona: str, action: str) -> str:
    own = {keys.current[persona]: action != "remove"}
    flags = dict.fromkeys(keys.former.get(persona, ()), False) | own
    return json.dumps(flags, separators=(",", ":"))[1:-1]
