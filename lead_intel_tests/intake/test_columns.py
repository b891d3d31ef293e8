"""Columns: exact names win, aliases help, and two answers are refused by name, never chosen between."""

from __future__ import annotations

import pytest

from lead_intel.columns import ColumnVerdict, frame_columns, header_fingerprint, header_key, header_of, judge
from lead_intel.errors import RejectedInput
from lead_intel.policy import Policy, SupplierConsent


def verdict(policy: Policy, *headers: str, **remembered: str) -> ColumnVerdict:
    return judge(["file_no", "line", "_bad_code", "_bad_text", *frame_columns(headers)], policy, "acme", remembered)


@pytest.mark.parametrize(
    "headers",
    [
        ("phone", "email", "consent_source"),
        ("Phone", " E-MAIL ", "Consent Source"),
        ("Phone Number", "email_address", "opt-in source"),
        ("ＰＨＯＮＥ", "e\u200bmail", "consent\u00a0source"),
        ("\ufeffphone", "email", "consent.source"),
    ],
)
def test_names_and_aliases_are_found_in_any_writing(policy: Policy, headers: tuple[str, ...]) -> None:
    found = verdict(policy, *headers)

    assert found.acceptable
    assert list(found.mapping.values()) == ["phone", "email", "consent_source"]
    assert not found.attributes


def test_an_exact_name_wins_over_an_alias(policy: Policy) -> None:
    found = verdict(policy, "mobile", "phone", "email", "consent_source")

    assert found.mapping["phone"] == "phone"
    assert found.attributes == ("mobile",)


def test_two_aliases_are_refused_by_name(policy: Policy) -> None:
    found = verdict(policy, "Mobile", "Telephone", "email", "consent_source")

    assert found.code == "column_ambiguous"
    assert found.ambiguous == {"phone": ("Mobile", "Telephone")}
    assert "Mobile, Telephone" in found.message


@pytest.mark.parametrize("second", ["email", "E-Mail", " email"])
def test_a_column_that_comes_twice_is_refused(policy: Policy, second: str) -> None:
    assert verdict(policy, "phone", "email", second, "consent_source").code == "column_ambiguous"


def test_missing_columns_are_named_with_a_remedy(policy: Policy) -> None:
    found = verdict(policy, "phone", "name", "city")

    assert (found.code, found.missing) == ("column_missing", ("email", "consent_source"))
    assert "email, consent_source" in found.message
    with pytest.raises(RejectedInput) as caught:
        found.refuse_if_unacceptable()
    assert caught.value.remedy


def test_letters_of_another_alphabet_are_refused_by_name(policy: Policy) -> None:
    found = verdict(policy, "ph\u043ene", "email", "consent_source")

    assert (found.code, list(found.lookalike.values())) == ("column_lookalike", ["phone"])


@pytest.mark.parametrize(
    "headers",
    [
        ("(212) 555-0101", "ann@example.com", "web_form"),
        ("Ann", "ann@example.com", "2125550101"),
        ("Leads of May", "", ""),
        ("", "", ""),
    ],
)
def test_a_list_without_header_is_refused_and_names_nobody(policy: Policy, headers: tuple[str, ...]) -> None:
    found = verdict(policy, *headers)

    assert found.code == "no_header"
    assert not any(header and header in found.message + found.remedy for header in headers)


def test_what_a_person_confirmed_wins(policy: Policy) -> None:
    headers = ("phone", "best_number", "email", "consent_source")

    found = verdict(policy, *headers, bestnumber="phone", phone="")

    assert found.mapping["best_number"] == "phone"
    assert found.attributes == ("phone",)


def test_a_suppliers_own_alias_wins_over_the_common_ones(policy: Policy) -> None:
    own = SupplierConsent(column_aliases={"Nummer": "phone"})
    consent = policy.consent.model_copy(update={"suppliers": {"acme": own}})

    found = verdict(policy.model_copy(update={"consent": consent}), "Nummer", "mobile", "email", "consent_source")

    assert found.mapping["Nummer"] == "phone"


def test_frame_columns_are_unique_and_give_the_headers_back() -> None:
    headers = ["line", "email", "email", "", "", "a\x1fb", "_bad_code"]

    names = frame_columns(headers)

    assert len(set(names)) == len(names)
    assert not {"line", "file_no", "_bad_code", "_bad_text"} & set(names)
    assert [header_of(name) for name in names] == ["line", "email", "email", "", "", "a b", "_bad_code"]


def test_a_fingerprint_knows_a_layout_and_its_order() -> None:
    one = header_fingerprint(["file_no", "line", "Phone", "E-mail"])

    assert one == header_fingerprint(["phone", "email"])
    assert one != header_fingerprint(["email", "phone"])
    assert header_key("E_Mail ") == "email"
