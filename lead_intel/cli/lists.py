"""Commands about lists: check, upload, uploads, status."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lead_intel.cli.answers import answering, print_json, stdout
from lead_intel.cli.house import desk, record
from lead_intel.cli.mapping import HeaderRow, Mapped, columns_said, said_of
from lead_intel.cli.work import DEFAULT_SUPPLIER, ChosenProfile, Json, Supplier, Upload, show_account
from lead_intel.errors import RejectedInput
from lead_intel.terminal import say


def add_commands(app: typer.Typer) -> None:
    """Register this module's commands."""
    for command in (check, upload, uploads, status):
        app.command()(command)


def check(
    file: Annotated[Path, typer.Argument(help="A CSV or XLSX list.", metavar="FILE")],
    table: Annotated[Path | None, typer.Option(help="Write the table as read to this CSV file, all as text.")] = None,
    supplier: Annotated[str, typer.Option(help="Whose words and column names of policy hold.")] = DEFAULT_SUPPLIER,
    mapped: Mapped = None,
    header_row: HeaderRow = None,
    as_json: Json = False,
) -> None:
    """The verdict on a file, without database or network."""
    from lead_intel import settings as settings_module
    from lead_intel.intake.check import check_file
    from lead_intel.policy import load_policy

    with answering(as_json=as_json):
        said = said_of(mapped)
        policy = load_policy(settings_module.policy_folder())
        report = check_file(file, policy, table, supplier, said=said, header_row=header_row)
        if as_json:
            print_json(report.as_json())
        else:
            _show_check(report.as_json())
    if report.verdict == "rejected":
        raise typer.Exit(RejectedInput.exit_code)


def _show_check(report: dict[str, object]) -> None:
    table = Table(show_header=False)
    for key, value in report.items():
        if value not in (None, "", {}, []):
            table.add_row(key, str(value))
    stdout.print(table)


def upload(
    file: Annotated[Path, typer.Argument(help="A CSV or XLSX list.", metavar="FILE")],
    supplier: Supplier = DEFAULT_SUPPLIER,
    profile: ChosenProfile = None,
    mapped: Mapped = None,
    header_row: HeaderRow = None,
    as_json: Json = False,
) -> None:
    """Accept a list: put it into the bucket and screen it."""
    from lead_intel.automation import journey
    from lead_intel.automation.receiving import receive
    from lead_intel.record.account import account_of
    from lead_intel.terminal import live_progress

    with desk(as_json=as_json) as at:
        received = receive(at, file, supplier, profile, columns_said(mapped, header_row))
        if not received.created:
            say(f"These bytes are known: upload {received.upload}.")
        with (
            answering(as_json=as_json, account=lambda: account_of(at.connection, received.upload)),
            live_progress(at.settings, received.upload),
        ):
            journey.screen_if_needed(at, received.upload)
        account = account_of(at.connection, received.upload)
        if as_json:
            print_json(account)
        else:
            show_account(at.connection, account)


def uploads(as_json: Json = False) -> None:
    """List the newest uploads."""
    from lead_intel.record import api_uploads, ingestions

    with record(as_json=as_json) as (_, connection):
        rows = ingestions.newest(connection)
        collected = api_uploads.rows_of_open(connection)
        if as_json:
            print_json(
                {
                    "uploads": [
                        {
                            "upload": row.upload,
                            "supplier": row.supplier,
                            "state": row.state,
                            "state_reason": row.state_reason,
                            "created_at": row.created_at,
                            "rows": row.rows_file,
                            "source": row.source,
                            **({"posted_rows": collected[row.upload]} if row.upload in collected else {}),
                        }
                        for row in rows
                    ]
                }
            )
            return
        table = Table()
        # Other commands need the whole key and the whole reason: they may wrap nothing and lose nothing.
        table.add_column("Upload", no_wrap=True)
        table.add_column("State", overflow="fold")
        for heading in ("Supplier", "Rows", "Received (UTC)"):
            table.add_column(heading)
        for row in rows:
            state = f"{row.state} ({row.state_reason})" if row.state_reason else row.state
            if row.upload in collected:
                state = f"{state} (collects posted leads)"
            count = row.rows_file or collected.get(row.upload)
            table.add_row(row.upload, state, row.supplier, str(count or "-"), f"{row.created_at:%Y-%m-%d %H:%M}")
        stdout.print(table)


def status(upload: Upload, as_json: Json = False) -> None:
    """One upload's account."""
    from lead_intel.record.account import account_of

    with record(as_json=as_json) as (_, connection):
        account = account_of(connection, upload)
        if as_json:
            print_json(account)
        else:
            show_account(connection, account)
            if account.get("state_message"):
                say(f"{account['state_message']} {account.get('state_remedy') or ''}".strip())
