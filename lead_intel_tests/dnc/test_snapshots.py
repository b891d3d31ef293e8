"""Imports against a real database: dates, order, shrinking lists, the shipped list."""

import csv
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import psycopg
import pytest

from lead_intel.dnc.snapshots import (
    SHIPPED_LIST,
    SHIPPED_SOURCE,
    ensure_snapshot,
    import_registry,
    import_shipped_list,
    open_newest,
)
from lead_intel.errors import LeadIntelError, RejectedInput
from lead_intel.record import dnc as record
from lead_intel.settings import REPOSITORY, Settings

Lister = Callable[[str], Path]


@pytest.fixture
def today(database: psycopg.Connection) -> date:
    return record.today(database)


@pytest.fixture
def a_list(tmp_path: Path) -> Lister:
    def write(text: str) -> Path:
        path = tmp_path / f"list-{len(list(tmp_path.iterdir()))}.txt"
        path.write_text(text)
        return path

    return write


def code_of(error: pytest.ExceptionInfo[RejectedInput]) -> str:
    return error.value.code


def test_an_index_with_a_flipped_bit_never_answers(
    database: psycopg.Connection, settings: Settings, a_list: Lister, today: date
) -> None:
    import_registry(database, settings, [a_list("212,5550101\n")], today, "ftc")
    registry = open_newest(database, settings)
    assert registry is not None
    content = bytearray(registry.path.read_bytes())
    content[content.rindex(1 << (5550101 % 8))] = 0
    registry.path.write_bytes(content)
    with pytest.raises(LeadIntelError) as damaged:
        open_newest(database, settings)
    assert damaged.value.code == "dnc_index_damaged"


def test_an_imported_list_is_the_newest_and_answers(
    database: psycopg.Connection, settings: Settings, a_list: Lister, today: date
) -> None:
    snapshot = import_registry(database, settings, [a_list("212,5550101\n")], today, "ftc")
    registry = open_newest(database, settings)
    assert registry is not None
    assert registry.path == settings.lead_intel_home / "dnc" / snapshot.digest
    assert (snapshot.numbers, snapshot.area_codes, snapshot.version_date) == (1, [212], today)
    assert registry.look_up(np.array([12125550101])).listed.all()


def test_the_same_list_again_changes_nothing(
    database: psycopg.Connection, settings: Settings, a_list: Lister, today: date
) -> None:
    first = import_registry(database, settings, [a_list("212,5550101\n")], today, "ftc")
    again = import_registry(database, settings, [a_list("212,5550101\n212,5550101\n")], today, "ftc")
    assert first == again
    assert len(record.snapshots(database)) == 1


def test_an_older_list_is_refused(
    database: psycopg.Connection, settings: Settings, a_list: Lister, today: date
) -> None:
    import_registry(database, settings, [a_list("212,5550101\n")], today, "ftc")
    with pytest.raises(RejectedInput) as refused:
        import_registry(database, settings, [a_list("212,5550102\n")], today - timedelta(days=1), "ftc")
    assert code_of(refused) == "dnc_list_older"


def test_a_list_from_the_future_is_refused(
    database: psycopg.Connection, settings: Settings, a_list: Lister, today: date
) -> None:
    with pytest.raises(RejectedInput) as refused:
        import_registry(database, settings, [a_list("212,5550102\n")], today + timedelta(days=1), "ftc")
    assert code_of(refused) == "dnc_list_future"


def test_a_list_cut_at_a_line_is_noticed_by_its_count_or_by_the_version_before(
    database: psycopg.Connection, settings: Settings, a_list: Lister, today: date
) -> None:
    whole = [f"212,{n:07d}\n" for n in range(2000)]
    with pytest.raises(RejectedInput) as refused:
        import_registry(database, settings, [a_list("".join(whole[:-1]))], today, "ftc", 2000)
    assert code_of(refused) == "dnc_list_truncated"
    import_registry(database, settings, [a_list("".join(whole))], today - timedelta(days=7), "ftc", 2000)
    with pytest.raises(RejectedInput) as refused:
        import_registry(database, settings, [a_list("".join(whole[:1500]))], today, "ftc")
    assert code_of(refused) == "dnc_list_truncated"
    assert import_registry(database, settings, [a_list("".join(whole[:1900]))], today, "ftc").numbers == 1900


def test_a_refused_list_leaves_nothing_behind(
    database: psycopg.Connection, settings: Settings, a_list: Lister, today: date
) -> None:
    with pytest.raises(RejectedInput):
        import_registry(database, settings, [a_list("212,5550101\n212,55")], today, "ftc")
    assert record.snapshots(database) == []
    folder = settings.lead_intel_home / "dnc"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_the_shipped_list_covers_every_american_area_code_in_service_and_only_fictitious_numbers() -> None:
    with (REPOSITORY / "data" / "reference" / "area_codes.csv").open(newline="") as handle:
        american = {row["area_code"] for row in csv.DictReader(handle) if row["country"] == "US"}
    lines = SHIPPED_LIST.read_text().splitlines()
    assert {line[:3] for line in lines} == american
    assert len(american) == 375
    assert all(line[4:9] == "55501" for line in lines)


def test_an_embedded_home_gets_the_shipped_list_as_of_today(
    database: psycopg.Connection, settings: Settings, today: date
) -> None:
    snapshot = ensure_snapshot(database, settings)
    assert snapshot is not None
    assert (snapshot.source, snapshot.version_date) == (SHIPPED_SOURCE, today)
    assert ensure_snapshot(database, settings) == snapshot


def test_an_embedded_home_renews_its_own_list_but_not_a_persons(
    database: psycopg.Connection, settings: Settings, a_list: Lister, today: date
) -> None:
    import_registry(database, settings, [SHIPPED_LIST], today - timedelta(days=40), SHIPPED_SOURCE)
    renewed = ensure_snapshot(database, settings)
    assert renewed is not None
    assert renewed.version_date == today
    older = today - timedelta(days=40)
    persons = import_registry(database, settings, [a_list("212,5550101\n")], older, "ftc")
    assert ensure_snapshot(database, settings) == persons
    in_use = open_newest(database, settings)
    assert in_use is not None
    assert in_use.facts.source == "ftc"


def test_production_gets_no_list_by_itself(database: psycopg.Connection, settings: Settings) -> None:
    production = settings.model_copy(update={"lead_intel_environment": "production"})
    assert ensure_snapshot(database, production) is None
    assert record.snapshots(database) == []


def test_an_index_that_is_gone_is_said_and_can_be_imported_again(
    database: psycopg.Connection, settings: Settings
) -> None:
    snapshot = import_shipped_list(database, settings)
    (settings.lead_intel_home / snapshot.path).unlink()
    with pytest.raises(LeadIntelError) as missing:
        open_newest(database, settings)
    assert missing.value.code == "dnc_index_missing"
    assert import_shipped_list(database, settings).digest == snapshot.digest
    assert open_newest(database, settings) is not None
