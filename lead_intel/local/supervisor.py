"""The house: `local_house` for a command, `up` and `down` for a day's work. The CLI's and the tests' entry.

A command uses what is up for its home, starts what is missing, and gives its lease back at the end; what nobody
wants any more is ended by the guardian (see `guardian`), also when the command itself was killed.
A program that dies is started again three times within a minute; after that a foreground `up` ends with an
error, and a house in the background goes on with the rest.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psycopg

from lead_intel.errors import SetupError
from lead_intel.local.binaries import SOURCES, Source
from lead_intel.local.environment import (
    SANDBOX,
    Chosen,
    chosen_settings,
    house_environment,
    loopback,
)
from lead_intel.local.home import Home
from lead_intel.local.lease import GuardianGone, Lease, running_lease, taken_lease
from lead_intel.local.leftovers import STATE
from lead_intel.local.postgres import POSTGRES, has_cluster, place_notice, recorded_cluster
from lead_intel.local.services import (
    DAEMON,
    DAGSTER_PREFIX,
    GATEWAY,
    WEBSERVER,
    Service,
    daemon_service,
    gateway_service,
    postgres_service,
    prepare_dagster_home,
    sandbox_service,
    webserver_service,
)
from lead_intel.local.starting import bring_up
from lead_intel.record.database import migrate

START_LOCK = "start.lock"
_START_LOCK_SECONDS = 320.0
_ATTEMPTS = 3
_RECOVERY_SECONDS = 3.0


@dataclass(frozen=True)
class House:
    """What is up for one home. `environment` holds every setting that a program of ours needs."""

    home: Home
    environment: dict[str, str]
    ports: dict[str, int]


@contextmanager
def local_house(
    folder: Path, *, sources: tuple[Source, ...] = SOURCES, environ: Mapping[str, str] | None = None
) -> Iterator[House]:
    """PostgreSQL (migrated) and the sandbox of the home in `folder`, for as long as the body runs.

    What the person's environment names is used instead and not started. `sources` says where PostgreSQL's
    binaries may come from.

    Raises:
        SetupError: in one sentence, what is missing and what to do.
    """
    home = Home.at(folder)
    lease, house = _opened(home, sources, dict(os.environ if environ is None else environ), _nothing_more)
    try:
        yield house
    finally:
        if lease is not None:
            lease.release()


def up(folder: Path, *, without_dagster: bool = False, detach: bool = False) -> None:
    """Start everything for a day's work, print the addresses, and stay until Ctrl-C, SIGTERM or `down`.

    A second `up` on one home says so and ends: otherwise the first could not stop what the second holds.

    Raises:
        SetupError: something does not start, or died too often.
    """
    home = Home.at(folder)
    if _is_up(home, GATEWAY if without_dagster else DAEMON):
        _say(f"Everything is up already for {home.folder}; `lead-intel down` stops it.")
        return
    more = _gateway_only if without_dagster else _gateway_and_dagster
    with _interruptible():
        lease = None
        try:
            lease, house = _opened(home, SOURCES, dict(os.environ), more)
            _print_addresses(house)
            if lease is None:
                return
            if detach:
                lease.pin()
                _say("Everything runs in the background; `lead-intel down` stops it.")
                return
            _say("Ctrl-C stops everything.")
            _watch(lease)
        except KeyboardInterrupt:
            _say("Stopping.")
        finally:
            if lease is not None:
                lease.release()


def down(folder: Path) -> None:
    """Stop everything that runs for the home, whoever started it."""
    home = Home.at(folder)
    lease = running_lease(home)
    if lease is None and home.read(STATE):
        # Its guardian was killed; a new one ends what that left behind.
        with home.locked(START_LOCK, _START_LOCK_SECONDS):
            lease = taken_lease(home)
    if lease is None:
        _say(f"Nothing is up for {home.folder}.")
        return
    lease.end_everything()
    _say("Stopped.")


def environment_of(folder: Path) -> dict[str, str]:
    """The settings of what is up for the home, for a shell or for `dagster dev`.

    Raises:
        SetupError: something that the settings would name is not up.
    """
    home = Home.at(folder)
    chosen = chosen_settings(home, os.environ)
    lease = running_lease(home)
    running = set() if lease is None else {name for name in (POSTGRES, SANDBOX, GATEWAY) if lease.look(name).settled}
    if lease is not None:
        lease.connection.close()
    if (not chosen.has_database and POSTGRES not in running) or (chosen.needs_sandbox and SANDBOX not in running):
        raise SetupError("not_up", f"Nothing is up for {home.folder}.", "Start it with `lead-intel up --detach` first.")
    prepare_dagster_home(home)
    environment = _environment(home, chosen)
    port = home.recorded_port(GATEWAY)
    if GATEWAY in running and port is not None:
        environment["LEAD_INTEL_API_URL"] = f"{loopback(port)}/v1/leads"
    return environment


_More = Callable[[Home, dict[str, str]], list[list[Service]]]


def _opened(
    home: Home, sources: tuple[Source, ...], environ: dict[str, str], more: _More
) -> tuple[Lease | None, House]:
    chosen = chosen_settings(home, environ)
    if chosen.vendors and chosen.needs_sandbox:
        _say(f"From your environment, not from the sandbox: {', '.join(chosen.vendors)}.")
    for _ in range(_ATTEMPTS):
        try:
            with home.locked(START_LOCK, _START_LOCK_SECONDS):
                return _opened_once(home, sources, chosen, environ, more)
        except GuardianGone:
            # The last lease was given back between our connection and our question: a new guardian answers.
            continue
    raise SetupError(
        "guardian_gone", f"The guardian of {home.folder} keeps ending.", "See logs/guardian.log in the home."
    )


def _opened_once(
    home: Home, sources: tuple[Source, ...], chosen: Chosen, environ: dict[str, str], more: _More
) -> tuple[Lease | None, House]:
    first: list[Service] = []
    if not chosen.has_database:
        first.append(postgres_service(home, sources))
    if chosen.needs_sandbox:
        first.append(sandbox_service(home, environ))
    is_new = not has_cluster(home)
    prepare_dagster_home(home)
    if not first and more is _nothing_more:
        environment = _environment(home, chosen)
        _migrated(chosen, environment["DATABASE_URL"])
        return None, House(home, environment, {})
    lease = taken_lease(home)
    try:
        ports = bring_up(lease, home, first)
        environment = _environment(home, chosen)
        _migrated(chosen, environment["DATABASE_URL"])
        for services in more(home, {**environ, **environment}):
            ports |= bring_up(lease, home, services)
    except BaseException:
        lease.release()
        raise
    notice = place_notice(home) if is_new else None
    if notice is not None:
        _say(notice)
    return lease, House(home, environment, ports)


def _environment(home: Home, chosen: Chosen) -> dict[str, str]:
    port = home.recorded_port(SANDBOX)
    return house_environment(
        home,
        chosen,
        database_url=recorded_cluster(home).url if has_cluster(home) else None,
        sandbox_url=None if port is None else loopback(port),
    )


def _migrated(chosen: Chosen, database_url: str) -> None:
    # A server of ours that was killed is being started again.
    deadline = time.monotonic() + (0.0 if chosen.has_database else _RECOVERY_SECONDS)
    while True:
        try:
            with psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection:
                migrate(connection)
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError) and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            reason = (str(error).strip().splitlines() or ["no answer"])[0]
            raise SetupError(
                "database_unusable", f"The database cannot be used: {reason.rstrip('.')}.", "Check DATABASE_URL."
            ) from None
        return


def _nothing_more(_home: Home, _environ: dict[str, str]) -> list[list[Service]]:
    return []


def _gateway_only(home: Home, environ: dict[str, str]) -> list[list[Service]]:
    return [[gateway_service(home, environ, lambda: None)]]


def _gateway_and_dagster(home: Home, environ: dict[str, str]) -> list[list[Service]]:
    # The web UI first: the gateway is told where it is, which may be another port than the last time.
    return [
        [webserver_service(home, environ), daemon_service(home, environ, time.time())],
        [gateway_service(home, environ, lambda: loopback(home.recorded_port(WEBSERVER) or 0))],
    ]


def _watch(lease: Lease) -> None:
    """Say what happens to the programs until the guardian ends.

    Raises:
        SetupError: a program died too often, or the guardian was killed.
    """
    for event in lease.events():
        match event:
            case {"event": "restarted", "name": name, "how": how}:
                _say(f"{name} {how}; started again.")
            case {"event": "failed", "name": name, "how": how}:
                raise SetupError(
                    "program_failed",
                    f"{name} {how} again and again.",
                    f"See logs/{name}.log in {lease.home.folder}.",
                )
            case {"event": "ending", "how": "asked to"}:
                _say("Stopped by `lead-intel down`.")
                return
            case _:
                _say(f"The guardian says: {event.get('how', event['event'])}.")
    raise SetupError(
        "guardian_gone", "The guardian of the house was killed.", "`lead-intel up` starts everything again."
    )


def _is_up(home: Home, program: str) -> bool:
    lease = running_lease(home)
    if lease is None:
        return False
    settled = lease.look(program).settled
    lease.connection.close()
    return settled


def _print_addresses(house: House) -> None:
    lines = {
        "Hub": loopback(house.ports[GATEWAY]) if GATEWAY in house.ports else None,
        "Leads API": f"{loopback(house.ports[GATEWAY])}/v1/leads" if GATEWAY in house.ports else None,
        "Dagster": f"{loopback(house.ports[GATEWAY])}{DAGSTER_PREFIX}" if DAEMON in house.ports else None,
        "Sandbox": loopback(house.ports[SANDBOX]) if SANDBOX in house.ports else None,
        "Storage": house.environment.get("SUPABASE_URL"),
        "PostgreSQL": f"127.0.0.1:{house.ports[POSTGRES]}, database lead_intel" if POSTGRES in house.ports else None,
    }
    for name, address in lines.items():
        if address is not None:
            sys.stdout.write(f"{name + ':':<12}{address}\n")
    sys.stdout.write('Settings:   eval "$(lead-intel env)"\n')
    sys.stdout.flush()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, also in a shell that started us with SIGINT ignored."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # Once only: what follows is the orderly end.
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(sentence: str) -> None:
    """One line for the person; `lead_intel.terminal` would load Dagster first."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
