"""Money through the commands, counted at the vendors' side: nested samples, a budget, forecast and spending."""

from __future__ import annotations

import csv
import random
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import psycopg
import pytest
import yaml

from lead_intel.settings import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HEADER = ["phone", "email", "consent_source", "consent_at", "consent_evidence"]
VENDORS = ("people_data_labs", "zerobounce", "trestle")
LENIENT = ("--profile", "lenient")


def people(name: str, count: int) -> list[list[str]]:
    """Rows of their own numbers, so that no answer is there before."""
    chance = random.Random(name)
    return [
        [
            f"+1212{chance.randint(200, 999)}{chance.randint(0, 9999):04d}",
            f"{name}{row}@example.com",
            "web_form",
            "2026-11-01T10:00:00Z",
            "form 7",
        ]
        for row in range(count)
    ]


def as_csv(path: Path, rows: list[list[str]]) -> str:
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([HEADER, *rows])
    return str(path)


def as_xlsx(path: Path, rows: list[list[str]]) -> str:
    """A workbook of one sheet, its cells inline texts."""
    lines = "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{escape(cell)}</t></is></c>' for cell in row) + "</row>"
        for row in (HEADER, *rows)
    )
    main, office = "http://schemas.openxmlformats.org/spreadsheetml/2006/main", "http://schemas.openxmlformats.org"
    relation = f"{office}/officeDocument/2006/relationships"
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{office}/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kinds}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{office}/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{relation}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relation}">'
        '<sheets><sheet name="leads" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{office}/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{relation}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in parts.items():
            book.writestr(name, text)
    return str(path)


@contextmanager
def record(house: Any) -> Iterator[psycopg.Connection]:
    with psycopg.connect(house.answer("env")["DATABASE_URL"], autocommit=True) as connection:
        yield connection


def sampled(house: Any, upload: str) -> set[str]:
    with record(house) as connection:
        rows = connection.execute("select lead_id::text from lead_intel.lead_samples where upload = %s", (upload,))
        return {row[0] for row in rows.fetchall()}


def asked(house: Any) -> dict[str, int]:
    ledger = house.ledger()
    return {vendor: ledger.get(vendor, {}).get("calls", 0) for vendor in VENDORS}


def test_the_same_people_in_another_file_are_the_same_sample_and_only_the_difference_is_paid(
    house: Any, tmp_path: Path
) -> None:
    rows = people("nested", 60)
    first = house.answer(
        "run", as_csv(tmp_path / "first.csv", rows), "--supplier", "nested", *LENIENT, "--sample", "10"
    )
    ten, paid_ten = sampled(house, first["upload"]), asked(house)
    random.Random(1).shuffle(rows)

    second = house.answer(
        "run", as_xlsx(tmp_path / "second.xlsx", rows), "--supplier", "nested", *LENIENT, "--sample", "25"
    )

    upload = second["upload"]
    quarter, paid_quarter = sampled(house, upload), asked(house)
    assert upload != first["upload"]
    assert ten < quarter
    for vendor in VENDORS:
        assert paid_quarter[vendor] - paid_ten[vendor] == len(quarter) - len(ten)
    assert house.answer("status", upload)["forecast"]["by_vendor"]["trestle"]["calls"] == len(quarter) - len(ten)

    house.answer("sample", upload, "10")
    lowered = house.answer("plan", upload)

    assert sampled(house, upload) == ten
    assert asked(house) == paid_quarter
    assert (lowered["forecast"]["cost"], lowered["forecast"]["spent"]) == ("0.00", "0.00")

    whole = house.answer("run", str(tmp_path / "second.xlsx"), "--supplier", "nested", *LENIENT, "--sample", "100")

    everybody, paid_all = sampled(house, upload), asked(house)
    assert quarter < everybody
    assert len(everybody) == whole["verdicts"]["send"]
    for vendor in VENDORS:
        assert paid_all[vendor] - paid_quarter[vendor] == len(everybody) - len(quarter)
    told = whole["estimate"]
    assert told["sampled"] == told["leads"] == len(everybody)
    for share in told["by_vendor"].values():
        assert share["low"] == pytest.approx(share["high"], abs=2e-4)

    money = house.answer("spend", "--upload", upload)
    assert money["forecast"] == whole["forecast"]
    assert Decimal(money["total"]) == Decimal(whole["spend"]["settled"])
    per_lead = money["per_contactable_lead"]["by_upload"][upload]
    assert per_lead["leads"] == len(everybody)
    assert Decimal(per_lead["cost"]) == (Decimal(money["total"]) / len(everybody)).quantize(Decimal("0.0001"))
    both = house.answer("spend", "--supplier", "nested")
    # The same people in two lists are contacted once.
    assert both["per_contactable_lead"]["by_supplier"]["nested"]["leads"] == len(everybody)
    assert house.answer("spend", "--until", "2001-01-01")["total"] == "0.00"
    assert house.command("spend", "--upload", "upl_20260101_nothinghere").returncode == 2


def test_a_reached_budget_says_which_and_how_much_and_a_higher_one_goes_on_without_paying_again(
    house: Any, tmp_path: Path
) -> None:
    rows = people("capped", 30)
    folder = tmp_path / "policy"
    folder.mkdir()
    for file in (REPOSITORY / "data" / "policy").glob("*.yml"):
        (folder / file.name).write_text(file.read_text())
    budgets = yaml.safe_load((folder / "budgets.yml").read_text())
    upload = house.answer("run", as_csv(tmp_path / "capped.csv", rows), "--supplier", "capped", *LENIENT)["upload"]
    before = house.ledger()
    spent = Decimal(house.answer("status", upload)["spend"]["settled"])
    (folder / "budgets.yml").write_text(yaml.safe_dump(budgets | {"per_upload": str(spent + Decimal("1.00"))}))
    house.environment["LEAD_INTEL_POLICY_DIR"] = str(folder)
    try:
        stop = house.answer("forecast", upload, "--sample", "100")["stopped_by"]
        assert (stop["scope"], stop["left"]) == ("upload", "1.00")
        house.answer("sample", upload, "100")
        parked = house.answer("plan", upload, exit_code=5)
        assert (parked["state"], parked["state_reason"]) == ("paused", "budget")
        assert "of it is left" in parked["error"]["message"]
        assert "per_upload" in parked["error"]["remedy"]
        assert spent < Decimal(parked["spend"]["settled"]) <= spent + 1
        assert Decimal(parked["spend"]["reserved"]) == 0
        (folder / "budgets.yml").write_text(yaml.safe_dump(budgets))

        done = house.answer("resume", upload)
    finally:
        del house.environment["LEAD_INTEL_POLICY_DIR"]

    assert done["state"] == "planned"
    after = house.ledger()
    for vendor in VENDORS:
        assert after[vendor]["calls"] - before.get(vendor, {}).get("calls", 0) == done["sample"]["leads"]
