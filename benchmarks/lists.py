"""A dirty list of leads, generated: the same rows for the same seed, a million in seconds.

Twelve columns. Phones in twenty-two shapes, 5 % junk, 3 % from abroad, 3 % of the rows repeat another row's person;
e-mails 3 % bad, 2 % with a plus tag, 5 % in upper case, 0.3 % with an international domain; 1 % unknown consent.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
from pyarrow import csv

from lead_intel.intake.nanp import nanp_table

CHUNK = 250_000
SEED = 20261124

HEADERS = (
    "phone", "email", "first_name", "last_name", "city", "state", "postal_code",
    "consent_source", "consent_at", "consent_url", "campaign", "notes",
)  # fmt: skip

# a = area code, b = exchange, c = line; the weight beside each.
SHAPES = {
    "aaabbbcccc": 16, "(aaa) bbb-cccc": 14, "aaa-bbb-cccc": 14, "+1aaabbbcccc": 12, "1aaabbbcccc": 6,
    "aaa.bbb.cccc": 6, "+1 aaa bbb cccc": 4, "+1 (aaa) bbb-cccc": 4, "1-aaa-bbb-cccc": 3, "aaa bbb cccc": 3,
    "1 (aaa) bbb-cccc": 2, "(aaa)bbb-cccc": 2, "+1-aaa-bbb-cccc": 2, "aaabbbcccc.0": 1.5, "1aaabbbcccc.0": 0.5,
    "aaa-bbb-cccc x12": 0.7, "aaa-bbb-cccc ext. 5": 0.5, "aaa\u2011bbb\u2011cccc": 0.5, "aaa\u00a0bbb\u00a0cccc": 0.5,
    "tel:+1-aaa-bbb-cccc": 0.4, "aaa/bbb-cccc": 0.4, " aaabbbcccc ": 1,
}  # fmt: skip

JUNK = (
    "n/a", "none", "unknown", "0000000000", "1111111111", "123", "555-1212", "do not call", "########",
    "1.23457E+09", "2026-01-05", "-", "x", "call me later", "999-999-9999", "12345678901234567", "#N/A", "",
)  # fmt: skip

# Country code, number of national digits, and how national mobile or fixed numbers begin.
ABROAD = (
    ("44", 10, "7911"), ("49", 10, "3012"), ("33", 9, "61"), ("52", 10, "551"), ("61", 9, "41"), ("91", 10, "98"),
    ("34", 9, "61"), ("39", 10, "32"), ("55", 11, "119"), ("81", 10, "901"),
)  # fmt: skip

FIRST = ("Mary", "José", "John", "Patricia", "Robert", "Jennifer", "Michael", "Linda", "Zoë", "William", "D'Arcy", "Li")
LAST = ("Smith", "Johnson", "Williams", "Brown", "Jones", "García", "Miller", "Davis", "O'Neil", "Nguyễn", "Lee", "Ng")
CITIES = ("Springfield", "Portland, OR", "Austin", "San José", "New York", "Dallas", "St. Louis", "Miami", "Boise")
STATES = ("NY", "CA", "TX", "FL", "OR", "MO", "ID", "IL", "WA", "GA")
DOMAINS = (
    "gmail.com",
    "yahoo.com",
    "hotmail.com",
    "aol.com",
    "outlook.com",
    "icloud.com",
    "comcast.net",
    "example.org",
)
INTERNATIONAL = ("müller.de", "bücher.example.com", "例え.jp", "España.es", "почта.рф")
BAD_EMAILS = ("none@none", "x@gmail", "a b@gmail.com", "@gmail.com", "joe@", "joe@@gmail.com", "joe.gmail.com", "n/a")
SOURCES = ("web_form", "phone_ivr", "event_2026", "jornaya", "partner:acme", "trustedform")
NOTES = ("", "", "", "call after 5pm", "prefers e-mail", 'said "maybe"', "moved; see file", "café owner, two cars")

Words = tuple[str, ...]


def write_list(path: Path, rows: int, seed: int = SEED) -> None:
    """Write `rows` rows to `path` as CSV."""
    with path.open("wb") as file:
        for number, table in enumerate(list_tables(rows, seed)):
            csv.write_csv(table, file, csv.WriteOptions(include_header=number == 0, quoting_style="needed"))


def list_tables(rows: int, seed: int = SEED) -> Iterator[pa.Table]:
    """The list's rows in pieces."""
    for number, start in enumerate(range(0, rows, CHUNK)):
        yield _piece(np.random.default_rng([seed, number]), min(CHUNK, rows - start))


def _piece(rng: np.random.Generator, rows: int) -> pa.Table:
    first, last = _picked(rng, FIRST, rows), _picked(rng, LAST, rows)
    national = _national(rng, rows)
    phone, email = _phones(rng, national), _emails(rng, rows)
    # 3 % of the rows are the person of another row again, one in three of them without the e-mail.
    person = np.arange(rows)
    again = rng.random(rows) < 0.03
    person[again] = rng.integers(0, rows, int(again.sum()))
    phone, email = phone.take(pa.array(person)), email.take(pa.array(person))
    email = pc.if_else(pa.array(again & (rng.random(rows) < 0.33)), "", email)
    day = rng.integers(0, 700, rows)
    columns = (
        phone, email, first, last, _picked(rng, CITIES, rows), _picked(rng, STATES, rows),
        _digits(rng.integers(501, 99_999, rows), 5), _consent(rng, rows),
        pc.strftime(pa.array(np.datetime64("2024-12-01T08:00:00") + day * np.timedelta64(86_400 + 61, "s")),
                    "%Y-%m-%dT%H:%M:%SZ"),
        _joined("https://offers.example.com/f/", _text(rng.integers(10_000, 99_999, rows))),
        _joined("spring-", _text(rng.integers(1, 40, rows))), _picked(rng, NOTES, rows),
    )  # fmt: skip
    return pa.table(dict(zip(HEADERS, columns, strict=True)))


