"""Columns that a person names, headers that may be meant, layouts that change: said, shown, never guessed."""

from __future__ import annotations

import socket
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lead_intel.cli.mapping import said_of
from lead_intel.columns import ColumnVerdict, column_keys, confirmed, frame_columns, header_of, judge
from lead_intel.errors import UsageError
from lead_intel.intake.check import check_file
from lead_intel.intake.validation import Validated, validate
from lead_intel.layouts import changed, layout_of
from lead_intel.policy import ConsentSource, Policy, SupplierConsent

LEAD = "212-555-0123"


def verdict(policy: Policy, headers: list[str], **told: Any) -> ColumnVerdict:
    return judge(frame_columns(headers), policy, "acme", **told)


def columns_by_place(found: ColumnVerdict, headers: list[str]) -> dict[str, int]:
    names = frame_columns(headers)
    return {ours: names.index(name) + 1 for name, ours in found.mapping.items()}


# Suggestions ---------------------------------------------------------------------------------------


def test_a_resembling_header_is_suggested_and_not_taken(policy: Policy) -> None:
    found = verdict(policy, ["Cell Number", "E-Mail Adress", "Consent Given Via", "City"])

    assert found.code == "column_missing"
    assert found.suggestions["phone"][0] == "Cell Number"
    assert found.suggestions["email"][0] == "E-Mail Adress"
    assert list(found.mapping.values()) == ["city"]
    assert "Did you mean Cell Number for phone?" in found.message
    assert '--map phone="Cell Number"' in found.remedy


def test_what_resembles_nothing_suggests_nothing(policy: Policy) -> None:
    found = verdict(policy, ["id", "amount", "x"])

    assert not found.suggestions
    assert "Did you mean" not in found.message


def test_the_first_row_of_a_headerless_list_is_never_suggested(policy: Policy) -> None:
    found = verdict(policy, ["Phone Cellini", "ann@example.com", "2125550123"])

    assert (found.code, found.suggestions) == ("no_header", {})
    assert "Cellini" not in found.message + found.remedy


# What a person says --------------------------------------------------------------------------------


def test_an_explicit_mapping_is_taken(policy: Policy) -> None:
    headers = ["Cell Number", "phone", "email", "How"]
    found = verdict(policy, headers, said={"phone": "Cell Number", "consent_source": "#4"})

    assert found.acceptable
    assert columns_by_place(found, headers) == {"phone": 1, "email": 3, "consent_source": 4}
    assert [header_of(name) for name in found.attributes] == ["phone"]


@pytest.mark.parametrize("place", [1, 2])
def test_of_two_columns_with_one_name_a_person_chooses_by_place(policy: Policy, place: int) -> None:
    headers = ["email", "email", "phone", "consent_source"]
    assert verdict(policy, headers).code == "column_ambiguous"

    found = verdict(policy, headers, said={"email": f"#{place}"})

    assert found.acceptable
    assert columns_by_place(found, headers)["email"] == place


def test_letters_of_another_alphabet_can_be_vouched_for(policy: Policy) -> None:
    headers = ["ph\u043ene", "email", "consent_source"]

    assert verdict(policy, headers, said={"phone": "ph\u043ene"}).acceptable


def test_a_person_may_say_that_the_list_has_no_such_column(policy: Policy) -> None:
    found = verdict(policy, ["phone", "email", "consent_source", "ip"], said={"consent_ip": ""})

    assert found.acceptable
    assert found.attributes == ("ip",)


@pytest.mark.parametrize("header", ["Cel Number", "#9", "#0", "email"])
def test_a_header_that_is_not_there_or_taken_twice_is_refused(policy: Policy, header: str) -> None:
    headers = ["Cell Number", "email", "consent_source"]
    found = verdict(policy, headers, said={"email": "email", "phone": header})

    assert found.code == "map_not_found"
    assert found.unfound == {"phone": header}


