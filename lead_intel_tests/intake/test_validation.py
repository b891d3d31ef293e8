"""Validation: every row ends in exactly one place, with every code, and equals a plain reading row by row."""

from __future__ import annotations

import csv
import json
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lead_intel.columns import judge
from lead_intel.contract import DuplicateRows, QuarantinedRows, RawUpload, ValidLeads, checked
from lead_intel.errors import RejectedInput
from lead_intel.intake import consent, emails, identity, phones
from lead_intel.intake.judging import MAX_ATTRIBUTE_CHARS
from lead_intel.intake.raw import raw_frame
from lead_intel.intake.reading import read_list
from lead_intel.intake.validation import MAX_ATTRIBUTES, Validated, validate
from lead_intel.policy import ConsentSource, Policy, SupplierConsent

Written = Callable[..., Path]
LISTS = Path(__file__).resolve().parent.parent / "data" / "lists"


def validated(policy: Policy, *files: Path, supplier: str = "acme") -> Validated:
    frame = checked(raw_frame([(n, read_list(file, lambda _: True)) for n, file in enumerate(files, 1)]), RawUpload)
    result = validate(frame, judge(list(frame.columns), policy, supplier), policy, supplier)
    checked(result.accepted, ValidLeads)
    checked(result.quarantined, QuarantinedRows)
    checked(result.duplicates, DuplicateRows)
    return result


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str, name: str = "list.csv") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
        return tmp_path / name

    return write


def test_the_sources_of_policy_are_known_in_any_case(policy: Policy) -> None:
    words = consent.vocabulary(policy, "acme")

    assert {consent.judge(text, words) for text in ("web_form", " Web_Form", "event_2026", "partner:x")} == {""}
    assert {consent.judge(text, words) for text in ("", " ", "\u00a0")} == {"consent_blank"}
    assert {consent.judge(text, words) for text in ("null", "web", "web_forms", "my_event_1", "partner:")} == {
        "consent_unknown"
    }


def test_a_supplier_may_have_words_of_its_own(policy: Policy) -> None:
    own = SupplierConsent(sources=(ConsentSource(source="booth", channel="event"),))
    wider = policy.model_copy(update={"consent": policy.consent.model_copy(update={"suppliers": {"fair": own}})})

    assert consent.judge("booth", consent.vocabulary(wider, "fair")) == ""
    assert consent.judge("booth", consent.vocabulary(wider, "acme")) == "consent_unknown"


@pytest.mark.parametrize("name", ["us500_leads.csv", "us500_leads.xlsx", "ftc2021_numbers_leads.csv"])
def test_lists_of_others_balance_and_equal_the_rules_row_by_row(policy: Policy, name: str) -> None:
    with (LISTS / name).with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    words = consent.vocabulary(policy, "acme")
    codes: Counter[str] = Counter()
    leads: set[tuple[int, str]] = set()
    for row in rows:
        phone, (email, email_code) = phones.judge(row["phone"]), emails.judge(row["email"])
        found = [code for code in (phone.code, email_code, consent.judge(row["consent_source"], words)) if code]
        if found:
            codes[found[0]] += 1
        else:
            leads.add((phone.digits, email.lower()))

    result = validated(policy, LISTS / name)

    assert result.balance.file == len(rows)
    assert result.balance.quarantined == codes.total() == sum(result.by_code.values())
    assert result.by_code == dict(codes)
    # No row of these lists has a blank e-mail, so every identity is a lead.
    assert set(result.accepted["lead_id"]) == {str(uuid.uuid5(identity.NAMESPACE, f"{p}|{e}")) for p, e in leads}
    assert result.balance.duplicate == len(rows) - codes.total() - len(leads)


def test_every_row_ends_once_with_all_its_codes(policy: Policy, written: Written) -> None:
    result = validated(
        policy,
        written(
            "phone,email,consent_source,city\n"
            "212-555-0101,ann@example.com,web_form,Oslo\n"  # 2 accepted
            "123,nobody,,Bonn\n"  # 3 three codes
            "212-555-0102,,phone_ivr,\n"  # 4 accepted, blank e-mail
            "+1 212 555 0101,ANN@example.com,jornaya,\n"  # 5 duplicate of 2
            "212-555-0101,,web_form,\n"  # 6 duplicate of 2
            "212-555-0101,bob@example.com,web_form,\n"  # 7 accepted, shares a phone
            "212-555-0103,cy@example.com,web_form\n"  # 8 ragged
            "212-555-0104,dee@example.com,bought,\n"  # 9 unknown source
        ),
    )

    assert result.balance.file == 8
    assert result.accepted["line"].tolist() == [2, 4, 7]
    assert result.accepted["shared_phone"].tolist() == [True, False, True]
    assert result.accepted["city"].tolist() == ["Oslo", "", ""]
    assert dict(zip(result.quarantined["line"], result.quarantined["codes"], strict=True)) == {
        3: "phone_invalid|email_invalid|consent_blank",
        8: "row_ragged",
        9: "consent_unknown",
    }
    first_lead = result.accepted["lead_id"].iloc[0]
    assert result.duplicates[["line", "lead_id"]].to_numpy().tolist() == [[5, first_lead], [6, first_lead]]
    assert json.loads(result.duplicates["consent"].iloc[0]) == {"consent_source": "jornaya"}


