"""The raw frame -> accepted leads, quarantined rows and duplicates, and the balance of the three. Pure.

Every row of the files ends in exactly one of them. A quarantined row carries all its codes, the gravest first (how the
row was read, then phone, e-mail, consent), and its original text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lead_intel.columns import BAD_CODE, BAD_TEXT, ColumnVerdict, header_of
from lead_intel.contract import CONSENT_COLUMNS, PERSON_COLUMNS
from lead_intel.errors import RejectedInput
from lead_intel.intake import consent, duplicates, emails, identity, json_text, phones
from lead_intel.intake.counting import BalanceBroken
from lead_intel.intake.settled import vouched_for
from lead_intel.policy import Policy

MAX_ATTRIBUTES = 50
MAX_ATTRIBUTE_CHARS = 500
"""Further columns of a list are kept with each lead: the first 50, each value cut to 500 characters."""

EMAIL_CODES = ("", "email_invalid")

CODES = {
    "phone_blank": "No phone.",
    "phone_invalid": "Not a valid phone number.",
    "phone_damaged": "Digits of the phone were lost, most likely in a spreadsheet.",
    "phone_several": "More than one phone in one cell.",
    "email_invalid": "Not a valid e-mail address.",
    "consent_blank": "No consent source.",
    "consent_unknown": "A consent source that the policy does not know.",
}
"""Codes of rows that were read but not accepted, in words (`tables.ROW_CODES` has those of the reader)."""

_TEXT = pa.large_string()
_FIRST_BREAK = "|"

Ints = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Balance:
    """rows in the files = accepted + quarantined + duplicate."""

    file: int
    accepted: int
    quarantined: int
    duplicate: int


@dataclass(frozen=True)
class Validated:
    """Frames as in `contract`: ValidLeads, QuarantinedRows, DuplicateRows; and their balance."""

    accepted: pd.DataFrame
    quarantined: pd.DataFrame
    duplicates: pd.DataFrame
    balance: Balance

    @property
    def by_code(self) -> dict[str, int]:
        """Quarantined rows by their first code; sums to the quarantined rows."""
        first = self.quarantined["codes"].str.split(_FIRST_BREAK, n=1).str[0]
        return {str(code): int(count) for code, count in first.value_counts().items()}


def validate(raw: pd.DataFrame, verdict: ColumnVerdict, policy: Policy, supplier: str) -> Validated:
    """Judge every row of `raw` (see `raw.raw_frame`; `settled.VOUCHED` may stand beside its columns).

    Raises:
        RejectedInput: the columns do not fit (the verdict's code), there are no rows (`no_rows`), or not one row fits
            the header (`rows_ragged`).
        BalanceBroken: the sums do not balance.
    """
    verdict.refuse_if_unacceptable()
    table = pa.Table.from_pandas(raw, preserve_index=False)
    _refuse_if_hopeless(table)
    readable = pc.equal(table[BAD_CODE], "")
    unread = table.filter(pc.invert(readable))
    rows = table.filter(readable) if unread.num_rows else table
    judged = _judge(rows, verdict.mapping, consent.vocabulary(policy, supplier))
    judged = replace(judged, codes=vouched_for(judged.codes, rows))
    places = np.flatnonzero(pc.equal(judged.codes, "").to_numpy(zero_copy_only=False))
    keys = judged.email.keys.take(pa.array(places))
    folded = duplicates.fold(judged.phone.digits[places], keys)
    lead_ids = identity.lead_ids(judged.phone.digits[places], keys)
    own = np.flatnonzero(~folded.repeats)
    again = np.flatnonzero(folded.repeats)
    accepted = _leads(rows, judged, verdict, places[own], lead_ids.take(pa.array(own)), folded.shared_phone[own])
    repeated = _duplicates(rows, judged, verdict, places[again], lead_ids.take(pa.array(folded.lead[again])))
    bad = pc.not_equal(judged.codes, "")
    quarantined = _quarantined(rows.filter(bad), judged.codes.filter(bad), unread, verdict)
    balance = Balance(table.num_rows, accepted.num_rows, quarantined.num_rows, repeated.num_rows)
    _assert_balanced(balance)
    return Validated(accepted.to_pandas(), quarantined.to_pandas(), repeated.to_pandas(), balance)


@dataclass(frozen=True)
class _Judged:
    """Every readable row's own columns (trimmed), phone, e-mail and codes."""

    ours: dict[str, pa.Array]
    phone: phones.Phones
    email: emails.Emails
    codes: pa.Array


def _judge(rows: pa.Table, mapping: Mapping[str, str], words: tuple[str, ...]) -> _Judged:
    ours = _our_columns(rows, mapping)
    phone = phones.normalised(ours["phone"])
    email = emails.normalised(ours["email"])
    codes = _codes(phone.codes, email.invalid, consent.judged(ours["consent_source"], words))
    return _Judged(ours, phone, email, codes)


def _leads(
    rows: pa.Table, judged: _Judged, verdict: ColumnVerdict, places: Ints, lead_ids: pa.Array, shared_phone: Mask
) -> pa.Table:
    taken = pa.array(places)
    return pa.table(
        {
            "lead_id": lead_ids,
            "phone": judged.phone.digits[places],
            "region": judged.phone.regions.take(taken),
            "email": judged.email.addresses.take(taken),
            **{name: judged.ours[name].take(taken) for name in (*PERSON_COLUMNS, *CONSENT_COLUMNS)},
            "attributes": _attributes(rows, taken, verdict.attributes),
            "file_no": rows["file_no"].take(taken),
            "line": rows["line"].take(taken),
            "shared_phone": shared_phone,
            "email_flags": judged.email.flags.take(taken),
        }
    )


def occurrences(validated: Validated) -> pd.DataFrame:
    """Accepted and duplicate rows as `record.leads.save` takes them, each with its evidence of consent as JSON."""
    accepted = pa.Table.from_pandas(validated.accepted, preserve_index=False)
    leads = accepted.select(["lead_id", "phone", "email", "file_no", "line", "shared_phone", "attributes"])
    leads = leads.append_column("consent", json_text.objects({n: accepted[n] for n in CONSENT_COLUMNS}, leads.num_rows))
    leads = leads.append_column("duplicate", pa.repeat(False, leads.num_rows))  # a value, not a flag
    repeated = pa.Table.from_pandas(validated.duplicates, preserve_index=False)
    repeated = repeated.append_column("duplicate", pa.repeat(True, repeated.num_rows))
    whole = pa.concat_tables([leads, repeated], promote_options="permissive")
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = whole.to_pandas(types_mapper=nullable.get)
    return frame


def _refuse_if_hopeless(table: pa.Table) -> None:
    if not table.num_rows:
        raise RejectedInput("no_rows", "The list has a header and no rows.", "Upload a list with rows.")
    if pc.all(pc.is_in(table[BAD_CODE], pa.array(["row_ragged", "row_quoting"], _TEXT))).as_py():
        raise RejectedInput(
            "rows_ragged",
            "No row has as many cells as the header.",
            "Check the delimiter and the quotation marks, and export the list again.",
        )


def _our_columns(rows: pa.Table, mapping: Mapping[str, str]) -> dict[str, pa.Array]:
    """Every column of ours, trimmed; blank where the list has none."""
    found = {ours: pc.utf8_trim_whitespace(_whole(rows[name])) for name, ours in mapping.items()}
    blank = pa.repeat(pa.scalar("", _TEXT), rows.num_rows)
    return {name: found.get(name, blank) for name in ("phone", "email", *CONSENT_COLUMNS, *PERSON_COLUMNS)}


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks().cast(_TEXT)


def _codes(phone: np.ndarray[Any, Any], email_invalid: Mask, consented: np.ndarray[Any, Any]) -> pa.Array:
    """`|`-joined codes of each row; every combination is written once."""
    sizes = (len(phones.CODES), len(EMAIL_CODES), len(consent.CODES))
    names = [
        _FIRST_BREAK.join(code for code in (a, b, c) if code)
        for a in phones.CODES
        for b in EMAIL_CODES
        for c in consent.CODES
    ]
    place = np.ravel_multi_index((phone, email_invalid.astype(np.int8), consented), sizes)
    return pa.array(names, _TEXT).take(pa.array(place))


def _attributes(rows: pa.Table, taken: pa.Array, names: tuple[str, ...]) -> pa.Array:
    columns = {
        label: pc.utf8_slice_codeunits(_whole(rows[name].take(taken)), 0, MAX_ATTRIBUTE_CHARS)
        for name, label in _labelled(names[:MAX_ATTRIBUTES]).items()
    }
    return json_text.objects(columns, len(taken))


def labels_of(verdict: ColumnVerdict) -> dict[str, str]:
    """Column of the raw frame -> its key in the originals of quarantined rows."""
    return _labelled((BAD_TEXT, *verdict.mapping, *verdict.attributes))


def _labelled(names: tuple[str, ...]) -> dict[str, str]:
    """Column of the frame -> a name for it that is unique among `names`: the header, with a number if it repeats."""
    labels: dict[str, str] = {}
    for position, name in enumerate(names, start=1):
        header = header_of(name).strip() or f"column {position}"
        number = sum(1 for label in labels.values() if label == header or label.startswith(f"{header} ("))
        labels[name] = f"{header} ({number + 1})" if number else header
    return labels


def _duplicates(rows: pa.Table, judged: _Judged, verdict: ColumnVerdict, places: Ints, lead_ids: pa.Array) -> pa.Table:
    taken = pa.array(places)
    evidence = {name: judged.ours[name].take(taken) for name in CONSENT_COLUMNS}
    return pa.table(
        {
            "file_no": rows["file_no"].take(taken),
            "line": rows["line"].take(taken),
            "lead_id": lead_ids,
            "consent": json_text.objects(evidence, len(taken)),
            "attributes": _attributes(rows, taken, verdict.attributes),
        }
    )


def _quarantined(rows: pa.Table, codes: pa.Array, unread: pa.Table, verdict: ColumnVerdict) -> pa.Table:
    """Rows that were judged bad and rows that could not be read, in the order of file and line."""
    labels = labels_of(verdict)

    def original(table: pa.Table) -> pa.Array:
        return json_text.objects({label: table[name] for name, label in labels.items()}, table.num_rows)

    parts = [
        pa.table({"file_no": part["file_no"], "line": part["line"], "codes": its_codes, "original": original(part)})
        for part, its_codes in ((rows, codes), (unread, unread[BAD_CODE]))
    ]
    return pa.concat_tables(parts).sort_by([("file_no", "ascending"), ("line", "ascending")])


def _assert_balanced(balance: Balance) -> None:
    if balance.file != balance.accepted + balance.quarantined + balance.duplicate:
        raise BalanceBroken("balance_broken", f"Rows do not balance: {balance}.")
