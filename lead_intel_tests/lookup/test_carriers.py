"""Carrier breakouts: every cut is exact, brands and states are read from data, nothing unknown disappears."""

from __future__ import annotations

import base64
import re
from collections import Counter
from typing import Any
from xml.etree import ElementTree as ET

import pandas as pd
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lead_intel.contract import LINE_TYPES, CarrierCells, checked
from lead_intel.lookup.breakdown import ABROAD, OTHER, UNKNOWN, area_code_places, brand_of, break_down
from lead_intel.lookup.picture import INLINE_CHARACTERS, bars
from lead_intel.policy import CarrierBrand, Carriers, load_policy
from lead_intel.record.carriers import cut, replace_cells, stored_answers
from lead_intel.record.lookups import LookupRow, store
from lead_intel.settings import REPOSITORY

UPLOAD = "upl_20261124_aaaaaaaaaa"
PLACES = area_code_places(REPOSITORY / "data" / "reference" / "area_codes.csv")
BRANDS = load_policy(REPOSITORY / "data" / "policy").carriers.brands
CUTS = ("upload", "supplier", "day", "week", "state", "line_type", "brand", "carrier")

NUMBER = st.one_of(
    st.integers(12_122_000_000, 12_122_000_400), st.integers(14_162_000_000, 14_162_000_050),
    st.integers(18_002_000_000, 18_002_000_050), st.integers(447_700_900_000, 447_700_900_050),
)  # fmt: skip
CARRIERS = (("Verizon Wireless", "311", "480"), ("Nobody Telecom", "", ""), ("unknown", "", ""), ("AT&T Corp.", "", ""))
ROW = st.tuples(
    NUMBER, st.sampled_from(["ok", "invalid", "timeout"]), st.sampled_from(LINE_TYPES), st.sampled_from(CARRIERS)
)
LISTS = st.lists(ROW, max_size=40, unique_by=lambda row: row[0])


@pytest.fixture
def upload(database: psycopg.Connection) -> str:
    database.execute(
        "insert into lead_intel.lead_ingestions (upload, supplier, sha256) values (%s, 'acme', 'x')", (UPLOAD,)
    )
    return UPLOAD


def stored(connection: psycopg.Connection, rows: list[Any]) -> pd.DataFrame:
    """Rows as the stage leaves them: answers in the table, all of them in the frame."""
    answers = [row for row in rows if row[1] != "timeout"]
    store(
        connection,
        "line_type_intelligence",
        [
            LookupRow(phone, outcome, True, line_type, carrier, mcc, mnc, "", 0, None)
            for phone, outcome, line_type, (carrier, mcc, mnc) in answers
        ],
    )
    frame = pd.DataFrame(
        [
            (phone, outcome, True, *(("unknown", "unknown") if outcome == "timeout" else (line_type, carrier[0])), 0)
            for phone, outcome, line_type, carrier in rows
        ],
        columns=["phone", "outcome", "valid", "line_type", "carrier_name", "error_code"],
    )
    return frame.astype({"phone": "int64", "outcome": "str", "line_type": "str", "carrier_name": "str"})


def broken_down(connection: psycopg.Connection, frame: pd.DataFrame) -> pd.DataFrame:
    answers = stored_answers(connection, frame["phone"].tolist(), "line_type_intelligence")
    return checked(break_down(frame, answers, PLACES, BRANDS), CarrierCells)


