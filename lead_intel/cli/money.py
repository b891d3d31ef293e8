"""Commands about money and pre-flight checks: forecast, spend, preflight."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from lead_intel.cli.answers import print_json, stdout
from lead_intel.cli.house import record
from lead_intel.cli.work import Json, Upload
from lead_intel.errors import GuardrailFailed


def add_commands(app: typer.Typer) -> None:
    """Register this module's commands."""
    for command in (forecast, spend, preflight):
        app.command()(command)


def forecast(
    upload: Upload,
    sample: Annotated[float, typer.Option(min=0, max=100, help="Percent of the sendable leads.")],
    as_json: Json = False,
) -> None:
    """What a sample would cost and reach, before anything is spent."""
    from lead_intel.enrichment.forecast import forecast as forecast_sample
    from lead_intel.policy import load_policy

    with record(as_json=as_json) as (settings, connection):
        policy = load_policy(settings.lead_intel_policy_dir)
        answer = forecast_sample(connection, settings, policy, upload, sample)
        if as_json:
            print_json(answer)
            return
        table = Table("Vendor", "Calls", "Cached", "Cost")
        for vendor, part in answer["by_vendor"].items():
            table.add_row(vendor, str(part["calls"]), str(part["cached"]), f"${part['cost']}")
        stdout.print(table)
        stdout.print(
            f"{answer['leads']:,} leads, ${answer['cost']}, about {answer['seconds']:.0f} s; "
            f"${answer['budget_left']} of the budget is left."
        )


def spend(as_json: Json = False) -> None:
    """What was spent, by vendor, supplier, upload and day."""
    from lead_intel.record.spend import spend_summary

    with record(as_json=as_json) as (_, connection):
        answer = spend_summary(connection)
        if as_json:
            print_json(answer)
            return
        table = Table("By", "Key", "USD")
        for group in ("by_vendor", "by_supplier", "by_upload", "by_day"):
            for key, amount in answer[group].items():
                table.add_row(group.removeprefix("by_"), key, str(amount))
        table.add_row("total", "", str(answer["total"]))
        stdout.print(table)


def preflight(
    upload: Annotated[str | None, typer.Argument(help="Ask for one upload.", metavar="[UPLOAD]")] = None,
    as_json: Json = False,
) -> None:
    """The ten pre-flight checks."""
    from lead_intel.guardrails.preflight import as_json as guardrails_as_json
    from lead_intel.guardrails.preflight import is_go
    from lead_intel.guardrails.preflight import preflight as evaluate
    from lead_intel.policy import load_policy

    with record(as_json=as_json) as (settings, connection):
        policy = load_policy(settings.lead_intel_policy_dir)
        results = evaluate(settings, policy, connection, upload)
        if as_json:
            print_json(guardrails_as_json(results))
        else:
            table = Table("#", "Guardrail", "State", "Seen", "What to do")
            for result in results:
                table.add_row(str(result.number), result.name, result.state, result.seen, result.remedy)
            stdout.print(table)
        if not is_go(results, policy, settings):
            raise typer.Exit(GuardrailFailed.exit_code)
