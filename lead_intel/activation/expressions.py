"""Persona policy as SQL expressions over one lead, in a DuckDB that can reach nothing else.

The database is in memory, its file system, network, extensions and settings are locked, and Python variables are out
of reach. An expression must be exactly one, and consist of what is listed here; everything else is refused with its
place. No message of the database's about a row is passed on: it would quote the lead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pandas as pd

from lead_intel.activation.fields import EMAIL_TO_SEND, FIELDS
from lead_intel.errors import SetupError

LEAD = "lead"
"""The one table that an expression sees: a lead with its fields."""

_TYPES = {"text": "varchar", "number": "double", "truth": "boolean"}

_CLASSES = {
    "CASE", "CAST", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "OPERATOR", "BETWEEN", "TYPE",
}  # fmt: skip
ALLOWED_FUNCTIONS = (
    "abs", "ceil", "concat", "contains", "ends_with", "floor", "greatest", "least", "length", "ln", "log10", "lower",
    "nullif", "prefix", "round", "sqrt", "starts_with", "substr", "substring", "suffix", "trim", "upper",
)  # fmt: skip
"""Functions that an expression may call, beside operators, `case`, `cast`, `coalesce`, `in`, `between` and `like`."""

_FUNCTIONS = {"+", "-", "*", "/", "//", "%", "||", "~~", "!~~", "~~*", "!~~*", *ALLOWED_FUNCTIONS}
_RESULTS = {
    "truth": ("BOOLEAN",),
    "number": ("DOUBLE", "FLOAT", "DECIMAL", "INTEGER", "BIGINT", "HUGEINT", "SMALLINT", "TINYINT", "UBIGINT"),
}
_TARGETS = {"varchar", "text", "double", "float", "integer", "int", "bigint", "boolean", "bool"}


def locked_database(frame: pd.DataFrame) -> duckdb.DuckDBPyConnection:
    """A database that holds `frame` (as `fields.joined` makes it) as LEAD, and from which nothing else is reachable."""
    database = duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "python_enable_replacements": "false",
            "threads": "2",
        },
    )
    columns = ["lead_id varchar", f"{EMAIL_TO_SEND} varchar"]
    columns += [f"{name} {_TYPES[kind]}" for name, kind in FIELDS.items()]
    database.execute(f"create table {LEAD} ({', '.join(columns)})")
    names = ", ".join(["lead_id", EMAIL_TO_SEND, *FIELDS])
    database.register("given", frame)
    database.execute(f"insert into {LEAD} ({names}) select {names} from given")  # noqa: S608  # our own names
    database.unregister("given")
    database.execute("set lock_configuration = true")
    return database


def check(database: duckdb.DuckDBPyConnection, expression: str, kind: str, place: str) -> None:
    """Refuse `expression` unless it is one expression over FIELDS of the `kind` wanted (`truth` or `number`).

    Raises:
        SetupError: naming `place` and what is wrong.
    """
    for node in _nodes(_parsed(database, expression, place)):
        _check_node(node, place)
    # Described, not executed: types and names are decided here, no value of a row is looked at.
    query = f"describe select (\n{expression}\n) from {LEAD}"  # noqa: S608  # checked above
    try:
        row = database.execute(query).fetchone()
    except duckdb.Error as error:
        raise _invalid(place, str(error).splitlines()[0].split(": ", 1)[-1].rstrip(".")) from None
    found = str(row[1]) if row else ""
    if not found.startswith(_RESULTS[kind]):
        raise _invalid(place, f"it gives {found.lower()}, not a {kind}")


def as_truth(expression: str) -> str:
    """A checked condition as SQL; unknown counts as false."""
    return f"coalesce({_as(expression, 'truth')}, false)"


def as_number(expression: str) -> str:
    """A checked score part as SQL; what is no finite number counts as 0."""
    number = _as(expression, "number")
    return f"case when isfinite({number}) then {number} else 0.0 end"


def _as(expression: str, kind: str) -> str:
    # The line breaks keep a trailing comment from swallowing what follows.
    return f"cast((\n{expression}\n) as {_TYPES[kind]})"


def _parsed(database: duckdb.DuckDBPyConnection, expression: str, place: str) -> Any:
    tree = _tree(database, f"select (\n{expression}\n) from {LEAD}")  # noqa: S608  # parsed, not executed
    if tree["error"]:
        raise _invalid(place, str(tree.get("error_message", "it cannot be parsed")))
    if len(tree["statements"]) != 1:
        raise _invalid(place, "it is more than one expression")
    node = tree["statements"][0]["node"]
    plain = _tree(database, f"select (true) from {LEAD}")["statements"][0]["node"]  # noqa: S608  # a constant
    selected = node.pop("select_list", [])
    plain.pop("select_list")
    if len(selected) != 1 or _without_places(node) != _without_places(plain):
        raise _invalid(place, "it is more than one expression")
    return selected[0]


def _tree(database: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = database.execute("select json_serialize_sql(?)", [query]).fetchone()
    return json.loads(row[0]) if row else {"error": True}


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        if "class" in tree:
            yield tree
        for part in tree.values():
            yield from _nodes(part)
    elif isinstance(tree, list):
        for part in tree:
            yield from _nodes(part)


def _check_node(node: dict[str, Any], place: str) -> None:
    kind = node["class"]
    if kind not in _CLASSES:
        raise _invalid(place, f"{kind.lower().replace('_', ' ')} is not allowed")
    if kind == "COLUMN_REF":
        names = node["column_names"]
        if len(names) != 1 or names[0].lower() not in FIELDS:
            raise _invalid(place, f"there is no field {'.'.join(names)}")
    if kind == "FUNCTION" and node["function_name"].lower() not in _FUNCTIONS:
        raise _invalid(place, f"the function {node['function_name']} is not allowed")
    if kind == "TYPE" and str(node["type_name"]).lower() not in _TARGETS:
        raise _invalid(place, f"the type {node['type_name']} is not allowed")


def _without_places(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _without_places(part) for name, part in tree.items() if not name.startswith("query_location")}
    if isinstance(tree, list):
        return [_without_places(part) for part in tree]
    return tree


def _invalid(place: str, what: str) -> SetupError:
    return SetupError(
        "policy_invalid", f"personas.yml: {place}: {what}.", "Fields and functions are listed in docs/personas.md."
    )
