"""The embedded PostgreSQL of one home: made once, started on loopback, never confused with another server.

What starts and ends the server process is the guardian; here is what it needs to be told, and the care before
a start. A postmaster.pid that names a process which is not provably this cluster's server is removed, and that
process is left alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from lead_intel.errors import SetupError
from lead_intel.local.account import Account, can_traverse, own_folder, server_account, shared_place
from lead_intel.local.binaries import SOURCES, Binaries, Source, find_binaries
from lead_intel.local.home import Home
from lead_intel.local.processes import runs_in, wait_until

POSTGRES = "postgres"
DATABASE = "lead_intel"
ROLE = "lead_intel"
SUPERUSER = "postgres"
_RECORD = "postgres.json"
_PARTIAL = "partial"
_NEEDED_BYTES = 256 * 1024 * 1024
_BUILTIN_LOCALE_SINCE = 17

# One sync of the file system is much faster than initdb's thousand, and on Linux it waits as they do.
_UNSYNCED = ["--no-sync"] if sys.platform == "linux" else []

# Loopback with passwords only. Errors are logged without statement and detail: both would hold personal data.
_SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "max_connections": "200",
}

# What Supabase's own `postgres` role has: a migration that needs more fails here first.
_FIRST_STATEMENTS = """\
create role {role} login createdb createrole bypassrls replication password '{password}';
grant pg_monitor to {role};
create database {database} owner {role};
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster as it is reached: its URLs hold passwords."""

    data: Path
    port: int
    password: str
    superuser_password: str

    @property
    def url(self) -> str:
        """The product's database."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Another database of this cluster, as the product's role."""
        return f"postgresql://{ROLE}:{self.password}@127.0.0.1:{self.port}/{quote(database)}"

    @property
    def superuser_url(self) -> str:
        """As superuser, for tests and repairs; the product never uses it."""
        return f"postgresql://{SUPERUSER}:{self.superuser_password}@127.0.0.1:{self.port}/{SUPERUSER}"


@dataclass(frozen=True, slots=True)
class Server:
    """How to run the server of a cluster."""

    cluster: Cluster
    binaries: Binaries
    account: Account | None

    @property
    def command(self) -> list[str]:
        """The server as an argument list; it stays in the foreground."""
        settings = [part for name, value in _SERVER_SETTINGS.items() for part in ("-c", f"{name}={value}")]
        place = ["-D", str(self.cluster.data), "-p", str(self.cluster.port)]
        return [self.binaries.path("postgres"), *place, *settings]

    def is_ready(self, pid: int) -> bool:
        """True when the server `pid` accepts connections: it writes `ready` into its postmaster.pid."""
        lines = _pid_file_lines(self.cluster.data)
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def prepared_server(home: Home, *, sources: tuple[Source, ...] = SOURCES) -> Server:
    """The home's server, its cluster initialised when it is new, cleared for a start.

    Call under the home's start lock.

    Raises:
        SetupError: no binaries, no place, a full disk, lost data, or a server of this cluster that does not end.
    """
    account = server_account()
    record = home.read(_RECORD)
    place = Path(record["place"]) if record else _new_place(home, account)
    data = place / "data"
    made_by = _major_of(data) if record else None
    if record and made_by is None and not (place / _PARTIAL).exists():
        raise SetupError(
            "database_gone",
            f"The database of this home is gone from {data}.",
            f"Put it back, or delete {home.folder} to begin anew.",
        )
    binaries = find_binaries(account, sources=sources if made_by is None else SOURCES, major=made_by)
    if made_by is None:
        _initialise(home, place, binaries, account)
    _clear_for_start(data)
    home.port(POSTGRES)
    return Server(recorded_cluster(home), binaries, account)


def recorded_cluster(home: Home) -> Cluster:
    """The home's cluster as it was last started. Raises SetupError when there is none."""
    record, port = home.read(_RECORD), home.recorded_port(POSTGRES)
    if not record or port is None:
        raise SetupError(
            "no_database", f"{home.folder} has no database yet.", "Start it with `lead-intel up --detach` first."
        )
    return Cluster(Path(record["place"]) / "data", port, record["password"], record["superuser_password"])


def has_cluster(home: Home) -> bool:
    """True when a cluster was made in this home and started once."""
    return bool(home.read(_RECORD)) and home.recorded_port(POSTGRES) is not None


def place_notice(home: Home) -> str | None:
    """One line for the person when the data had to go outside the home."""
    place = Path(home.read(_RECORD).get("place", home.folder))
    if home.folder in (place, *place.parents):
        return None
    return f"PostgreSQL's data are in {place}: the database's account cannot pass through to {home.folder}."


def remove_cluster(home: Home) -> None:
    """Delete the data of a cluster that is not running, wherever they lie."""
    place = home.read(_RECORD).get("place")
    if place:
        _clear_for_start(Path(place) / "data")
        shutil.rmtree(place, ignore_errors=True)
        (home.folder / _RECORD).unlink(missing_ok=True)


