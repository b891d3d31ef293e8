"""Commands about Do-Not-Call lists and opt-outs: dnc import, dnc status, suppress."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lead_intel.cli.answers import print_json, stdout
from lead_intel.cli.house import record
from lead_intel.cli.work import Json

dnc = typer.Typer(help="The Do-Not-Call registry index.", no_args_is_help=True)


def add_commands(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command()(suppress)


@dnc.command("import")
def import_lists(
    files: Annotated[list[Path], typer.Argument(help="Registry files as downloaded.", metavar="FILES")],
    version_date: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The registry version's own date, not today's.")
    ],
    as_json: Json = False,
) -> None:
    """Build a new index from full registry files."""
    from lead_intel.dnc.snapshots import import_registry

    with record(as_json=as_json) as (settings, connection):
        snapshot = import_registry(connection, settings, files, version_date.date(), "national_registry")
        answer = {
            "digest": snapshot.digest,
            "version_date": snapshot.version_date,
            "numbers": snapshot.numbers,
            "area_codes": len(snapshot.area_codes),
        }
        if as_json:
            print_json(answer)
        else:
            stdout.print(
                f"{snapshot.numbers:,} numbers in {len(snapshot.area_codes)} area codes, version "
                f"{snapshot.version_date}, digest {snapshot.digest[:12]}."
            )


@dnc.command("status")
def status(as_json: Json = False) -> None:
    """The snapshots that verdicts are made from, newest first."""
    from lead_intel.record.dnc import snapshots

    with record(as_json=as_json) as (_, connection):
        rows = snapshots(connection)
        if as_json:
            print_json(
                {
                    "snapshots": [
                        {
                            "digest": row.digest,
                            "source": row.source,
                            "version_date": row.version_date,
                            "numbers": row.numbers,
                            "area_codes": len(row.area_codes),
                        }
                        for row in rows
                    ]
                }
            )
            return
        table = Table("Digest", "Source", "Version", "Numbers", "Area codes")
        for row in rows:
            table.add_row(
                row.digest[:12],
                row.source,
                str(row.version_date),
                f"{row.numbers:,}",
                str(len(row.area_codes)),
            )
        stdout.print(table)


def suppress(
    contact: Annotated[str, typer.Argument(help="A phone, an e-mail, or a file of them, one a line; `-` reads stdin.")],
    reason: Annotated[str, typer.Option(help="Why, in a word: stop, complaint, request.")] = "request",
    channel: Annotated[str, typer.Option(help="How the person said so: sms, call, email, form.")] = "unknown",
    as_json: Json = False,
) -> None:
    """Never contact this person again. At once, for ever, and checked again at the moment of each push."""
    from lead_intel.dnc.suppression import suppress_contacts

    with record(as_json=as_json) as (settings, connection):
        added = suppress_contacts(connection, settings, contact, reason, channel)
        if as_json:
            print_json({"suppressed": added})
        else:
            stdout.print(f"{added} suppressed.")