def test_a_quarantined_row_keeps_its_original(policy: Policy, written: Written) -> None:
    path = written(
        'phone,email,consent_source,_bad_text,row\n1,"=cmd(""x"")",\u00e9\t,z,r\n1,2\n2125550101,,web_form,,\n'
    )

    originals = [json.loads(text) for text in validated(policy, path).quarantined["original"]]

    assert originals == [
        {"phone": "1", "email": '=cmd("x")', "consent_source": "é\t", "_bad_text (2)": "z", "row": "r"},
        {"_bad_text": "1,2"},
    ]


def test_further_columns_are_kept_bounded(policy: Policy, written: Written) -> None:
    extra = [f"x{n}" for n in range(MAX_ATTRIBUTES + 5)]
    path = written(
        ",".join(["phone", "email", "consent_source", *extra])
        + "\n"
        + ",".join(["2125550101", "", "web_form", "y" * (MAX_ATTRIBUTE_CHARS + 9), "", *["é"] * (len(extra) - 2)])
        + "\n"
    )

    kept = json.loads(validated(policy, path).accepted["attributes"].iloc[0])

    assert kept["x0"] == "y" * MAX_ATTRIBUTE_CHARS
    assert "x1" not in kept
    assert len(kept) == MAX_ATTRIBUTES - 1
    assert kept["x2"] == "é"


def test_columns_of_the_list_may_be_called_as_ours(policy: Policy, written: Written) -> None:
    path = written("line,file_no,phone,email,consent_source,note,note\n9,8,2125550101,,web_form,a,b\n")

    result = validated(policy, path)

    assert result.accepted[["file_no", "line"]].to_numpy().tolist() == [[1, 2]]
    assert json.loads(result.accepted["attributes"].iloc[0]) == {
        "line": "9",
        "file_no": "8",
        "note": "a",
        "note (2)": "b",
    }


def test_a_later_file_joins_the_first_in_another_writing_and_order(policy: Policy, written: Written) -> None:
    first = written("phone,email,consent_source,city\n2125550101,,web_form,Oslo\n1,,web_form,\n", "one.csv")
    second = written("Consent Source;PHONE;E-Mail;Shoe\nweb_form;2125550102;b@example.com;44\n", "two.csv")

    result = validated(policy, first, second)

    assert result.balance.file == 3
    assert result.accepted[["file_no", "line", "phone"]].to_numpy().tolist() == [
        [1, 2, 12125550101],
        [2, 2, 12125550102],
    ]
    assert json.loads(result.accepted["attributes"].iloc[1]) == {"Shoe": "44"}
    assert result.quarantined["file_no"].tolist() == [1]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("phone,email,consent_source\n", "no_rows"),
        ("phone,email,consent_source\n,,\n \n", "no_rows"),
        ("phone,email,consent_source\n1,2\n3,4\n", "rows_ragged"),
        ("phone,email\n1,2\n", "column_missing"),
    ],
)
def test_lists_that_cannot_be_processed_are_rejected(policy: Policy, written: Written, text: str, code: str) -> None:
    with pytest.raises(RejectedInput) as caught:
        validated(policy, written(text))

    assert caught.value.code == code


def test_the_order_of_rows_changes_no_lead(policy: Policy, written: Written) -> None:
    with (LISTS / "us500_leads.csv").open(encoding="utf-8") as file:
        header, *rows = file.read().splitlines()
    rows += [",".join([row.split(",")[0], "", "web_form", *row.split(",")[3:]]) for row in rows[:40]]

    forwards = validated(policy, written("\n".join([header, *rows]), "a.csv"))
    backwards = validated(policy, written("\n".join([header, *rows[::-1]]), "b.csv"))

    assert sorted(forwards.accepted["lead_id"]) == sorted(backwards.accepted["lead_id"])
    assert forwards.balance == backwards.balance
    assert isinstance(forwards.accepted["email"].dtype, pd.StringDtype)
