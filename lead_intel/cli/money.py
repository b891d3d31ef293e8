"""Commands about money and pre-flight checks: forecast, spend, preflight."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from lead_intel.cli.answers import print_json, stdout
from lead_intel.cli.house import record
from lead_intel.cli.work import Json, Upload
from lead_intel.errors import GuardrailFailed

_DAYS = ["%Y-%m-%d"]


def add_commands(app: typer.Typer) -> None:
    """Register this module's commands."""
    for command in (forecast, spend, preflight):
        app.command()(command)


def forecast(
    upload: Upload,
    sample: Annotated[float, typer.Option(min=0, max=100, help="Percent of the sendable leads.")],
    as_json: Json = False,
) -> None:
    """What a sample would cost and reach, before anything is spent; or the screening that must come before it."""
    from lead_intel.enrichment.forecast import forecast as forecast_sample
    from lead_intel.policy import load_policy

    with record(as_json=as_json) as (settings, connection):
        policy = load_policy(settings.lead_intel_policy_dir)
        answer = forecast_sample(connection, settings, policy, upload, sample)
        if as_json:
            print_json(answer)
        else:
            _show_forecast(answer)


def _show_forecast(answer: dict[str, Any]) -> None:
    table = Table("Vendor", "Calls", "Cached", "Price", "Cost at most", "Most likely cost", "Already paid", "Seconds")
    for vendor, told in answer["by_vendor"].items():
        # Each package has a price of its own.
        packages = told.get("packages", {})
        rows = {f"{vendor} {name}": part for name, part in packages.items()} if len(packages) > 1 else {vendor: told}
        for name, part in rows.items():
            money = [f"${part[amount]}" for amount in ("price", "cost", "most_likely_cost", "already_paid")]
            table.add_row(name, f"{part['calls']:,}", f"{part['cached']:,}", *money, f"{part['seconds']:,.0f}")
    stdout.print(table)
    if answer["stage"] == "screening":
        stdout.print("The list is not screened, or its screening holds no longer: this is what screening would cost.")
    stdout.print(
        f"{answer['leads']:,} leads; cost at most ${answer['cost']}, most likely cost ${answer['most_likely_cost']}; "
        f"about {answer['seconds']:.0f} s; "
        f"${answer['budget_left']} of the budget is left."
    )
    stop = answer["stopped_by"]
    if stop is not None:
        whose = f"{stop['scope']}'s budget" if stop["vendor"] is None else f"budget for {stop['vendor']}"
        stdout.print(
            f"The {whose} would stop it after about {stop['calls']:,} calls: ${stop['left']} is left, "
            f"${stop['missing']} is missing. Raise it in data/policy/budgets.yml or choose a smaller sample."
        )


def spend(
    since: Annotated[datetime | None, typer.Option(formats=_DAYS, help="First day, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_DAYS, help="Last day, UTC.")] = None,
    supplier: Annotated[str | None, typer.Option(help="Only lists of this supplier.")] = None,
    upload: Annotated[str | None, typer.Option(help="Only this upload, with its forecast.")] = None,
    vendor: Annotated[str | None, typer.Option(help="Only calls of this vendor.")] = None,
    as_json: Json = False,
) -> None:
    """What was spent, by vendor, supplier, upload and day, and what a contactable lead cost."""
    from lead_intel.record import forecasts, ingestions
    from lead_intel.record.spend_report import Filters, spend_summary

    with record(as_json=as_json) as (_, connection):
        if upload is not None:
            ingestions.find(connection, upload)
        filters = Filters(since and since.date(), until and until.date(), supplier, upload, vendor)
        answer = spend_summary(connection, filters)
        if upload is not None:
            answer["forecast"] = forecasts.newest_with_actual(connection, upload)
        if as_json:
            print_json(answer)
        else:
            _show_spend(answer)


def _show_spend(answer: dict[str, Any]) -> None:
    table = Table("By", "Key", "USD", "Contactable leads", "USD per lead")
    per_lead = answer["per_contactable_lead"]
    for group in ("by_vendor", "by_supplier", "by_upload", "by_day"):
        for key, amount in answer[group].items():
            table.add_row(group.removeprefix("by_"), key, str(amount), *_per_lead(per_lead.get(group, {}).get(key)))
    for label, group in (("charged, nothing found", "misses"), ("billing unknown", "unknown_billed")):
        for key, amount in answer[group].items():
            table.add_row(label, key, str(amount), "", "")
    table.add_row("total", "", str(answer["total"]), *_per_lead(per_lead["total"]))
    stdout.print(table)
    told = answer.get("forecast")
    if told:
        stdout.print(
            f"Forecast for {told['percent']:g} %: ${told['cost']}; spent since: ${told['spent']} "
            f"(difference ${told['difference']})."
        )


def _per_lead(share: dict[str, Any] | None) -> tuple[str, str]:
    if share is None:
        return "", ""
    return f"{share['leads']:,}", "-" if share["cost"] is None else str(share["cost"])


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
