"""Commands that move one upload: run, map, sample, plan, approve, activate, stop, resume."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lead_intel.cli.answers import answering, print_json, stdout
from lead_intel.cli.house import desk, record
from lead_intel.cli.mapping import HeaderRow, Mapped, columns_said
from lead_intel.errors import SetupError, UsageError
from lead_intel.settings import policy_folder
from lead_intel.terminal import live_progress, say, summary

if TYPE_CHECKING:
    import psycopg

    from lead_intel.automation.desk import Desk
    from lead_intel.policy import StageTarget


class Profile(StrEnum):
    """Consent profiles of data/policy/consent.yml."""

    strict = "strict"
    lenient = "lenient"


Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Supplier = Annotated[str, typer.Option(help="Who the list came from; the folder in the bucket.")]
ChosenProfile = Annotated[Profile | None, typer.Option(help="Consent evidence asked for (default: strict).")]
Upload = Annotated[str, typer.Argument(help="An upload; `lead-intel uploads` lists them.", metavar="UPLOAD")]
Plan = Annotated[str, typer.Argument(help="A plan; `lead-intel plan` prints it.", metavar="PLAN")]

DEFAULT_SUPPLIER = "default"


def add_commands(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command("map")(map_columns)
    for command in (run, sample, plan, approve, activate, stop, resume):
        app.command()(command)


def run(
    file: Annotated[Path, typer.Argument(help="A CSV or XLSX list.", metavar="FILE")],
    supplier: Supplier = DEFAULT_SUPPLIER,
    profile: ChosenProfile = None,
    sample: Annotated[
        float | None, typer.Option(min=0, max=100, help="Percent of the sendable leads to enrich.")
    ] = None,
    activate: Annotated[bool, typer.Option("--activate", help="Approve the plan and push it.")] = False,
    mapped: Mapped = None,
    header_row: HeaderRow = None,
    as_json: Json = False,
) -> None:
    """Everything in one go: upload, screen, enrich the sample, plan, and with --activate push to Segment."""
    with answering(as_json=as_json):
        if not file.is_file():
            raise UsageError("file_unreadable", f"There is no file {file}.", "Name a CSV or XLSX file.")
    with desk(as_json=as_json) as at:
        from lead_intel.automation import journey
        from lead_intel.automation.receiving import sha256_of
        from lead_intel.record import ingestions

        key = (supplier, sha256_of(file))

        def account_so_far() -> dict[str, Any] | None:
            row = ingestions.find_same_bytes(at.connection, *key)
            return None if row is None else _account(at.connection, row.upload)

        with answering(as_json=as_json, account=account_so_far):
            percent = None if sample is None else Decimal(str(sample))
            by = getpass.getuser() if activate else None
            with live_progress(at.settings, key):
                upload = journey.run(
                    at, file, supplier, profile, percent, activated_by=by, said=columns_said(mapped, header_row)
                )
        _answer(at.connection, upload, as_json=as_json)
        _fail_if_messages_failed(at.connection, upload)


def map_columns(
    upload: Upload,
    mapped: Mapped = None,
    header_row: HeaderRow = None,
    as_json: Json = False,
) -> None:
    """Say which column of a list is which, and screen it again; lists of the same layout follow from then on."""
    from lead_intel.automation import journey
    from lead_intel.automation.receiving import say_columns

    with answering(as_json=as_json):
        said = columns_said(mapped, header_row)
        if said is None:
            raise UsageError("map_option", "Nothing is said of the columns.", 'For example: --map phone="Cell Number".')
    with _moving(upload, as_json=as_json) as at, journey.turn_of(at, upload):
        say_columns(at, upload, said)
        journey.screen_if_needed(at, upload)


def sample(
    upload: Upload,
    percent: Annotated[float, typer.Argument(min=0, max=100, help="Percent of the sendable leads.")],
    as_json: Json = False,
) -> None:
    """Choose the sample that will be enriched; `plan` then does it."""
    from lead_intel.automation import journey

    with _moving(upload, as_json=as_json) as at:
        journey.choose_sample(at, upload, Decimal(str(percent)))


def plan(upload: Upload, as_json: Json = False) -> None:
    """Enrich the chosen sample and plan the activation: nothing is pushed. Screens first what has no fresh answer."""
    from lead_intel.automation import journey

    with _moving(upload, as_json=as_json) as at, journey.turn_of(at, upload):
        journey.plan(at, upload)


def approve(
    plan: Plan,
    by: Annotated[str | None, typer.Option(help="Who approves (default: the user of this machine).")] = None,
    as_json: Json = False,
) -> None:
    """Approve a plan, so that it can be activated."""
    from lead_intel.activation.approval import approve as approve_plan
    from lead_intel.policy import load_policy
    from lead_intel.record import plans

    with record(as_json=as_json) as (settings, connection):
        policy = load_policy(settings.lead_intel_policy_dir).activation
        approve_plan(connection, plan, by or getpass.getuser(), policy)
        _answer(connection, plans.find(connection, plan).upload, as_json=as_json)


def activate(plan: Plan, as_json: Json = False) -> None:
    """Push an approved plan to Segment (approves it first where policy lets one person do both)."""
    from lead_intel.automation import journey
    from lead_intel.record import plans

    with desk(as_json=as_json) as at:
        upload = plans.find(at.connection, plan).upload
        with _moving_at(at, upload, as_json=as_json), journey.turn_of(at, upload):
            journey.activate(at, plan, getpass.getuser())
        _answer(at.connection, upload, as_json=as_json)
        _fail_if_messages_failed(at.connection, upload)


def stop(upload: Upload, as_json: Json = False) -> None:
    """Park an upload within a second; `resume` goes on without paying again."""
    from lead_intel.automation import journey
    from lead_intel.record.announcements import announce_state

    with record(as_json=as_json) as (settings, connection):
        journey.stop(connection, upload)
        announce_state(settings, upload)
        _answer(connection, upload, as_json=as_json)


def resume(upload: Upload, as_json: Json = False) -> None:
    """Go on with an upload that is paused, stopped or failed; what has no answer yet is asked, and paid, again."""
    from lead_intel.automation import journey
    from lead_intel.record import ingestions

    with desk(as_json=as_json) as at:
        ingestions.find(at.connection, upload)
        with _moving_at(at, upload, as_json=as_json), journey.turn_of(at, upload):
            journey.resume(at, upload, getpass.getuser())
        _answer(at.connection, upload, as_json=as_json)
        _fail_if_messages_failed(at.connection, upload)


@contextmanager
def _moving(upload: str, *, as_json: bool) -> Iterator[Desk]:
    """Make one move with live progress, and answer with the upload's account."""
    from lead_intel.record import ingestions

    with desk(as_json=as_json) as at:
        ingestions.find(at.connection, upload)
        with _moving_at(at, upload, as_json=as_json):
            yield at
        _answer(at.connection, upload, as_json=as_json)


