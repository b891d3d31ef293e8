"""Commands about the keys of the ingestion API: create, list, revoke."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from lead_intel.cli.answers import print_json, stdout
from lead_intel.cli.house import record
from lead_intel.cli.work import Json
from lead_intel.terminal import say

if TYPE_CHECKING:
    from lead_intel.record.api_keys import ApiKey

keys = typer.Typer(help="Keys with which suppliers post leads (docs/ingestion-api.md).", no_args_is_help=True)


@keys.command("create")
def create(
    supplier: Annotated[str, typer.Option(help="Whose leads come in under this key.")],
    name: Annotated[str, typer.Option(help="What it is for, in a word or two.")] = "",
    days: Annotated[float | None, typer.Option(min=0, help="Valid for so long (default: ingestion.yml).")] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it: the only time that anybody sees it."""
    from lead_intel.policy import load_policy
    from lead_intel.record import api_keys, bucket

    with record(as_json=as_json) as (settings, connection):
        bucket.checked_supplier(supplier)
        valid_for = load_policy(settings.lead_intel_policy_dir).ingestion.key_days if days is None else days
        key, text = api_keys.create(connection, supplier, name, valid_for, getpass.getuser())
        if as_json:
            print_json({**_shown(key), "key": text})
        else:
            stdout.print(text, markup=False, soft_wrap=True)
            say(f"Key {key.key_id} of {supplier}, valid until {key.expires_at:%Y-%m-%d}. It is not shown again.")


@keys.command("list")
def list_keys(
    supplier: Annotated[str | None, typer.Option(help="Only this supplier's.")] = None, as_json: Json = False
) -> None:
    """The keys, newest first; of the key itself, only its id."""
    from lead_intel.record import api_keys

    with record(as_json=as_json) as (_, connection):
        found = api_keys.all_keys(connection, supplier)
        if as_json:
            print_json({"keys": [_shown(key) for key in found]})
            return
        table = Table("Key", "Supplier", "Name", "State", "Made by", "Valid until")
        for key in found:
            table.add_row(key.key_id, key.supplier, key.name, _state(key), key.created_by, f"{key.expires_at:%Y-%m-%d}")
        stdout.print(table)


@keys.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id; `lead-intel keys list` lists them.", metavar="KEY")],
    as_json: Json = False,
) -> None:
    """End a key at once, for ever."""
    from lead_intel.record import api_keys

    with record(as_json=as_json) as (_, connection):
        revoked = api_keys.revoke(connection, key)
        if as_json:
            print_json(_shown(revoked))
        else:
            stdout.print(f"Key {revoked.key_id} of {revoked.supplier} is revoked.")


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "supplier": key.supplier,
        "name": key.name,
        "state": _state(key),
        "created_by": key.created_by,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.valid else "expired"
