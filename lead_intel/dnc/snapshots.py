"""Import of Do-Not-Call lists, and the list that holds now. Files under LEAD_INTEL_HOME/dnc, facts in `dnc_snapshots`.

A list that is older than the one in use, dated in the future, or suddenly shorter is refused: registrations do not
expire, so a list that shrinks was cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import psycopg

from lead_intel.dnc.registry import Facts, Registry, Slots, open_verified, publish
from lead_intel.dnc.registry_files import list_files, numbers_of
from lead_intel.errors import LeadIntelError, RejectedInput
from lead_intel.record import dnc as record
from lead_intel.settings import REPOSITORY, Settings

NATIONAL = "US"
"""Jurisdiction of the National Do Not Call Registry."""

SHIPPED_LIST = REPOSITORY / "data" / "samples" / "dnc" / "registry.txt"
"""The synthetic list of the embedded default."""

SHIPPED_SOURCE = record.SYNTHETIC

_SHRINK_SHARE = 0.9
_SHRINK_FROM = 1000
"""An area code with at least so many numbers may not lose more than a tenth from one version to the next."""


def import_registry(
    connection: psycopg.Connection,
    settings: Settings,
    files: Sequence[Path],
    version_date: date,
    source: str,
    expected_numbers: int | None = None,
) -> record.Snapshot:
    """Index the full list in `files` and make it the newest snapshot; the same list again changes nothing.

    Args:
        version_date: the date of the registry's version, which the 31 days of 16 CFR 310.4(b)(3)(iv) count from.
        source: who keeps the list (`ftc`, `synthetic`, ...); versions are compared within one source.
        expected_numbers: how many distinct numbers the list should hold, where its publisher says so.

    Raises:
        RejectedInput: truncated, malformed, mixed, older than the newest, from the future, or shorter than told.
        UsageError: a file cannot be read.
    """
    _check_date(connection, version_date, source)
    slots = Slots()
    for entry in list_files(files):
        for numbers in numbers_of(entry):
            slots.add(numbers)
    counts = slots.counts()
    _check_size(sum(counts.values()), expected_numbers)
    _check_shrinking(connection, settings, counts, source)
    digest, facts = publish(slots, _folder(settings), source, NATIONAL, version_date)
    return _registered(connection, digest, facts)


def import_shipped_list(connection: psycopg.Connection, settings: Settings) -> record.Snapshot:
    """Import the synthetic list as of today: the embedded default's registry, never production's."""
    return import_registry(connection, settings, [SHIPPED_LIST], record.today(connection), SHIPPED_SOURCE)


def ensure_snapshot(connection: psycopg.Connection, settings: Settings) -> record.Snapshot | None:
    """Give an embedded home a usable list: the shipped one, when none is there or its own has gone stale.

    A list that a person imported is left alone. None outside the embedded default.
    """
    if settings.lead_intel_environment != "embedded":
        return None
    newest = record.newest_snapshot(connection, NATIONAL)
    if newest is None or (newest.source == SHIPPED_SOURCE and newest.version_date < record.today(connection)):
        return import_shipped_list(connection, settings)
    if newest.source == SHIPPED_SOURCE and not (settings.lead_intel_home / newest.path).exists():
        return import_shipped_list(connection, settings)
    return newest


def open_newest(connection: psycopg.Connection, settings: Settings) -> Registry | None:
    """The index of the newest list, or None when none was imported.

    Raises:
        SetupError: it was imported, but its index is not on this machine.
        LeadIntelError: the index is damaged (`dnc_index_damaged`).
    """
    newest = record.newest_snapshot(connection, NATIONAL)
    return None if newest is None else open_verified(settings.lead_intel_home / newest.path)


def _folder(settings: Settings) -> Path:
    return settings.lead_intel_home / "dnc"


def _registered(connection: psycopg.Connection, digest: str, facts: Facts) -> record.Snapshot:
    return record.add_snapshot(
        connection,
        digest=digest,
        source=facts.source,
        jurisdiction=facts.jurisdiction,
        version_date=facts.version_date,
        numbers=facts.numbers,
        area_codes=list(facts.area_codes),
        path=f"dnc/{digest}",
    )


def _check_date(connection: psycopg.Connection, version_date: date, source: str) -> None:
    if version_date > record.today(connection):
        raise RejectedInput(
            "dnc_list_future",
            f"The version date {version_date} lies in the future.",
            "Give the date of the registry's version (UTC).",
        )
    newest = record.newest_snapshot(connection, NATIONAL, source)
    if newest is not None and version_date < newest.version_date:
        raise RejectedInput(
            "dnc_list_older",
            f"The list of {version_date} is older than the one in use, of {newest.version_date}.",
            "Import the newest version.",
        )


def _check_size(numbers: int, expected: int | None) -> None:
    if expected is not None and numbers != expected:
        raise RejectedInput(
            "dnc_list_truncated",
            f"The list holds {numbers:,} numbers where {expected:,} are expected.",
            "Download it again and import it whole.",
        )


def _check_shrinking(connection: psycopg.Connection, settings: Settings, counts: dict[int, int], source: str) -> None:
    newest = record.newest_snapshot(connection, NATIONAL, source)
    if newest is None:
        return
    try:
        before = Registry(settings.lead_intel_home / newest.path).facts.area_codes
    except LeadIntelError:
        return  # Nothing to compare with on this machine; the import repairs that.
    shrunk = [
        code
        for code, count in before.items()
        if count >= _SHRINK_FROM and code in counts and counts[code] < count * _SHRINK_SHARE
    ]
    if shrunk:
        raise RejectedInput(
            "dnc_list_truncated",
            f"Area code {shrunk[0]} has {counts[shrunk[0]]:,} numbers where the version of "
            f"{newest.version_date} had {before[shrunk[0]]:,}.",
            "Download the list again and import it whole.",
        )