def test_what_a_person_confirmed_holds_for_the_same_layout(policy: Policy) -> None:
    headers = ["email", "email", "phone", "number", "consent_source"]
    told = verdict(policy, headers, said={"email": "#2", "phone": "number"})

    again = verdict(policy, headers, remembered=confirmed(frame_columns(headers), told))

    assert again.acceptable
    assert again.mapping == told.mapping


@pytest.mark.parametrize("option", [["phone"], ["fone=x"], ["phone=a", "phone=b"], ["=x"]])
def test_a_map_option_that_says_nothing_is_a_wrong_request(option: list[str]) -> None:
    with pytest.raises(UsageError):
        said_of(option)


def test_map_options_name_our_columns_in_any_case() -> None:
    assert said_of(["Phone= Cell = 2", "consent_ip="]) == {"phone": "Cell = 2", "consent_ip": ""}


# A layout that changed -----------------------------------------------------------------------------


def test_a_column_that_meant_phone_before_and_is_here_still_is_not_left_for_another(policy: Policy) -> None:
    before = ["phone", "best_number", "email", "consent_source"]
    told = verdict(policy, before, said={"phone": "best_number"})
    former = layout_of(frame_columns(before), told)
    now = ["phone", "best_number", "email", "consent_source", "score"]

    found = verdict(policy, now, former=former.mapping)

    assert (found.code, found.moved) == ("layout_changed", {"phone": "best_number"})
    assert verdict(policy, now, former=former.mapping, said={"phone": "best_number"}).acceptable
    assert verdict(policy, now, former=former.mapping, said={"phone": "phone"}).acceptable


def test_what_was_a_column_before_is_suggested_first(policy: Policy) -> None:
    former = {"nr7": "phone", "email": "email", "consentsource": "consent_source"}

    found = verdict(policy, ["Nr 7", "Cell Number", "email", "consent_source"], former=former)

    assert found.code == "column_missing"
    assert found.suggestions["phone"] == ("Nr 7", "Cell Number")


def test_a_change_of_layout_names_what_was_added_removed_renamed_and_moved(policy: Policy) -> None:
    before = ["phone", "email", "consent_source", "Opt-in Date", "notes"]
    now = ["email", "phone", "consent_source", "Optin Dates", "score"]
    old, new = (layout_of(frame_columns(headers), verdict(policy, headers)) for headers in (before, now))

    change = changed(old, new)

    assert change.added == ("Optin Dates", "score")
    assert change.removed == ("Opt-in Date", "notes")
    assert change.renamed == {"Opt-in Date": "Optin Dates"}
    assert change.reordered
    assert change.meaning == {"consent_at": ("Opt-in Date", "")}
    assert "consent_at" in change.in_words
    assert "Opt-in" not in change.in_words


def test_columns_are_remembered_by_header_or_by_place() -> None:
    names = frame_columns(["A", "b", "B ", ""])

    assert len(set(column_keys(names).values())) == 4
    assert column_keys(names)["A"] == "a"


# check, without anything beside it -----------------------------------------------------------------