@contextmanager
def _moving_at(at: Desk, upload: str, *, as_json: bool) -> Iterator[None]:
    with (
        answering(as_json=as_json, account=lambda: _account(at.connection, upload)),
        live_progress(at.settings, upload),
    ):
        yield


def _account(connection: psycopg.Connection, upload: str) -> dict[str, Any]:
    from lead_intel.record.account import account_of

    return account_of(connection, upload)


def _answer(connection: psycopg.Connection, upload: str, *, as_json: bool) -> None:
    account = _account(connection, upload)
    if as_json:
        print_json(account)
    else:
        show_account(connection, account)
        _say_what_is_next(account)


def _fail_if_messages_failed(connection: psycopg.Connection, upload: str) -> None:
    """Exit 1 when messages of the newest plan failed; what failed in plans that it replaced is over."""
    from lead_intel.record import outbox

    if outbox.failures(connection, upload):
        raise typer.Exit(1)


def show_account(connection: psycopg.Connection, account: dict[str, Any]) -> None:
    """The account for people, with the targets of policy beside the times."""
    from lead_intel.record.account import breakout_of

    stdout.print(summary(account, breakout_of(connection, account["upload"]), _targets()))


def _targets() -> Mapping[str, StageTarget]:
    from lead_intel.policy import load_policy

    try:
        return {str(stage): target for stage, target in load_policy(policy_folder()).sla.stages.items()}
    except SetupError:
        return {}  # what stands in the record is shown although policy is being mended


def _say_what_is_next(account: dict[str, Any]) -> None:
    upload = account["upload"]
    match account["state"]:
        case "screened":
            say(f"Next: `lead-intel sample {upload} 25` and `lead-intel plan {upload}`.")
        case "planned":
            say(f"A dry run: nothing was pushed. Next: `lead-intel activate {account['plan']}`.")
