"""What a person sees in the terminal: live progress on stderr, and the summary of one upload. Decides nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from lead_intel.errors import LeadIntelError
from lead_intel.policy import StageTarget
from lead_intel.record import ingestions
from lead_intel.record.database import connected
from lead_intel.settings import Settings
from lead_intel.uploads import STAGE_LABELS, STAGES, WORKING

_LOOK_SECONDS = 0.25

stderr = Console(stderr=True, highlight=False)


def say(sentence: str) -> None:
    """One sentence for the person, beside the progress."""
    stderr.print(sentence, style="cyan")


def say_plainly(sentence: str) -> None:
    """As `say`, for a sentence that holds names which we did not choose: nothing in it is markup."""
    stderr.print(sentence, style="cyan", markup=False, soft_wrap=True)


def say_error(error: LeadIntelError) -> None:
    """The error, and what to do, in two lines."""
    stderr.print(f"{error.code}: {error.message}", style="bold red", markup=False)
    if error.remedy:
        stderr.print(f"What to do: {error.remedy}", markup=False)


@contextmanager
def live_progress(settings: Settings, supplier_and_sha: tuple[str, str] | str) -> Iterator[None]:
    """Show the stages of one upload while the body works: bars on a terminal, one line a stage elsewhere."""
    ended = threading.Event()
    watcher = threading.Thread(
        target=_watch,
        args=(settings, supplier_and_sha, ended),
        daemon=True,
        name="progress",
    )
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join(timeout=3)


def _watch(settings: Settings, which: tuple[str, str] | str, ended: threading.Event) -> None:
    watch = _watch_bars if stderr.is_terminal else _watch_lines
    try:
        watch(settings, which, ended)
    except (psycopg.Error, LeadIntelError):
        # The work meets the same trouble and reports it; a picture of the work must not add a traceback.
        return


def _rows(settings: Settings, which: tuple[str, str] | str, ended: threading.Event) -> Iterator[ingestions.Ingestion]:
    """The upload's row, again and again, until the work ends (and once more then)."""
    with connected(settings) as connection:
        while True:
            last = ended.is_set()
            row = _find(connection, which)
            if row is not None:
                yield row
            if last:
                return
            ended.wait(_LOOK_SECONDS)


def _find(connection: psycopg.Connection, which: tuple[str, str] | str) -> ingestions.Ingestion | None:
    if isinstance(which, str):
        return ingestions.find(connection, which)
    return ingestions.find_same_bytes(connection, *which)


def _watch_bars(settings: Settings, which: tuple[str, str] | str, ended: threading.Event) -> None:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr, transient=True) as progress:
        tasks: dict[str, TaskID] = {}
        for row, at_work in _at_work(_rows(settings, which, ended)):
            for stage in at_work:
                if stage not in tasks:
                    tasks[stage] = progress.add_task(STAGE_LABELS[stage], total=None)
            for stage, task in tasks.items():
                if stage == row.stage and row.stage_total:
                    progress.update(task, total=row.stage_total, completed=row.stage_done or 0)
                elif stage != row.stage:
                    total = progress.tasks[task].total or 1
                    progress.update(task, total=total, completed=total)


def _watch_lines(settings: Settings, which: tuple[str, str] | str, ended: threading.Event) -> None:
    shown: set[str] = set()
    began = time.monotonic()
    for _, at_work in _at_work(_rows(settings, which, ended)):
        for stage in at_work:
            if stage not in shown:
                shown.add(stage)
                stderr.print(f"[{time.monotonic() - began:5.1f}s] {STAGE_LABELS[stage]} ...", markup=False)


def _at_work(rows: Iterator[ingestions.Ingestion]) -> Iterator[tuple[ingestions.Ingestion, list[str]]]:
    """Each row with the stages that have worked since we began to look, in their order."""
    before: dict[str, float] | None = None
    for row in rows:
        if before is None:
            before = dict(row.stage_seconds) if row.state not in WORKING else {}
        yield (
            row,
            [
                stage
                for stage in STAGES
                if row.stage_seconds.get(stage) != before.get(stage) or (row.state in WORKING and row.stage == stage)
            ],
        )


