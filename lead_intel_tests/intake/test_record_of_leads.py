"""Leads on real PostgreSQL: saved once, found again, known from other uploads, and unchanged by a second run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from lead_intel.columns import judge
from lead_intel.intake.raw import raw_frame
from lead_intel.intake.reading import read_list
from lead_intel.intake.validation import Validated, occurrences, validate
from lead_intel.policy import Policy
from lead_intel.record import leads

ONE, TWO = "upl_20261124_aaaaaaaaaa", "upl_20261124_bbbbbbbbbb"
LIST = """phone,email,consent_source,note
2125550101,Ann@example.com,web_form,"a ""quoted"", note\\ with
a break"
2125550102,,phone_ivr,
2125550101,ann@EXAMPLE.com,jornaya,again
2125550103,x,,=1+1
2125550104,dee@example.com,web_form
"""


@pytest.fixture
def result(policy: Policy, tmp_path: Path) -> Validated:
    path = tmp_path / "list.csv"
    path.write_text(LIST, newline="")
    frame = raw_frame([(1, read_list(path, lambda _: True))])
    return validate(frame, judge(list(frame.columns), policy, "acme"), policy, "acme")


def save(connection: psycopg.Connection, upload: str, result: Validated) -> int:
    return leads.save(connection, upload, occurrences(result), result.quarantined)


def leads_of(connection: psycopg.Connection, upload: str) -> pd.DataFrame:
    rows = connection.execute(
        "select u.lead_id::text, l.phone, coalesce(l.email, ''), u.file_no, u.line, u.known "
        "from lead_intel.upload_leads u join lead_intel.leads l using (lead_id) "
        "where u.upload = %s and not u.duplicate order by u.file_no, u.line",
        (upload,),
    ).fetchall()
    frame = pd.DataFrame(rows, columns=["lead_id", "phone", "email", "file_no", "line", "known"])
    return frame.astype({"lead_id": "str", "email": "str"})


def quarantine_of(connection: psycopg.Connection, upload: str) -> pd.DataFrame:
    rows = connection.execute(
        "select array_to_string(codes, '|'), original::text, state from lead_intel.quarantined_rows "
        "where upload = %s order by file_no, line",
        (upload,),
    ).fetchall()
    return pd.DataFrame(rows, columns=["codes", "original", "state"])


def everything(connection: psycopg.Connection) -> list[list[tuple[Any, ...]]]:
    return [
        connection.execute(f"select * from lead_intel.{table} order by 1, 2, 3").fetchall()
        for table in ("leads", "upload_leads", "quarantined_rows")
    ]


def test_what_was_saved_is_read_back(database: psycopg.Connection, result: Validated) -> None:
    assert save(database, ONE, result) == 0

    found = leads_of(database, ONE)
    expected = result.accepted[["lead_id", "phone", "email", "file_no", "line"]]
    pd.testing.assert_frame_equal(found[expected.columns], expected)
    assert not found["known"].any()
    assert quarantine_of(database, ONE)["codes"].tolist() == ["email_invalid|consent_blank", "row_ragged"]
    rows = database.execute(
        "select line, duplicate, consent, attributes from lead_intel.upload_leads order by line"
    ).fetchall()
    assert rows == [
        (2, False, {"consent_source": "web_form"}, {"note": 'a "quoted", note\\ with\na break'}),
        (4, False, {"consent_source": "phone_ivr"}, {}),
        (5, True, {"consent_source": "jornaya"}, {"note": "again"}),
    ]


def test_a_second_run_changes_nothing(database: psycopg.Connection, result: Validated) -> None:
    save(database, ONE, result)
    before = everything(database)

    assert save(database, ONE, result) == 0

    assert everything(database) == before


def test_a_second_run_writes_only_what_changed(database: psycopg.Connection, result: Validated) -> None:
    def versions() -> dict[int, str]:
        rows = database.execute("select line, xmin::text from lead_intel.upload_leads").fetchall()
        return dict(rows)

    save(database, ONE, result)
    before = versions()
    changed = result.accepted.copy()
    changed.loc[1, "consent_source"] = "web_form"

    save(database, ONE, Validated(changed, result.quarantined, result.duplicates, result.balance))

    after = versions()
    assert {line for line in before if before[line] != after[line]} == {int(changed["line"].iloc[1])}


def test_a_second_run_with_other_rows_replaces_only_its_own(database: psycopg.Connection, result: Validated) -> None:
    save(database, TWO, result)
    save(database, ONE, result)
    others = [[row for row in rows if row[0] == TWO] for rows in everything(database)[1:]]
    fewer = Validated(result.accepted.iloc[:1], result.quarantined.iloc[1:], result.duplicates, result.balance)

    save(database, ONE, fewer)

    assert len(leads_of(database, ONE)) == 1
    assert quarantine_of(database, ONE)["codes"].tolist() == ["row_ragged"]
    assert [[row for row in rows if row[0] == TWO] for rows in everything(database)[1:]] == others


def test_people_of_another_upload_are_known_and_stay_so(database: psycopg.Connection, result: Validated) -> None:
    save(database, ONE, result)

    assert save(database, TWO, result) == len(result.accepted)
    assert leads_of(database, TWO)["known"].all()
    assert save(database, ONE, result) == 0
    assert save(database, TWO, result) == len(result.accepted)


def test_rows_that_a_person_dealt_with_stay_so(database: psycopg.Connection, result: Validated) -> None:
    save(database, ONE, result)
    database.execute("update lead_intel.quarantined_rows set state = 'released' where line = 6")

    save(database, ONE, result)

    assert quarantine_of(database, ONE)["state"].tolist() == ["released", "open"]


def test_an_upload_of_nothing_but_bad_rows_is_saved(database: psycopg.Connection, result: Validated) -> None:
    nothing = Validated(result.accepted.iloc[:0], result.quarantined, result.duplicates.iloc[:0], result.balance)

    assert save(database, ONE, nothing) == 0
    assert leads_of(database, ONE).empty
    assert [json.loads(text) for text in quarantine_of(database, ONE)["original"]]


def test_a_failure_leaves_the_earlier_rows(database: psycopg.Connection, result: Validated) -> None:
    save(database, ONE, result)
    before = everything(database)
    broken = result.quarantined.assign(original="no json")

    with pytest.raises(psycopg.Error):
        leads.save(database, ONE, occurrences(result).iloc[:1], broken)

    assert everything(database) == before


def test_only_a_confirmed_mapping_is_applied_and_only_a_person_replaces_it(database: psycopg.Connection) -> None:
    leads.remember_mapping(database, "acme", "f1", {"tel": "phone"})
    assert leads.remembered_mapping(database, "acme", "f1") == {}

    leads.remember_mapping(database, "acme", "f1", {"nr": "phone"}, confirmed_by="ann")
    leads.remember_mapping(database, "acme", "f1", {"tel": "phone"})

    assert leads.remembered_mapping(database, "acme", "f1") == {"nr": "phone"}
    assert leads.remembered_mapping(database, "other", "f1") == {}
