"""Under which operating-system account PostgreSQL runs, and where that account can reach its files.

PostgreSQL refuses to run as root. We then lend it an account that exists (never create one), and we never
change the permissions of a folder that is not ours.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from lead_intel.errors import SetupError

_ACCOUNTS = ("postgres", "nobody")
# /var/tmp only where /var/lib is read-only: it is cleaned by age on many machines.
_SHARED_PLACES = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108  # what we make is checked for its owner


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a server process gets; `None` in its place means: the current one."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """The unprivileged account for PostgreSQL when we are root, else None.

    Raises:
        SetupError: root, and none of the usual accounts exists (initdb refuses a uid without passwd entry).
    """
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise SetupError(
        "no_account",
        "PostgreSQL does not run as root, and this machine has neither an account `postgres` nor `nobody`.",
        "Add one of them, run as an ordinary user, or set DATABASE_URL.",
    )


def can_traverse(folder: Path, account: Account | None) -> bool:
    """True when `account` may pass through `folder` and all its parents (by their permission bits)."""
    if account is None:
        return os.access(folder, os.X_OK)
    return all(_may(path.stat(), account, stat.S_IXUSR) for path in (folder, *folder.parents))


def can_execute(program: Path, account: Account | None) -> bool:
    """True when `account` may run `program` where it lies."""
    if account is None:
        return os.access(program, os.X_OK)
    return can_traverse(program.parent, account) and _may(program.stat(), account, stat.S_IXUSR)


def _may(status: os.stat_result, account: Account, owner_bit: int) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & owner_bit)
    if status.st_gid == account.gid:
        return bool(status.st_mode & (owner_bit >> 3))
    return bool(status.st_mode & (owner_bit >> 6))


def shared_place(prefix: str, identity: str) -> Path:
    """A folder outside every home that any account can reach, named after `identity`; not yet made."""
    parent = next((path for path in _SHARED_PLACES if os.access(path, os.W_OK | os.X_OK)), _SHARED_PLACES[-1])
    return parent / f"{prefix}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def own_folder(folder: Path, account: Account | None, mode: int = 0o700) -> None:
    """Make `folder` for `account`, or make sure that the existing one is a folder of that account.

    Raises:
        SetupError: somebody else's file or link stands there (the shared place is writable by everybody).
    """
    owner = os.geteuid() if account is None else account.uid
    try:
        folder.mkdir(mode=mode)
        if account is not None:
            os.chown(folder, account.uid, account.gid)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (owner, os.geteuid()):
            raise SetupError(
                "place_taken", f"{folder} belongs to somebody else.", "Remove it, or choose another LEAD_INTEL_HOME."
            ) from None
        if account is not None and status.st_uid != account.uid:
            # Ours from a start that was cut off between the two calls above.
            os.chown(folder, account.uid, account.gid, follow_symlinks=False)
