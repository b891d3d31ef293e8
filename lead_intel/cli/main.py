"""Collects the commands, and is the last net: whatever is unforeseen becomes one line, never a traceback."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

import typer

from lead_intel.cli import carriers, compliance, house, keys, lists, money, quarantine, stand_ins, watch, work
from lead_intel.cli.answers import answered, foreseen
from lead_intel.errors import LeadIntelError, UsageError

app = typer.Typer(
    name="lead-intel",
    help="From a third-party lead list to lawful, proven audiences in Twilio Segment.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
_INTERRUPTED = 130
"""How Typer ends after Ctrl-C, without a word."""
_MISTYPED: type[Exception] = typer.BadParameter.__bases__[0]
"""Click's UsageError, wherever the installed Typer keeps its Click."""

for module in (house, lists, work, money, carriers, compliance, watch):
    module.add_commands(app)
app.add_typer(compliance.dnc, name="dnc")
app.add_typer(keys.keys, name="keys")
app.add_typer(quarantine.quarantine, name="quarantine")
app.add_typer(stand_ins.sandbox, name="sandbox")


def main() -> None:
    """Entry point of `lead-intel`. What `answers.answering` did not see ends here."""
    # What asks a command to end, ends it as Ctrl-C does: work under way is recorded.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if "--json" in sys.argv:
            _answer_in_json()
        app()
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            sys.stderr.write("Interrupted. Run the same command again to go on.\n")
        raise
    except Exception as error:  # noqa: BLE001  # the last net, as in `answering`
        told = error if isinstance(error, LeadIntelError) else foreseen(error)
        sys.exit(answered(told, as_json="--json" in sys.argv).exit_code)


def _answer_in_json() -> NoReturn:
    """A command line that Click refuses is an answer too; without `--json` Click's own words are better."""
    try:
        sys.exit(app(standalone_mode=False))
    except _MISTYPED as refusal:
        message = getattr(refusal, "format_message", refusal.__str__)()
        raise UsageError("usage", message, "`--help` after the command shows what it takes.") from None
