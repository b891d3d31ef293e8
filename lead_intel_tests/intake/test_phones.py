"""Phones: libphonenumber's rules, the traps decided on purpose, and the vectorised path equal to the rule."""

from __future__ import annotations

import random

import numpy as np
import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_intel.intake import phones
from lead_intel.intake.nanp import ASK, nanp_table
from lead_intel.intake.phones_fast import fast_digits

SHAPES = [
    "(212) 555-0123", "+1 212-555-0123", "12125550123", "1.212.555.0123", "212/555-0123", "212 555 0123 x12",
    "2125550123.0", "12125550123.0", "tel:+1-212-555-0123", "416\u2011555\u20110123", "212\u00a0555\u00a00123",
    "(+1) 212 555 0123", "+44 7911 123456", "O2125550123", "310-1234", "1.2125550199E+10", "2.12555E+09",
    "212-555-0123 ext. 5", "800-555-0199", "900-555-0199", "N/A", "-10395", "########", "2026-01-05",
    "212\u200b5550123", "011 44 20 7946 0018", "1-800-FLOWERS", "212-555-0123 / 212-555-0124",
    "2125550123;2125550124", "876-606-1234",
    "246 521 1234", "none", "２１２５５５０１２３", "#N/A", "+1 1 212 555 0123", "212O5550123", "1 212 555 0123 7",
]  # fmt: skip
LETTERS = [*"0123456789" * 3, *" -.()+xXeEtO/#,;~'\n", "\u00a0", "\u2011", "\u200b", "tel:", "ext", "٢", "１", ".0"]


@pytest.mark.parametrize(
    ("text", "digits", "region"),
    [
        ("(212) 555-0123", 12125550123, "US"),
        ("+1 416 555 0123", 14165550123, "CA"),
        ("876-555-0123", 18765550123, "JM"),
        ("800 555 0199", 18005550199, "US"),
        ("+44 20 7946 0018", 442079460018, "GB"),
        ("011 44 20 7946 0018", 442079460018, "GB"),
        ("+800 1234 5678", 80012345678, "001"),
        ("212-555-0123 x44", 12125550123, "US"),
        ("tel:+1-212-555-0123", 12125550123, "US"),
        ("'2125550123", 12125550123, "US"),
        ("２１２５５５０１２３", 12125550123, "US"),
        ("\u202a212\u200b5550123\u202c", 12125550123, "US"),
        ("2125550123.0", 12125550123, "US"),
        ("1.2125550123E+10", 12125550123, "US"),
        ("1-800-FLOWERS", 18003569377, "US"),
    ],
)
def test_numbers_that_are_accepted(text: str, digits: int, region: str) -> None:
    assert phones.judge(text) == (digits, region, "")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "phone_blank"),
        (" \u200b\u00a0", "phone_blank"),
        ("310-1234", "phone_invalid"),
        ("911", "phone_invalid"),
        ("212-155-0123", "phone_invalid"),
        ("112-555-0123", "phone_invalid"),
        ("02125550123", "phone_invalid"),
        ("12345678901234", "phone_invalid"),
        ("n/a", "phone_invalid"),
        ("2.12555E+09", "phone_damaged"),
        ("212555012.0", "phone_invalid"),
        ("########", "phone_damaged"),
        ("#N/A", "phone_damaged"),
        ("-10395", "phone_damaged"),
        ("2026-01-05 00:00:00", "phone_damaged"),
        ("212O5550123", "phone_damaged"),
        ("212-555-0123 / 212-555-0124", "phone_several"),
        ("2125550123;2125550124", "phone_several"),
        ("212-555-0123, 212-555-0124", "phone_several"),
        ("212-555-0123 or 212-555-0124", "phone_several"),
    ],
)
def test_numbers_that_are_not_accepted_say_why(text: str, code: str) -> None:
    assert phones.judge(text) == (0, "", code)


def column(texts: list[str]) -> list[phones.Phone]:
    found = phones.normalised(pa.array(texts, pa.large_string()))
    return [
        phones.Phone(int(d), r, phones.CODES[c])
        for d, r, c in zip(found.digits, found.regions.to_pylist(), found.codes, strict=True)
    ]


def fast(texts: list[str]) -> list[phones.Phone | None]:
    """What the fast path says, None where it leaves the text to the judge."""
    stripped = pa.array([text.strip() for text in texts], pa.large_string())
    found = fast_digits(stripped)
    regions = [found.region_names[r] if r >= 0 else "" for r in found.regions]
    return [
        (phones.Phone(int(d), r, "") if d else phones.Phone(0, "", "phone_invalid")) if decided else None
        for d, r, decided in zip(found.digits, regions, found.decided, strict=True)
    ]


@st.composite
def edited(draw: st.DrawFn) -> str:
    """A common shape with other digits and up to three edits."""
    text = [
        draw(st.sampled_from("0123456789")) if c in "0123456789" and draw(st.booleans()) else c
        for c in draw(st.sampled_from(SHAPES))
    ]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text[at : at + draw(st.integers(0, 1))] = [draw(st.sampled_from(["", *LETTERS]))]
    return "".join(text)


@settings(max_examples=200, deadline=None)
@given(st.lists(edited() | st.text(max_size=16), min_size=1, max_size=20))
def test_what_the_fast_path_decides_is_what_the_rule_says(texts: list[str]) -> None:
    for text, answer in zip(texts, fast(texts), strict=True):
        assert answer is None or answer == phones.judge(text), repr(text)


def _edited_at_random(rng: random.Random) -> str:
    text = [str(rng.randrange(10)) if c.isdecimal() and rng.random() < 0.4 else c for c in rng.choice(SHAPES)]
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(text) + 1)
        text[at : at + rng.randrange(2)] = rng.choice(LETTERS)
    return "".join(text)


def test_a_long_column_equals_the_rule_text_by_text() -> None:
    """Above the size from which the table is used, with every shape in it; the seed is in the message."""
    seed = random.randrange(10**9)
    rng = random.Random(seed)
    texts = [_edited_at_random(rng) for _ in range(phones.TABLE_PAYS_FROM + 3000)]
    assert len({answer is None for answer in fast(texts)}) == 2

    for text, answer in zip(texts, column(texts), strict=True):
        assert answer == phones.judge(text), (seed, text)


def test_a_short_column_equals_the_rule_too() -> None:
    assert column(SHAPES) == [phones.judge(text) for text in SHAPES]
    assert column([]) == []


def test_the_table_is_libphonenumber_for_every_kind_of_prefix() -> None:
    table, rng = nanp_table(), np.random.default_rng()
    prefixes = rng.integers(200_000, 1_000_000, 4000)
    for prefix in prefixes[table.codes[prefixes] != ASK]:
        number = phonenumbers.PhoneNumber(
            country_code=1, national_number=int(prefix) * 10_000 + int(rng.integers(10_000))
        )
        valid = phonenumbers.is_valid_number(number)
        region = phonenumbers.region_code_for_number(number) if valid else None
        code = table.codes[prefix]
        assert (table.regions[code - 1] if code else None) == region, number


def test_few_prefixes_need_to_be_asked_for() -> None:
    assert 0 < (nanp_table().codes == ASK).sum() < 50