def expected(rows: list[Any], today: str) -> dict[str, Counter[str]]:
    """The cuts, counted one row at a time."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in CUTS}
    for phone, outcome, line_type, (carrier, mcc, mnc) in rows:
        answered = outcome != "timeout"
        state = ABROAD if phone > 20_000_000_000 else PLACES.get(phone // 10**7 % 1000, UNKNOWN)
        counts["state"][state] += 1
        counts["day"][today if answered else "unanswered"] += 1
        counts["line_type"][line_type if answered else UNKNOWN] += 1
        counts["carrier"][carrier if answered else UNKNOWN] += 1
        counts["brand"][brand_of(carrier, mcc, mnc, BRANDS) if answered else UNKNOWN] += 1
        counts["upload"][UPLOAD] += 1
        counts["supplier"]["acme"] += 1
    return counts


@given(LISTS)
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_cut_sums_to_the_rows_and_a_repetition_changes_nothing(
    database: psycopg.Connection, upload: str, rows: list[Any]
) -> None:
    database.execute("truncate lead_intel.phone_lookups, lead_intel.carrier_cells")
    frame = stored(database, rows)
    for _ in range(2):
        replace_cells(database, upload, broken_down(database, frame))
    row: Any = database.execute("select (now() at time zone 'utc')::date::text").fetchone()
    for name, counts in expected(rows, row[0]).items():
        found = cut(database, name, upload)  # type: ignore[arg-type]
        assert sum(part["numbers"] for part in found) == len(rows)
        if name != "week":
            assert {part["key"]: part["numbers"] for part in found} == counts
        assert sum(part["unknown"] for part in found) == expected(rows, row[0])["line_type"][UNKNOWN]
        for part in found:
            assert 0 <= part["unknown_low"] <= part["unknown_share"] + 1e-9
            assert part["unknown_share"] - 1e-9 <= part["unknown_high"] <= 1


def test_an_older_answer_that_the_list_did_not_use_does_not_count(database: psycopg.Connection, upload: str) -> None:
    rows = [(12_122_000_000, "ok", "mobile", CARRIERS[0])]
    frame = stored(database, rows).assign(outcome="timeout", line_type=UNKNOWN, carrier_name=UNKNOWN)
    replace_cells(database, upload, broken_down(database, frame.astype({"outcome": "str"})))
    assert [part["key"] for part in cut(database, "day")] == ["unanswered"]
    assert [part["key"] for part in cut(database, "brand")] == [UNKNOWN]


def test_the_views_say_what_the_command_says(database: psycopg.Connection, upload: str) -> None:
    frame = stored(database, [(12_122_000_000 + n, "ok", LINE_TYPES[n % 12], CARRIERS[n % 4]) for n in range(60)])
    replace_cells(database, upload, broken_down(database, frame))
    for name in CUTS:
        view = database.execute(f"select * from lead_intel.carriers_by_{name} order by 2 desc, 1").fetchall()
        assert [tuple(part.values()) for part in cut(database, name)] == view  # type: ignore[arg-type]


def test_the_interval_is_wilsons(database: psycopg.Connection) -> None:
    # Wilson's score for 10 of 100 at 95 %, and the edges where the plain interval collapses.
    for part, whole, low, high in [(10, 100, 0.0552, 0.1744), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0)]:
        row: Any = database.execute("select lead_intel.wilson(%s, %s)", (part, whole)).fetchone()
        assert row[0] == pytest.approx([low, high], abs=1e-4)
    assert database.execute("select lead_intel.wilson(0, 0)").fetchone() == (None,)


@pytest.mark.parametrize(
    ("carrier", "mcc", "mnc", "brand"),
    [
        ("Verizon Wireless", "311", "480", "Verizon"),
        ("T-Mobile USA, Inc.", "310", "260", "T-Mobile"),
        ("AT&T Wireless", "310", "410", "AT&T"),
        ("Some Reseller", "310", "410", "AT&T"),
        ("US Cellular Corp.", "311", "580", "US Cellular"),
        ("Cricket Wireless - ATT - SVR", "", "", "AT&T"),
        ("Twilio - SMS/MMS-SVR", "240", "38", "Twilio"),
        ("Level 3 Communications", "", "", "Lumen"),
        ("Bandwidth/13 - Bandwidth.com - SVR", "", "", "Bandwidth"),
        ("Coxsackie Rural Telephone", "", "", OTHER),
        ("unknown", "311", "480", "Verizon"),
        ("unknown", "", "", UNKNOWN),
    ],
)
def test_a_carrier_belongs_to_its_networks_brand_or_to_the_one_its_name_says(
    carrier: str, mcc: str, mnc: str, brand: str
) -> None:
    assert brand_of(carrier, mcc, mnc, BRANDS) == brand


def test_a_network_cannot_have_two_brands() -> None:
    twice = {"A": CarrierBrand(networks=("310410",)), "B": CarrierBrand(networks=("310410",))}
    with pytest.raises(ValueError, match="310410"):
        Carriers(effective="2026-11-01", brands=twice)  # type: ignore[arg-type]


def test_places_tell_states_provinces_and_countries_apart() -> None:
    assert (PLACES[212], PLACES[416], PLACES[876]) == ("US-NY", "CA-ON", "JM")
    assert 800 not in PLACES


@given(st.lists(st.tuples(st.text(max_size=24), st.floats(0, 1)), max_size=30))
@settings(deadline=None)
def test_the_picture_is_well_formed_and_small_enough_to_be_shown(shares: list[tuple[str, float]]) -> None:
    shares = [(re.sub("[^ -~]", "?", label), share) for label, share in shares]
    picture = bars(sorted(shares, key=lambda part: -part[1]))
    assert len(picture) < INLINE_CHARACTERS
    ET.fromstring(base64.b64decode(picture.rpartition(",")[2].removesuffix(")")))
