"""How a command answers: a table or exactly one JSON object, an error with its remedy, an exit code.

Also the net for what nobody foresaw: it too is an answer, never a traceback.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import typer
from rich.console import Console

from lead_intel import settings
from lead_intel.errors import LeadIntelError, TransientError
from lead_intel.json_text import json_text
from lead_intel.terminal import say_error

stdout = Console(highlight=False)


def print_json(value: Any) -> None:
    """One JSON object on stdout; money stays a decimal string."""
    sys.stdout.write(json_text(value) + "\n")


@contextmanager
def answering(*, as_json: bool, account: Callable[[], dict[str, Any] | None] = lambda: None) -> Iterator[None]:
    """Turn every error into its answer: the account so far plus `error`, and the exit code. The innermost answers."""
    try:
        yield
    except typer.Exit:
        raise
    except LeadIntelError as error:
        raise answered(error, as_json=as_json, account=account) from None
    except Exception as error:  # noqa: BLE001  # the last net: a person gets a sentence, the home gets the places
        raise answered(foreseen(error), as_json=as_json, account=account) from None


def answered(
    error: LeadIntelError, *, as_json: bool, account: Callable[[], dict[str, Any] | None] = lambda: None
) -> typer.Exit:
    """Tell the person, or the script that reads stdout; returns the end of the command."""
    if as_json:
        print_json({**_so_far(account), "error": error.as_json()})
    else:
        say_error(error)
    return typer.Exit(error.exit_code)


def foreseen(error: Exception) -> LeadIntelError:
    """The error as a person is told: without its text, which may quote personal data."""
    where = _keep_places(error)
    if isinstance(error, psycopg.OperationalError):
        return TransientError(
            "database_down", "PostgreSQL stopped answering.", "Check DATABASE_URL and the server; then run this again."
        )
    return LeadIntelError("unforeseen", f"Nobody foresaw this {type(error).__name__}.", where)


def _so_far(account: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    try:
        return account() or {}
    except (psycopg.Error, LeadIntelError):
        return {}  # the account is unreadable for the reason that is being told


def _keep_places(error: Exception) -> str:
    """Write where it happened, without the exception's text, and say where that is written."""
    path: Path = settings.home() / "unforeseen.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as handle:
            handle.write(f"{type(error).__name__}\n")
            handle.writelines(traceback.format_tb(error.__traceback__))
    except OSError as refusal:
        return f"The places in the code could not be kept in {path}: {refusal.strerror}."
    return f"The places in the code are in {path}."
