"""Collects the commands, and is the last net: whatever is unforeseen becomes one line, never a traceback."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import typer

from lead_intel import settings
from lead_intel.cli import compliance, house, lists, money, stand_ins, work
from lead_intel.errors import LeadIntelError
from lead_intel.terminal import say_error

app = typer.Typer(
    name="lead-intel",
    help="From a third-party lead list to lawful, proven audiences in Twilio Segment.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
for module in (house, lists, work, money, compliance):
    module.add_commands(app)
app.add_typer(compliance.dnc, name="dnc")
app.add_typer(stand_ins.sandbox, name="sandbox")


def main() -> None:
    """Entry point of `lead-intel`."""
    try:
        app()
    except LeadIntelError as error:
        say_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. Run the same command again to go on.\n")
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  # the last net: a person gets a sentence, the home gets the places
        where = _keep_places(error)
        sys.stderr.write(f"Unforeseen: {type(error).__name__}. The places in the code are in {where}.\n")
        sys.exit(1)


def _keep_places(error: Exception) -> Path:
    """Write where it happened, without the exception's text: that may hold personal data."""
    folder = settings.home()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "unforeseen.log"
    with path.open("a", encoding="utf-8") as handle:
        handle.write(f"{type(error).__name__}\n")
        handle.writelines(traceback.format_tb(error.__traceback__))
    return path