@pytest.fixture
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("DATABASE_URL", "SUPABASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("without_network")
def test_title_rows_are_skipped_when_a_person_says_where_the_header_stands(policy: Policy, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"Leads of May; all;;;\n\nphone;email;consent_source\n{LEAD};;web_form\n")

    report = check_file(path, policy, header_row=3)

    assert (report.verdict, report.rows, report.delimiter) == ("accepted", 1, ";")
    assert report.columns == ["phone", "email", "consent_source"]
    assert check_file(path, policy, header_row=2).code == "header_row_missing"
    assert check_file(path, policy, header_row=99).code == "header_row_missing"


@pytest.mark.usefixtures("without_network")
@pytest.mark.parametrize("sep", ["", "sep=,\n"])
def test_a_list_without_header_is_mapped_by_places(policy: Policy, tmp_path: Path, sep: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{sep}web_form,{LEAD},ann@example.com\nweb_form,,\n")
    said = {"phone": "#2", "email": "#3", "consent_source": "#1"}

    report = check_file(path, policy, said=said, header_row=0)

    assert (report.verdict, report.rows) == ("accepted", 2)
    assert report.quarantine == {"phone_blank": 1}
    assert report.mapping == {"phone": "column 2", "email": "column 3", "consent_source": "column 1"}


def test_a_workbook_with_titles_or_without_header(policy: Policy, workbook: Any) -> None:
    titled = workbook({"A": [["May"], [], ["phone", "email", "consent_source"], [LEAD, "", "web_form"]]})
    report = check_file(titled, policy, header_row=3)
    assert (report.verdict, report.rows) == ("accepted", 1)

    bare = workbook({"A": [[LEAD, "", "web_form"], [LEAD, "ann@example.com", "web_form"]]})
    report = check_file(bare, policy, said={"phone": "#1", "email": "#2", "consent_source": "#3"}, header_row=0)
    assert (report.verdict, report.rows) == ("accepted", 2)


# Consent words with dates --------------------------------------------------------------------------


def judged(policy: Policy, rows: list[tuple[str, str]], received: date) -> Validated:
    frame = pd.DataFrame(rows, columns=["consent_source", "consent_at"], dtype="str")
    frame.insert(0, "phone", [f"21255501{number:02}" for number in range(len(rows))])
    frame.insert(1, "email", "")
    frame.insert(0, "line", range(2, len(rows) + 2))
    frame.insert(0, "file_no", 1)
    frame.insert(2, "_bad_code", "")
    frame.insert(3, "_bad_text", "")
    frame = frame.astype(dict.fromkeys(frame.columns[2:], "str"))
    found = judge([str(name) for name in frame.columns], policy, "acme")
    return validate(frame, found, policy, "acme", received=received)


def test_a_word_counts_on_the_day_when_consent_was_given(policy: Policy) -> None:
    own = SupplierConsent(
        sources=(
            ConsentSource(source="web_form", channel="web", valid_until=date(2026, 6, 30)),
            ConsentSource(source="fair_*", channel="event", valid_from=date(2026, 7, 1)),
        )
    )
    dated = policy.model_copy(update={"consent": policy.consent.model_copy(update={"suppliers": {"acme": own}})})
    rows = [
        ("web_form", "2026-06-30T23:00:00Z"),
        ("Web_Form", "2026-07-01T00:00:00Z"),
        ("fair_x", "07/02/2026"),
        ("fair_x", "2026-06-01"),
        ("web_form", ""),
        ("web_form", "no day"),
        ("landing_page", "2020-01-01"),
    ]

    late = judged(dated, rows, date(2026, 8, 1))
    early = judged(dated, rows, date(2026, 6, 1))

    assert late.by_code == {"consent_outdated": 4}
    assert late.accepted["line"].tolist() == [2, 4, 8]
    assert early.by_code == {"consent_outdated": 2}
    assert judged(policy, rows, date(2026, 8, 1)).by_code == {"consent_unknown": 2}


def test_numbers_that_are_no_ordinary_us_ones_are_told_apart(policy: Policy, tmp_path: Path) -> None:
    phones = [
        "800-234-5678", "900-234-5678", "212-555-0123", "416-234-5678", "787-234-5678", "+44 20 7946 0958",
        "+44 909 8790123", "212-234-5678", "2125550123.0", "2.12555E+09", "-10395",
    ]  # fmt: skip
    path = tmp_path / "t.csv"
    rows = [f"{phone},p{number}@example.com,web_form" for number, phone in enumerate(phones)]
    path.write_text("\n".join(["phone,email,consent_source", *rows]) + "\n")

    report = check_file(path, policy)

    assert report.quarantine == {"phone_damaged": 2}
    assert report.phones == {"fictitious": 2, "non_us": 4, "premium": 2, "toll_free": 1}
