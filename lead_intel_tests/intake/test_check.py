"""`check`: the JSON of the interface, two separate answers, and the table as it was read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from lead_intel.errors import UsageError
from lead_intel.intake.check import check_file
from lead_intel.policy import Policy

ROOT = Path(__file__).resolve().parents[2]
LISTS = ROOT / "lead_intel_tests" / "data" / "lists"
KEYS = {
    "read", "verdict", "code", "message", "format", "encoding", "delimiter", "sheet", "columns", "rows", "quarantine",
}  # fmt: skip


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No database, no network: not even their addresses."""
    for name in ("DATABASE_URL", "SUPABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_a_good_list(policy: Policy) -> None:
    report = check_file(LISTS / "us500_leads.csv", policy).as_json()

    assert report.keys() >= KEYS
    assert json.loads(json.dumps(report)) == report
    assert (report["read"], report["verdict"], report["code"]) == ("ok", "accepted", None)
    assert (report["format"], report["encoding"], report["delimiter"]) == ("csv", "utf-8", ",")
    assert report["columns"] == ["phone", "email", "consent_source", "first_name", "last_name", "city", "state"]
    assert report["rows"] == 500
    assert report["quarantine"] == {"consent_blank": 46}


def test_the_same_list_as_a_workbook_gets_the_same_answer(policy: Policy) -> None:
    as_csv = check_file(LISTS / "us500_leads.csv", policy).as_json()
    as_xlsx = check_file(LISTS / "us500_leads.xlsx", policy).as_json()

    assert as_xlsx["sheet"] == "Leads"
    assert {key: as_xlsx[key] for key in ("rows", "quarantine", "columns")} == {
        key: as_csv[key] for key in ("rows", "quarantine", "columns")
    }


def test_a_table_without_lead_columns_is_read_and_rejected(policy: Policy, tmp_path: Path) -> None:
    path, table = tmp_path / "t.csv", tmp_path / "out.csv"
    path.write_text("a;b\n1;x\n2\n3;z\n")

    report = check_file(path, policy, table)

    assert (report.read, report.verdict, report.code) == ("ok", "rejected", "column_missing")
    assert report.remedy
    assert list(csv.reader(table.open(newline=""))) == [["a", "b"], ["1", "x"], ["2"], ["3", "z"]]


def test_what_cannot_be_read_is_refused_and_writes_no_table(policy: Policy, tmp_path: Path) -> None:
    path, table = tmp_path / "list.csv", tmp_path / "out.csv"
    path.write_bytes(b"%PDF-1.7")

    report = check_file(path, policy, table)

    assert (report.read, report.verdict, report.code) == ("refused", "rejected", "format_pdf")
    assert not table.exists()


def test_ragged_rows_stand_in_their_places_in_the_table(policy: Policy, tmp_path: Path) -> None:
    rows = [
        ["phone", "email", "consent_source"],
        ["1"],
        ["2", "b,c", "d"],
        ["3", "4", "5", "6"],
        ["7"],
        ["8", "", 'q"'],
    ]
    path, table = tmp_path / "t.csv", tmp_path / "out.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)

    report = check_file(path, policy, table)

    assert report.rows == 5
    assert report.quarantine == {"row_ragged": 3, "phone_invalid": 2}
    assert list(csv.reader(table.open(newline=""))) == rows


def test_a_missing_file_is_a_wrong_request(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        check_file(tmp_path / "none.csv", policy)


@pytest.mark.parametrize(
    ("name", "rows", "quarantined"), [("leads.csv", 399, 18), ("leads.xlsx", 80, 5), ("three_columns.csv", 120, 8)]
)
def test_the_sample_lists_are_accepted(policy: Policy, name: str, rows: int, quarantined: int) -> None:
    report = check_file(ROOT / "data" / "samples" / name, policy)

    assert report.verdict == "accepted"
    assert (report.rows, sum(report.quarantine.values())) == (rows, quarantined)
