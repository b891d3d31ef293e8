"""The vectorised path against the rule, text by text: `python -m benchmarks.equality --values 2000000`.

Phones and e-mails, half of them ordinary ones edited at random, half written to provoke. Prints how many were
compared, how many of them the fast paths decided, and every difference; ends with 1 when there is one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
import pyarrow as pa

from benchmarks.lists import SEED, list_tables
from lead_intel.intake import consent, emails, phones
from lead_intel.intake.phones_fast import fast_digits

PHONE_LETTERS = [
    *"0123456789" * 4, *" -.()+/" * 2, *"xXeEtO#,;~'\n:&|lSB", "\u00a0", "\u2011", "\u200b", "\u3000", "\uff0d", "tel:",
    "ext", "ext. ", "٢", "１", ".0", ".00", "011", "+1", "+44", "1", "11", "e+", "E+09", " or ", "  ", "\t", "\x1c",
    "\x85", "\u2028", "\ufeff", "ａ",
]  # fmt: skip
EMAIL_LETTERS = [
    *"abcxyz019" * 3, *"@..--_+" * 2, *"\"'()<>,;:\\[] \t\n!#$%&*/=?^`{|}~", "é", "ß", "ı", "İ", "ﬁ", "K", "。", "＠",
    "．", "\u200d", "\u200b", "\u00a0", "\u0301", "xn--", "xn--mller-kva", "gmail.com", "EXAMPLE.COM", ".test",
    ".local", "例え.jp", "почта.рф", "a" * 30, "b" * 63, "\x1c", "\x00", "\u2028", "🙂", ".museum", "localhost",
    "[127.0.0.1]", "--", "b.c", "1.2.3.4",
]  # fmt: skip
RECEIVED = "2026-02-01"
CONSENT_LETTERS = [*"web_form", "event_", "partner:", "WEB_FORM", " ", "\u00a0", "ß", "ſ", "K", "", "*", "jornaya"]


def phone_texts(rng: np.random.Generator, size: int) -> list[str]:
    return _mixed(rng, size, _column("phone", size, rng), PHONE_LETTERS, 22)


def email_texts(rng: np.random.Generator, size: int) -> list[str]:
    return _mixed(rng, size, _column("email", size, rng), EMAIL_LETTERS, 9)


def _column(name: str, size: int, rng: np.random.Generator) -> list[str]:
    return next(list_tables(size, int(rng.integers(1 << 30))))[name].to_pylist()


def _mixed(rng: np.random.Generator, size: int, ordinary: list[str], letters: list[str], longest: int) -> list[str]:
    """A third as generated, a third of these edited in one to three places, a third made of letters."""
    edited, made = size // 3, 2 * size // 3
    texts = ordinary[:edited]
    for text in ordinary[edited:made]:
        cells = list(text)
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(0, len(cells) + 1))
            letter = letters[int(rng.integers(len(letters)))]
            cells[place : place + int(rng.integers(0, 2))] = [letter]
        texts.append("".join(cells))
    picks = rng.integers(0, len(letters), (size - made, longest))
    lengths = rng.integers(1, longest + 1, size - made)
    texts += ["".join(letters[i] for i in row[:n]) for row, n in zip(picks.tolist(), lengths.tolist(), strict=True)]
    return texts


def phone_differences(texts: list[str]) -> list[tuple[str, object, object]]:
    found = phones.normalised(pa.array(texts, pa.large_string()))
    codes = [phones.CODES[code] for code in found.codes]
    answers = zip(texts, zip(found.digits.tolist(), found.regions.to_pylist(), codes, strict=True), strict=True)
    return [(text, fast, rule) for text, fast in answers if fast != (rule := tuple(phones.judge(text)))]


def email_differences(texts: list[str]) -> list[tuple[str, object, object]]:
    found = emails.normalised(pa.array(texts, pa.large_string()))
    codes = ["email_invalid" if invalid else "" for invalid in found.invalid.tolist()]
    answers = zip(texts, zip(found.addresses.to_pylist(), codes, strict=True), strict=True)
    return [(text, fast, rule) for text, fast in answers if fast != (rule := emails.judge(text))]


def consent_differences(rng: np.random.Generator, size: int) -> list[tuple[str, object, object]]:
    words = (
        consent.Word("web_form"),
        consent.Word("event_*"),
        consent.Word("partner:*", "2026-01-01", "2026-06-30"),
        consent.Word("jornaya", last="2025-12-31"),
        consent.Word("straße"),
    )
    picks = rng.integers(0, len(CONSENT_LETTERS), (size, 9))
    texts = ["".join(CONSENT_LETTERS[i] for i in row[: 1 + row[0] % 9]) for row in picks.tolist()]
    days = (np.datetime64("2025-06-01") + rng.integers(0, 600, size)).astype(str).tolist()
    given = ["" if n % 5 == 0 else f"{day}T12:00:00Z" for n, day in enumerate(days)]
    coded = consent.judged(pa.array(texts, pa.large_string()), words, pa.array(given, pa.large_string()), RECEIVED)
    fast = [consent.CODES[code] for code in coded]
    rules = [consent.judge(text, words, at[:10] or RECEIVED) for text, at in zip(texts, given, strict=True)]
    return [(t, f, rule) for t, f, rule in zip(texts, fast, rules, strict=True) if f != rule]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equality", description=__doc__)
    parser.add_argument("--values", type=int, default=2_000_000, help="texts in all (default: 2,000,000)")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--batch", type=int, default=100_000, help="texts of a kind at once; the fast path wants 5,000")
    asked = parser.parse_args()
    started, compared, decided = time.monotonic(), {"phone": 0, "email": 0, "consent": 0}, 0
    differences: list[tuple[str, object, object]] = []
    batch = 0
    while sum(compared.values()) < asked.values:
        rng = np.random.default_rng([asked.seed, batch])
        numbers, addresses = phone_texts(rng, asked.batch), email_texts(rng, asked.batch)
        trimmed = phones._one_array(pa.array(numbers, pa.large_string()))
        decided += int(fast_digits(trimmed).decided.sum())
        differences += phone_differences(numbers) + email_differences(addresses)
        differences += consent_differences(rng, asked.batch // 10)
        compared["phone"] += asked.batch
        compared["email"] += asked.batch
        compared["consent"] += asked.batch // 10
        batch += 1
        sys.stderr.write(f"{sum(compared.values()):,} compared, {len(differences)} differences\n")
    for text, fast, rule in differences[:50]:
        print(f"{text!r}: {fast} but the rule says {rule}")
    seconds = round(time.monotonic() - started)
    print(json.dumps({"compared": compared, "phones_decided_fast": decided, "differences": len(differences),
                      "seconds": seconds}))  # fmt: skip
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