def summary(
    account: Mapping[str, Any], breakout: list[tuple[str, str, int, float]], targets: Mapping[str, StageTarget]
) -> Table:
    """The account of one upload as one table: what a person wants to know, in the order of the stages.

    `targets` by stage (sla.yml) stand beside the actual times.
    """
    table = Table(title=f"{account['upload']}: {_state(account)}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    rows = account.get("rows")
    if rows:
        table.add_row(
            "Rows",
            f"{rows['file']:,} in the file = {rows['accepted']:,} accepted + {rows['quarantined']:,} quarantined "
            f"+ {rows['duplicate']:,} duplicate",
        )
    _counts(table, "Quarantined", account.get("quarantine"))
    if breakout:
        table.add_row(
            "Carriers",
            "\n".join(f"{carrier}, {kind}: {n:,} ({share:.1%})" for carrier, kind, n, share in breakout),
        )
    _counts(table, "Verdicts", account.get("verdicts"))
    _counts(table, "Reasons", account.get("reasons"))
    sample = account.get("sample")
    if sample:
        drawn = f"{sample['leads']:,} leads" if "leads" in sample else "not drawn yet"
        table.add_row("Sample", f"{sample['percent']:g} %, {drawn}")
    spend = account.get("spend")
    if spend:
        parts = ", ".join(f"{vendor} ${cost}" for vendor, cost in spend["by_vendor"].items())
        table.add_row(
            "Spend",
            f"${spend['settled']} settled, ${spend['reserved']} reserved" + (f"\n{parts}" if parts else ""),
        )
    _money_words(table, account.get("forecast"), account.get("estimate"))
    _counts(table, "Personas", account.get("personas"))
    activation, messages = account.get("activation"), account.get("messages")
    if activation:
        # Without a message of this upload they are members already, pushed for another upload.
        there = "" if messages and messages["planned"] else " (in their audiences already)"
        table.add_row(
            "Activation",
            f"{activation['planned']:,} leads planned: {activation['pushed']:,} pushed{there}, "
            f"{activation['failed']:,} failed, {activation['pending']:,} pending",
        )
    if messages:
        table.add_row(
            "Messages",
            f"{messages['planned']:,} planned: {messages['sent']:,} sent, {messages['failed']:,} failed",
        )
    seconds = account.get("seconds")
    if seconds:
        table.add_row("Seconds", "\n".join(_took(stage, took, targets.get(stage)) for stage, took in seconds.items()))
    return table


def _money_words(table: Table, forecast: Mapping[str, Any] | None, estimate: Mapping[str, Any] | None) -> None:
    """What was forecast beside what was spent, and what the sample says about the whole list."""
    if forecast:
        table.add_row(
            "Forecast",
            f"${forecast['cost']} for {forecast['percent']:g} %, ${forecast['spent']} spent since "
            f"(difference ${forecast['difference']})",
        )
    if estimate and estimate["sampled"]:
        found = [
            f"{name} {share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})"
            for name, share in {**estimate["by_vendor"], **estimate["by_field"]}.items()
        ]
        left_out = {vendor: leads for vendor, leads in estimate.get("left_out", {}).items() if leads}
        if left_out:
            found.append("left out, no answer: " + ", ".join(f"{name} {n:,}" for name, n in left_out.items()))
        cost = estimate["cost"]
        found.append(f"cost ${cost['value']} (${cost['low']} to ${cost['high']})")
        table.add_row(
            "Whole list", f"{estimate['sampled']:,} of {estimate['leads']:,} leads asked about say\n" + "\n".join(found)
        )


def _took(stage: str, took: float, target: StageTarget | None) -> str:
    beside = "" if target is None else f" (target {target.target_seconds:g} for {target.rows:,} rows)"
    return f"{stage} {took}{beside}"


def _state(account: Mapping[str, Any]) -> str:
    reason = account.get("state_reason")
    return f"{account['state']} ({reason})" if reason else str(account["state"])


def _counts(table: Table, label: str, counts: Mapping[str, int] | None) -> None:
    if counts:
        table.add_row(label, ", ".join(f"{name} {count:,}" for name, count in counts.items()))
