"""Commands about rows that were not accepted: quarantine list, export, resubmit, release, replay."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from lead_intel.cli.answers import answering, print_json, stdout
from lead_intel.cli.house import desk, record
from lead_intel.cli.work import Json, Upload, show_account
from lead_intel.errors import UsageError
from lead_intel.terminal import live_progress, say

if TYPE_CHECKING:
    import psycopg

    from lead_intel.automation.desk import Desk

quarantine = typer.Typer(help="Rows that were not accepted: why, and how they come back in.", no_args_is_help=True)

_ROWS_SHOWN = 50


@quarantine.command("list")
def list_rows(
    upload: Upload,
    limit: Annotated[int, typer.Option(min=0, help="So many rows at most; the counts are of all.")] = _ROWS_SHOWN,
    as_json: Json = False,
) -> None:
    """Rows by reason, then line by line with a suggestion. What stands in them is only in the export."""
    from lead_intel.automation.quarantine import listed
    from lead_intel.policy import load_policy

    with record(as_json=as_json) as (settings, connection):
        policy = load_policy(settings.lead_intel_policy_dir)
        answer = listed(connection, policy, upload, limit)
        if as_json:
            print_json(answer)
        else:
            _show(answer)


def _show(answer: dict[str, Any]) -> None:
    reasons = Table("Reason", "Rows", "In words", title=f"{answer['quarantined']:,} rows in quarantine")
    for reason in answer["reasons"]:
        reasons.add_row(reason["code"], f"{reason['rows']:,}", reason["words"])
    stdout.print(reasons)
    if not answer["rows"]:
        return
    rows = Table("Row", "Reason", "Column", "Suggestion")
    for row in answer["rows"]:
        rows.add_row(f"{row['file']}:{row['line']}", "\n".join(row["codes"]), row["column"], row["suggestion"])
    stdout.print(rows)


@quarantine.command()
def export(
    upload: Upload,
    out: Annotated[Path | None, typer.Option(help="Where to (default: UPLOAD_quarantine.csv, here).")] = None,
    as_json: Json = False,
) -> None:
    """Write the rows to a CSV file with the reason beside each: correct it in a spreadsheet, then `resubmit` it."""
    from lead_intel.automation.quarantine import write_export
    from lead_intel.policy import load_policy

    with record(as_json=as_json) as (settings, connection):
        policy = load_policy(settings.lead_intel_policy_dir)
        target = out or Path(f"{upload}_quarantine.csv")
        rows = write_export(connection, policy, upload, target)
        if as_json:
            print_json({"upload": upload, "file": str(target), "rows": rows})
        else:
            stdout.print(f"{rows:,} rows in {target}.", markup=False, soft_wrap=True)
            say("It holds personal data. Correct it, then: "
                f"`lead-intel quarantine resubmit {upload} {target}`.")  # fmt: skip


@quarantine.command()
def resubmit(
    upload: Upload,
    file: Annotated[Path, typer.Argument(help="The corrected export, CSV or XLSX.", metavar="FILE")],
    as_json: Json = False,
) -> None:
    """Let a corrected export join its upload: what is right now is accepted, what is not stays in quarantine."""
    from dataclasses import asdict

    from lead_intel.automation.quarantine import resubmit as join

    with _mending(upload, as_json=as_json) as (at, told):
        told["resubmitted"] = asdict(join(at, upload, file, getpass.getuser()))


@quarantine.command()
def release(
    upload: Upload,
    row: Annotated[str, typer.Argument(help="FILE:LINE, as `list` shows it.", metavar="ROW")],
    by: Annotated[str, typer.Option(help="Who takes responsibility.")],
    why: Annotated[str, typer.Option(help="Why the row is right as it is.")],
    as_json: Json = False,
) -> None:
    """Accept one row on your word: only where a person can know better, such as an unknown consent source."""
    from lead_intel.automation.quarantine import release as vouch

    with _mending(upload, as_json=as_json) as (at, told):
        place = _place(row)
        vouch(at, upload, place, by, why)
        told["released"] = f"{place[0]}:{place[1]}"


def _place(row: str) -> tuple[int, int]:
    file, colon, line = row.partition(":")
    if not (colon and file.isascii() and file.isdecimal() and line.isascii() and line.isdecimal()):
        raise UsageError("row_unnamed", "A row is named FILE:LINE, such as 1:27.", "`quarantine list` shows them.")
    return int(file), int(line)


@quarantine.command()
def replay(
    upload: Annotated[
        str | None, typer.Argument(help="An upload (default: all with quarantine).", metavar="[UPLOAD]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge quarantine again by today's policy, from the stored originals: no list needs to be sent again."""
    from lead_intel.automation.quarantine import replay as judge_again
    from lead_intel.record import ingestions
    from lead_intel.record.quarantine import uploads_with_open_rows

    with desk(as_json=as_json) as at:
        if upload is not None:
            ingestions.find(at.connection, upload)
        replayed: dict[str, int] = {}
        with answering(as_json=as_json, account=lambda: {"replayed": replayed}):
            for each in [upload] if upload is not None else uploads_with_open_rows(at.connection):
                with live_progress(at.settings, each):
                    replayed[each] = judge_again(at, each)
        if upload is not None:
            _answer(at.connection, upload, {"replayed": replayed[upload]}, as_json=as_json)
        elif as_json:
            print_json({"replayed": replayed})
        else:
            table = Table("Upload", "Rows accepted now")
            for key, rows in replayed.items():
                table.add_row(key, f"{rows:,}")
            stdout.print(table)


@contextmanager
def _mending(upload: str, *, as_json: bool) -> Iterator[tuple[Desk, dict[str, Any]]]:
    """Make one move with live progress, and answer with the upload's account and what the move tells."""
    from lead_intel.record import ingestions
    from lead_intel.record.account import account_of

    with desk(as_json=as_json) as at:
        ingestions.find(at.connection, upload)
        told: dict[str, Any] = {}
        with (
            answering(as_json=as_json, account=lambda: {**account_of(at.connection, upload), **told}),
            live_progress(at.settings, upload),
        ):
            yield at, told
        _answer(at.connection, upload, told, as_json=as_json)


def _answer(connection: psycopg.Connection, upload: str, told: dict[str, Any], *, as_json: bool) -> None:
    from lead_intel.record.account import account_of

    account = account_of(connection, upload)
    if as_json:
        print_json({**account, **told})
        return
    show_account(connection, account)
    say(_sentence(told))


def _sentence(told: dict[str, Any]) -> str:
    if "released" in told:
        return f"Row {told['released']} is released."
    if "replayed" in told:
        return f"{told['replayed']:,} rows are accepted by today's policy."
    said = told["resubmitted"]
    parts = [f"{said['corrected']:,} rows corrected", f"{said['unchanged']:,} unchanged"]
    parts += [f"{rows:,} {code}" for code, rows in said["set_aside"].items()]
    return ", ".join(parts) + "."
