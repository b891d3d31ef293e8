"""How a command answers: a table or exactly one JSON object, an error with its remedy, an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import typer
from rich.console import Console

from lead_intel.errors import LeadIntelError
from lead_intel.terminal import say_error

stdout = Console(highlight=False)


def print_json(value: Any) -> None:
    """One JSON object on stdout; money stays a decimal string."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    msg = f"{type(value).__name__} has no JSON form"
    raise TypeError(msg)


@contextmanager
def answering(*, as_json: bool, account: Callable[[], dict[str, Any] | None] = lambda: None) -> Iterator[None]:
    """Turn an error of ours into its answer: the account so far plus `error`, and the exit code."""
    try:
        yield
    except LeadIntelError as error:
        if as_json:
            print_json({**(account() or {}), "error": error.as_json()})
        else:
            say_error(error)
        raise typer.Exit(error.exit_code) from None
