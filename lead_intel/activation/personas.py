"""Enriched leads -> who belongs to which persona, with the parts of the score and the traits to send.

Pure apart from the locked database of `expressions`. Members are ranked by score, then by a keyed order of lead ids,
so that a size limit takes the same people on every run.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import duckdb
import pandas as pd
from pydantic import SecretStr

from lead_intel.activation import expressions
from lead_intel.activation.fields import EMAIL_TO_SEND, FIELDS
from lead_intel.errors import SetupError
from lead_intel.policy import Persona, Personas

_COLUMNS = ["lead_id", "persona", "score", "score_parts", "traits", "version"]


def members(frame: pd.DataFrame, policy: Personas, key: SecretStr) -> pd.DataFrame:
    """Members of every persona (`contract.PersonaMembers`) among the leads of `frame` (`fields.joined`).

    Raises:
        SetupError: policy is invalid; names the persona and the place.
    """
    order_key = hmac.digest(key.get_secret_value().encode(), b"persona order", "sha256").hex()
    database = expressions.locked_database(frame)
    try:
        check(database, policy)
        found = [_members(database, name, persona, order_key) for name, persona in policy.personas.items()]
    finally:
        database.close()
    rows = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=_COLUMNS)
    texts = dict.fromkeys((name for name in _COLUMNS if name != "score"), "str")
    return rows.astype({**texts, "score": "float64"})


def check(database: duckdb.DuckDBPyConnection, policy: Personas) -> None:
    """Refuse invalid persona policy. Raises SetupError naming the persona and the place."""
    keys: dict[str, str] = {}
    for name, persona in policy.personas.items():
        expressions.check(database, persona.where, "truth", f"{name}.where")
        for part, expression in persona.score.items():
            expressions.check(database, expression, "number", f"{name}.score.{part}")
        for trait in persona.traits:
            if trait not in FIELDS:
                raise SetupError(
                    "policy_invalid",
                    f"personas.yml: {name}.traits: there is no field {trait}.",
                    "Fields are listed in docs/personas.md.",
                )
        if persona.audience_key in keys or persona.audience_key in FIELDS:
            raise SetupError(
                "policy_invalid",
                f"personas.yml: {name}.audience_key: {persona.audience_key} is taken.",
                "Every persona needs an audience key of its own, unlike any field.",
            )
        keys[persona.audience_key] = name


def definitions(policy: Personas) -> dict[str, tuple[str, dict[str, Any]]]:
    """Persona -> (version, definition): what `record.members.remember_personas` keeps."""
    return {
        name: (_digest(definition), definition)
        for name, persona in policy.personas.items()
        if (definition := persona.model_dump(mode="json"))
    }


def _members(database: duckdb.DuckDBPyConnection, name: str, persona: Persona, order_key: str) -> pd.DataFrame:
    parts = [expressions.as_number(expression) for expression in persona.score.values()]
    named_parts = ", ".join(f"'{_quoted(part)}', part_{number}" for number, part in enumerate(persona.score))
    columns = "".join(f", {sql} as part_{number}" for number, sql in enumerate(parts))
    total = " + ".join(f"part_{number}" for number in range(len(parts))) or "0.0"
    query = f"""
        with matching as (
            select *{columns} from {expressions.LEAD} where {expressions.as_truth(persona.where)}
        ), scored as (
            select lead_id, cast({total} as double) as score,
                   cast(json_object({named_parts}) as varchar) as score_parts,
                   cast({_traits(persona.traits)} as varchar) as traits
            from matching
        )
        select lead_id, $persona as persona, score, score_parts, traits,
               sha256(concat($persona, chr(31), $audience_key, chr(31), traits)) as version
        from scored where isfinite(score) and score >= $minimum
        order by score desc, sha256(concat($order_key, lead_id)), lead_id
        limit {persona.maximum_size or "all"}
    """  # noqa: S608  # checked expressions, quoted names
    try:
        return database.execute(
            query,
            {
                "persona": name,
                "audience_key": persona.audience_key,
                "minimum": persona.minimum_score,
                "order_key": order_key,
            },
        ).df()
    except duckdb.Error:
        # The database's text may quote a value of a lead.
        raise SetupError(
            "policy_invalid",
            f"personas.yml: {name}: an expression fails on some lead.",
            "Guard conversions, for example with `case when ... then ... end`.",
        ) from None


def _traits(names: tuple[str, ...]) -> str:
    """A JSON object of the traits that are known: unknown and blank ones are left out (null would erase in Segment)."""
    pairs = ", ".join(f"'{name}', {_trait(name)}" for name in names)
    return f"json_merge_patch('{{}}', json_object({pairs}))" if pairs else "'{}'"


def _trait(name: str) -> str:
    if name == "email":
        return EMAIL_TO_SEND
    return f"nullif({name}, '')" if FIELDS[name] == "text" else name


def _quoted(name: str) -> str:
    return name.replace("'", "''")


def _digest(definition: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
