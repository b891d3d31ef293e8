"""A list whose columns are written otherwise, from the refusal to the next list, on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_a_person_says_of_columns_mends_a_list_and_holds_for_the_next(house: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "may.csv", tmp_path / "june.csv"
    first.write_text("Cell Number,email,consent_source\n212-555-0123,ann@example.com,web_form\n")
    second.write_text("Cell Number,email,consent_source\n212-555-0124,ben@example.com,web_form\n")

    refused = house.answer("upload", str(first), "--supplier", "acme", exit_code=3)
    assert refused["suggestions"] == {"phone": ["Cell Number"]}
    house.answer("map", refused["upload"], exit_code=2)
    paid = house.paid()

    mended = house.answer("map", refused["upload"], "--map", "phone=Cell Number")
    following = house.answer("upload", str(second), "--supplier", "acme")

    assert paid["twilio_lookup"] == 0
    assert (mended["state"], mended["rows"]["accepted"]) == ("screened", 1)
    assert (following["state"], following["rows"]["accepted"]) == ("screened", 1)


def test_a_map_option_without_sense_is_a_wrong_request(house_at: Any, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("phone,email,consent_source\n")

    answer = house_at(tmp_path).answer("check", str(path), "--map", "phone", exit_code=2)

    assert answer["error"]["code"] == "map_option"
