"""Rows of the raw frame -> leads and quarantined rows, one piece of a list at a time. Pure.

What one row says about another (duplicates, the balance) is not decided here: see `validation`. Imports no policy and
no contract, so that a judging process starts fast.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lead_intel.intake import consent, emails, identity, json_text, phones
from lead_intel.intake.consent import Word
from lead_intel.intake.vouched import vouched_for

MAX_ATTRIBUTE_CHARS = 500

EMAIL_CODES = ("", "email_invalid")
BETWEEN_CODES = "|"

_TEXT = pa.large_string()

Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Rules:
    """All that a piece is judged by, for every piece of one upload the same.

    `mapping`: column of the raw frame -> ours. `attributes`, `original`: column of the raw frame -> its name in the
    JSON of a lead's attributes, and of a quarantined row. `person`, `consent`: our columns beside phone and e-mail.
    `words`: see `consent.vocabulary`. `received`: ISO day on which the list came, for rows that do not say when consent
    was given. `bad_code`: the raw frame's column with the reader's code.
    """

    mapping: dict[str, str]
    attributes: dict[str, str]
    original: dict[str, str]
    person: tuple[str, ...]
    consent: tuple[str, ...]
    words: tuple[Word, ...]
    received: str
    bad_code: str

    def as_json(self) -> dict[str, Any]:
        """For a judging process."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Rules:
        """Back from JSON."""
        lists = {name: tuple(value[name]) for name in ("person", "consent")}
        words = tuple(Word(*word) for word in value["words"])
        return cls(**{**value, **lists, "words": words})


class Judged(NamedTuple):
    """`leads`: rows without a code, as `contract.ValidLeads` but for `shared_phone`, and their evidence of consent as
    JSON in `consent`; repeats are still among them. `quarantined`: as `contract.QuarantinedRows`."""

    leads: pa.Table
    quarantined: pa.Table


def judged(piece: pa.Table, rules: Rules) -> Judged:
    """Judge every row of `piece`: the raw frame's columns, all its text large_string, no nulls."""
    readable = pc.equal(piece[rules.bad_code], "")
    unread = piece.filter(pc.invert(readable))
    rows = (piece.filter(readable) if unread.num_rows else piece).combine_chunks()
    ours = _our_columns(rows, rules)
    phone, email = phones.normalised(ours["phone"]), emails.normalised(ours["email"])
    consented = consent.judged(ours["consent_source"], rules.words, ours["consent_at"], rules.received)
    codes = vouched_for(_codes(phone.codes, email.invalid, consented), rows)
    accepted = np.flatnonzero(pc.equal(codes, "").to_numpy(zero_copy_only=False))
    bad = pc.not_equal(codes, "")
    return Judged(
        _leads(rows, ours, phone, email, accepted, rules),
        _quarantined(rows.filter(bad), codes.filter(bad), unread, rules),
    )


def _our_columns(rows: pa.Table, rules: Rules) -> dict[str, pa.Array]:
    """Every column of ours, trimmed; blank where the list has none."""
    found = {ours: pc.utf8_trim_whitespace(_whole(rows[name])) for name, ours in rules.mapping.items()}
    blank = pa.repeat(pa.scalar("", _TEXT), rows.num_rows)
    return {name: found.get(name, blank) for name in ("phone", "email", *rules.consent, *rules.person)}


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks().cast(_TEXT)


def _codes(phone: np.ndarray[Any, Any], email_invalid: Mask, consented: np.ndarray[Any, Any]) -> pa.Array:
    """`|`-joined codes of each row; every combination is written once."""
    sizes = (len(phones.CODES), len(EMAIL_CODES), len(consent.CODES))
    names = [
        BETWEEN_CODES.join(code for code in (a, b, c) if code)
        for a in phones.CODES
        for b in EMAIL_CODES
        for c in consent.CODES
    ]
    place = np.ravel_multi_index((phone, email_invalid.astype(np.int8), consented), sizes)
    return pa.array(names, _TEXT).take(pa.array(place))


def _leads(
    rows: pa.Table,
    ours: dict[str, pa.Array],
    phone: phones.Phones,
    email: emails.Emails,
    places: np.ndarray[Any, np.dtype[np.int64]],
    rules: Rules,
) -> pa.Table:
    taken, digits = pa.array(places), phone.digits[places]
    evidence = {name: ours[name].take(taken) for name in rules.consent}
    return pa.table(
        {
            "lead_id": identity.lead_ids(digits, email.keys.take(taken)),
            "phone": digits,
            "region": phone.regions.take(taken),
            "email": email.addresses.take(taken),
            **{name: ours[name].take(taken) for name in rules.person},
            **evidence,
            "attributes": _attributes(rows, taken, rules),
            "file_no": rows["file_no"].take(taken),
            "line": rows["line"].take(taken),
            "email_flags": email.flags.take(taken),
            "consent": json_text.objects(evidence, len(taken)),
        }
    )


def _attributes(rows: pa.Table, taken: pa.Array, rules: Rules) -> pa.Array:
    columns = {label: _cut(_whole(rows[name].take(taken))) for name, label in rules.attributes.items()}
    return json_text.objects(columns, len(taken))


def _cut(values: pa.Array) -> pa.Array:
    longest = pc.max(pc.binary_length(values)).as_py() or 0
    return values if longest <= MAX_ATTRIBUTE_CHARS else pc.utf8_slice_codeunits(values, 0, MAX_ATTRIBUTE_CHARS)


def _quarantined(rows: pa.Table, codes: pa.Array, unread: pa.Table, rules: Rules) -> pa.Table:
    """Rows that were judged bad and rows that could not be read, in the order of file and line."""

    def original(table: pa.Table) -> pa.Array:
        return json_text.objects({label: table[name] for name, label in rules.original.items()}, table.num_rows)

    parts = [
        pa.table({"file_no": part["file_no"], "line": part["line"], "codes": its_codes, "original": original(part)})
        for part, its_codes in ((rows, codes), (unread, unread[rules.bad_code]))
        if part.num_rows or part is rows
    ]
    return pa.concat_tables(parts).sort_by([("file_no", "ascending"), ("line", "ascending")])
