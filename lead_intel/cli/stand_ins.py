"""Commands about the sandbox, the stand-in of the vendors: ledger, fault, off, trip, clear."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer
from rich.table import Table

from lead_intel.cli.answers import print_json, stdout
from lead_intel.cli.house import record
from lead_intel.cli.work import Json
from lead_intel.errors import UsageError

sandbox = typer.Typer(help="The stand-ins: what they received, and their faults.", no_args_is_help=True)
Service = Annotated[str, typer.Argument(help="For example twilio_lookup or segment_tracking.", metavar="SERVICE")]


@sandbox.command("ledger")
def ledger(as_json: Json = False) -> None:
    """What the stand-ins really received."""
    from lead_intel.sandbox.client import Control

    with record(as_json=as_json):
        answer = Control.from_environment(os.environ).ledger()
        if as_json:
            print_json(answer)
            return
        table = Table("Service", "Calls", "Distinct keys", "Paid calls")
        for service, counts in answer.items():
            table.add_row(service, str(counts["calls"]), str(counts["distinct_keys"]), str(counts["paid_calls"]))
        stdout.print(table)


@sandbox.command("fault")
def fault(
    service: Service,
    kind: Annotated[str, typer.Argument(help="rate_limited, unauthorized, slow, trickle, ... or `off`.")],
    options: Annotated[str, typer.Option(help="JSON object of the fault's options.")] = "{}",
) -> None:
    """Switch a fault on, or all of a service's faults off."""
    from lead_intel.sandbox.client import Control

    with record():
        control = Control.from_environment(os.environ)
        if kind == "off":
            control.clear_fault(service)
        else:
            control.fault(service, kind, _options(options))
        stdout.print(f"{service}: {kind}")


def _options(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text)
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise UsageError(
            "fault_options", "--options is not a JSON object.", """For example: --options '{"count": 3}'."""
        )
    return options


@sandbox.command("off")
def off() -> None:
    """Switch every fault off."""
    from lead_intel.sandbox.client import Control

    with record():
        Control.from_environment(os.environ).clear_fault(None)
        stdout.print("All faults are off.")


@sandbox.command("trip")
def trip(number: Annotated[int, typer.Argument(min=1, max=10, help="The guardrail.")]) -> None:
    """Trip one guardrail at the wire."""
    from lead_intel.sandbox.client import Control

    with record():
        Control.from_environment(os.environ).trip(number)
        stdout.print(f"Guardrail {number} is tripped.")


@sandbox.command("clear")
def clear(number: Annotated[int, typer.Argument(min=1, max=10, help="The guardrail.")]) -> None:
    """Take the cause away again."""
    from lead_intel.sandbox.client import Control

    with record():
        Control.from_environment(os.environ).clear_trip(number)
        stdout.print(f"Guardrail {number} is clear.")
