"""The evidence ledger proves order and content, and cannot be changed."""

from __future__ import annotations

import pandas as pd
import psycopg
import pytest

from lead_intel.record import evidence

FACTS = pd.DataFrame({"lead_id": ["a", "b", "c"], "verdict": ["send", "hold", "block"]})


def test_a_chain_of_entries_holds(database: psycopg.Connection) -> None:
    evidence.append(database, "upl_20261124_0000000000", "dnc", {"send": 1}, FACTS)
    evidence.append(database, "upl_20261124_0000000000", "activation", {"sent": 1}, FACTS)

    assert evidence.first_break(database) is None


def test_an_entry_cannot_be_changed_or_removed(database: psycopg.Connection) -> None:
    evidence.append(database, "upl_20261124_0000000000", "dnc", {}, FACTS)

    for statement in ("update lead_intel.evidence set body = '{}'", "delete from lead_intel.evidence"):
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            database.execute(statement)


def test_a_forged_entry_is_found(database: psycopg.Connection) -> None:
    evidence.append(database, "upl_20261124_0000000000", "dnc", {"send": 1}, FACTS)
    evidence.append(database, "upl_20261124_0000000000", "dnc", {"send": 2}, FACTS)
    database.execute("alter table lead_intel.evidence disable trigger evidence_append_only")
    database.execute("update lead_intel.evidence set body = '{\"send\": 9}' where body = '{\"send\": 1}'")

    assert evidence.first_break(database) is not None


def test_the_root_does_not_depend_on_row_order_but_on_every_value() -> None:
    root = evidence.merkle_root(evidence.leaves_of(FACTS))

    assert root == evidence.merkle_root(evidence.leaves_of(FACTS.iloc[::-1]))
    assert root != evidence.merkle_root(evidence.leaves_of(FACTS.replace("hold", "send")))
    assert evidence.merkle_root([]) != root


def test_a_rerun_with_the_same_facts_adds_no_entry(database: psycopg.Connection) -> None:
    first = evidence.append(database, "upl_20261124_0000000000", "dnc", {"send": 1}, FACTS)

    assert evidence.append(database, "upl_20261124_0000000000", "dnc", {"send": 1}, FACTS.iloc[::-1]) == first
    assert database.execute("select count(*) from lead_intel.evidence").fetchone() == (1,)