def _new_place(home: Home, account: Account | None) -> Path:
    inside = can_traverse(home.folder, account)
    place = home.folder / "postgres" if inside else shared_place("lead-intel", str(home.folder))
    own_folder(place, account)
    return place


def _major_of(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _initialise(home: Home, place: Path, binaries: Binaries, account: Account | None) -> None:
    """Make the cluster aside, record it, move it into place: whoever sees `data` sees a complete cluster."""
    free = shutil.disk_usage(place).free
    if free < _NEEDED_BYTES:
        raise SetupError(
            "disk_full",
            f"{place} has {free // 2**20} MB left; a new database needs {_NEEDED_BYTES // 2**20} MB.",
            "Make room, or set LEAD_INTEL_HOME to another disk.",
        )
    data, partial, password_file = place / "data", place / _PARTIAL, place / "superuser"
    if data.exists():
        _forget_deleted_home(home, place)
    shutil.rmtree(partial, ignore_errors=True)
    password_file.unlink(missing_ok=True)
    record = {
        "place": str(place),
        "password": secrets.token_urlsafe(24),
        "superuser_password": secrets.token_urlsafe(24),
    }
    _write_for(password_file, record["superuser_password"], account)
    locale = ["--locale=C.UTF-8"] if sys.platform == "linux" else ["--locale=C"]
    if binaries.major >= _BUILTIN_LOCALE_SINCE:
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    try:
        _run(
            [
                binaries.path("initdb"), "-D", str(partial), "-U", SUPERUSER, "-E", "UTF8", *locale,
                "--auth=scram-sha-256", f"--pwfile={password_file}", *_UNSYNCED,
            ],
            account,
        )  # fmt: skip
    finally:
        password_file.unlink(missing_ok=True)
    statements = _FIRST_STATEMENTS.format(role=ROLE, database=DATABASE, password=record["password"])
    _run([binaries.path("postgres"), "--single", "-j", "-D", str(partial), SUPERUSER], account, statements)
    if _UNSYNCED:
        os.sync()
    home.write(_RECORD, record)
    partial.rename(data)


def _forget_deleted_home(home: Home, place: Path) -> None:
    """Data outside the home without a record in it: the home was deleted, and they go too. Else they are kept."""
    if home.folder in place.parents:
        raise SetupError(
            "record_missing",
            f"{place} holds a database, but {home.folder / _RECORD} with its password is missing.",
            f"Put the file back, or delete {home.folder} to begin anew.",
        )
    _clear_for_start(place / "data")
    shutil.rmtree(place / "data")


def _run(command: list[str], account: Account | None, statements: str = "") -> None:
    done = subprocess.run(
        command,
        input=statements.replace(";\n", ";\n\n"),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        **credentials_of(account),  # type: ignore[call-overload]
    )
    if done.returncode != 0 or "FATAL" in done.stderr or "ERROR" in done.stderr:
        raise trouble_in(done.stderr or done.stdout, f"{Path(command[0]).name} failed")


def credentials_of(account: Account | None) -> dict[str, object]:
    """The arguments with which `subprocess` starts a program as `account`."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def trouble_in(output: str, what: str) -> SetupError:
    """The last complaint in a program's output as one sentence."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    complaints = [line for line in lines if "FATAL" in line or "error:" in line or "ERROR" in line]
    reason = (complaints or lines or ["it said nothing"])[-1]
    if "No space left" in output:
        return SetupError("disk_full", "The disk is full.", "Make room, or set LEAD_INTEL_HOME to another disk.")
    return SetupError("program_failed", f"{what}: {reason.rstrip('.')}.", "Its log is in the home under logs/.")


def _write_for(path: Path, text: str, account: Account | None) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        if account is not None:
            os.fchown(file.fileno(), account.uid, account.gid)
        file.write(text)


def _pid_file_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _clear_for_start(data: Path) -> None:
    """End a left-over server of this cluster, and remove a postmaster.pid that names anybody else."""
    lines = _pid_file_lines(data)
    if not lines:
        return
    # A negative pid is that of a single-user server.
    pid = abs(int(lines[0])) if lines[0].lstrip("-").isdecimal() else 0
    for number, seconds in ((None, 3), (signal.SIGINT, 10), (signal.SIGQUIT, 5)):
        if not runs_in(pid, "postgres", data):
            break
        if number is not None:
            os.kill(pid, number)
        wait_until(lambda: not runs_in(pid, "postgres", data), seconds)
    # Sessions of a killed server end by themselves; a new server beside them would damage the data.
    if not wait_until(lambda: not any(runs_in(other, "postgres", data) for other in psutil.pids()), 10, step=0.1):
        raise SetupError(
            "postgres_stuck", f"An earlier PostgreSQL of {data} does not end.", "Stop its processes by hand."
        )
    (data / "postmaster.pid").unlink(missing_ok=True)
