"""Commands that start and stop the house, and the desk at which every other command works."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from lead_intel import settings as settings_module
from lead_intel.cli.answers import answering, print_json, stdout
from lead_intel.terminal import say

if TYPE_CHECKING:
    import psycopg
    from dagster import Definitions

    from lead_intel.automation.desk import Desk
    from lead_intel.settings import Settings


def add_commands(app: typer.Typer) -> None:
    """Register this module's commands."""
    app.command()(up)
    app.command()(down)
    app.command()(env)


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Start everything in the background and return.")] = False,
    without_dagster: Annotated[
        bool, typer.Option("--without-dagster", help="For use beside `dagster dev` in the repository.")
    ] = False,
) -> None:
    """Start everything for a day's work: PostgreSQL, the sandbox, the hub, Dagster's web UI and daemon."""
    from lead_intel.local.supervisor import up as start

    with answering(as_json=False):
        start(settings_module.home(), without_dagster=without_dagster, detach=detach)


def down() -> None:
    """Stop everything that `up` started."""
    from lead_intel.local.supervisor import down as stop

    with answering(as_json=False):
        stop(settings_module.home())


def env(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Print the settings of what is up, as shell exports: `eval "$(lead-intel env)"`."""
    from lead_intel.local.supervisor import environment_of

    with answering(as_json=as_json):
        environment = environment_of(settings_module.home())
        if as_json:
            print_json(environment)
        else:
            for name, value in sorted(environment.items()):
                stdout.print(f"export {name}={shlex.quote(value)}", markup=False, soft_wrap=True)


@contextmanager
def surroundings() -> Iterator[Settings]:
    """Use what is up, else start PostgreSQL and the sandbox and stop them afterwards."""
    from lead_intel.local.supervisor import local_house

    with local_house(settings_module.home()) as house:
        os.environ.update(house.environment)
        yield settings_module.load_settings()


@contextmanager
def record(*, as_json: bool = False) -> Iterator[tuple[Settings, psycopg.Connection]]:
    """The system of record, for commands that launch nothing."""
    from lead_intel.record.database import connected

    with answering(as_json=as_json), surroundings() as settings, connected(settings) as connection:
        from lead_intel.dnc.snapshots import ensure_snapshot

        ensure_snapshot(connection, settings)
        yield settings, connection


@contextmanager
def desk(*, as_json: bool = False) -> Iterator[Desk]:
    """Where a person's moves are made: the record, policy, and Dagster's instance and definitions."""
    with record(as_json=as_json) as (settings, connection):
        import dagster as dg

        from lead_intel.automation.desk import Desk
        from lead_intel.policy import load_policy

        policy = load_policy(settings.lead_intel_policy_dir)
        with dg.DagsterInstance.get() as instance:
            yield Desk(settings, policy, connection, instance, _definitions, say)


def _definitions() -> Definitions:
    from lead_intel.definitions import defs

    return defs