def _national(rng: np.random.Generator, rows: int) -> np.ndarray:
    table = nanp_table()
    place = tuple(COUNTRY_CODE_TO_REGION_CODE[1]).index("US") + 1
    prefixes = np.flatnonzero(table.codes == place)
    return rng.choice(prefixes, rows).astype(np.int64) * 10_000 + rng.integers(0, 10_000, rows)


def _phones(rng: np.random.Generator, national: np.ndarray) -> pa.Array:
    rows = len(national)
    weights = np.array(list(SHAPES.values()), float)
    shape = rng.choice(len(SHAPES), rows, p=weights / weights.sum())
    kind = rng.random(rows)
    junk, abroad = kind < 0.05, (kind >= 0.05) & (kind < 0.08)
    texts = np.empty(rows, object)
    for number, name in enumerate(SHAPES):
        places = np.flatnonzero((shape == number) & ~junk & ~abroad)
        texts[places] = _shaped(name, national[places]).to_pylist()
    texts[junk] = _junk(rng, int(junk.sum()))
    texts[abroad] = _abroad(rng, int(abroad.sum()))
    return pa.array(texts, pa.string())


def _junk(rng: np.random.Generator, rows: int) -> list[str]:
    """Words and the like; else digits, too many, too few, or of no area code, with or without marks."""
    words = _picked(rng, JUNK, rows).to_pylist()
    kind, length = rng.random(rows).tolist(), rng.integers(4, 14, rows).tolist()
    digits = rng.integers(10**13, 10**14, rows).tolist()
    return [
        word if how < 0.4 else f"{number}"[:size] if how < 0.8 else f"({number % 1000:03}) {number}"[:size]
        for word, how, size, number in zip(words, kind, length, digits, strict=True)
    ]


def _shaped(shape: str, national: np.ndarray) -> pa.Array:
    parts = {"a": (national // 10**7, 3), "b": (national // 10**4 % 1000, 3), "c": (national % 10**4, 4)}
    runs: list[str] = []
    for letter in shape:
        if runs and letter in parts and runs[-1][0] == letter:
            runs[-1] += letter
        else:
            runs.append(letter)
    return _joined(*(_digits(*parts[run[0]]) if len(run) > 2 else run for run in runs))


def _abroad(rng: np.random.Generator, rows: int) -> list[str]:
    which = rng.integers(0, len(ABROAD), rows)
    tails = rng.integers(0, 10**11, rows)
    spaced = rng.random(rows) < 0.5
    numbers = []
    for place, tail, space in zip(which.tolist(), tails.tolist(), spaced.tolist(), strict=True):
        code, length, begin = ABROAD[place]
        rest = f"{tail:011d}"[: length - len(begin)]
        numbers.append(f"+{code} {begin} {rest}" if space else f"+{code}{begin}{rest}")
    return numbers


def _emails(rng: np.random.Generator, rows: int) -> pa.Array:
    local = _joined(
        pc.utf8_lower(pc.replace_substring_regex(_picked(rng, FIRST, rows), "[^A-Za-z]", "")),
        ".",
        pc.utf8_lower(pc.replace_substring_regex(_picked(rng, LAST, rows), "[^A-Za-z]", "")),
        _text(rng.integers(1, 10**6, rows)),
    )
    small = _joined("mail", _text(rng.integers(1, 4_000, rows)), ".example.com")
    domain = pc.if_else(pa.array(rng.random(rows) < 0.1), small, _picked(rng, DOMAINS, rows))
    kind = rng.random(rows)
    local = pc.if_else(pa.array(kind < 0.02), _joined(local, "+leads"), local)
    domain = pc.if_else(pa.array((kind >= 0.02) & (kind < 0.023)), _picked(rng, INTERNATIONAL, rows), domain)
    whole = _joined(local, "@", domain)
    whole = pc.if_else(pa.array((kind >= 0.03) & (kind < 0.08)), pc.utf8_upper(whole), whole)
    bad = _joined(_text(rng.integers(1, 99, rows)), _picked(rng, BAD_EMAILS, rows))
    return pc.if_else(pa.array(kind >= 0.97), bad, whole)


def _consent(rng: np.random.Generator, rows: int) -> pa.Array:
    known = _picked(rng, SOURCES, rows)
    kind = rng.random(rows)
    return pc.if_else(pa.array(kind < 0.007), "bought", pc.if_else(pa.array(kind > 0.997), "", known))


def _picked(rng: np.random.Generator, words: Words, rows: int) -> pa.Array:
    return pa.array(words, pa.string()).take(pa.array(rng.integers(0, len(words), rows)))


def _text(numbers: np.ndarray) -> pa.Array:
    return pc.cast(pa.array(numbers), pa.string())


def _digits(numbers: np.ndarray, width: int) -> pa.Array:
    return pc.utf8_lpad(_text(numbers), width, "0")


def _joined(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")
