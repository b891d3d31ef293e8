"""The command that turns this machine into a companion: watch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lead_intel import settings as settings_module
from lead_intel.cli.answers import answered, answering, print_json
from lead_intel.cli.work import DEFAULT_SUPPLIER, Json, Supplier
from lead_intel.errors import UsageError
from lead_intel.terminal import say_plainly

if TYPE_CHECKING:
    from lead_intel.settings import StorageSettings


def add_commands(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command()(watch)


def watch(
    folder: Annotated[Path, typer.Argument(help="Where lists appear; a subfolder is a supplier.", metavar="FOLDER")],
    supplier: Supplier = DEFAULT_SUPPLIER,
    once: Annotated[bool, typer.Option("--once", help="Upload what is there now, and end.")] = False,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds for which a file must rest before it is taken as complete.")
    ] = 2.0,
    as_json: Json = False,
) -> None:
    """The companion: uploads lists that appear in a folder, and tells the channel. Ends with Ctrl-C."""
    from lead_intel.companion.watch import Companion
    from lead_intel.record.bucket import checked_supplier

    with answering(as_json=as_json):
        if not folder.is_dir():
            raise UsageError("folder_unreadable", f"There is no folder {folder}.", "Name the folder to watch.")
        checked_supplier(supplier)
        companion = Companion(_bucket_and_channel(), folder.resolve(), supplier, settle, say_plainly)
        if once:
            companion.once()
        else:
            say_plainly(f"Watching {folder}. Ctrl-C ends it.")
            try:
                companion.watch()
            except KeyboardInterrupt:
                say_plainly("Ended. What is on its way goes on with the next `lead-intel watch`.")
        error = companion.error if once else None
        if error is not None:
            raise answered(error, as_json=as_json, account=companion.outcome.as_json)
        if as_json:
            print_json(companion.outcome.as_json())


def _bucket_and_channel() -> StorageSettings:
    """The person's own Supabase project, else that of the house that is up: a companion starts nothing.

    A bucket that ends with the command would take lists that nobody reads.
    """
    from lead_intel.local.environment import chosen_settings
    from lead_intel.local.home import Home
    from lead_intel.local.supervisor import environment_of

    home = settings_module.home()
    if not chosen_settings(Home.at(home), os.environ).has_vendor("SUPABASE_"):
        os.environ.update(environment_of(home))
    return settings_module.load_storage_settings()
