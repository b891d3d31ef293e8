"""The raw frame -> accepted leads, quarantined rows and duplicates, and the balance of the three.

Every row of the files ends in exactly one of them. A quarantined row carries all its codes, the gravest first (how the
row was read, then phone, e-mail, consent), and its original text. Rows are judged piece by piece (`judging`); here is
what concerns the whole list, which is never in memory at once unless it came as a frame.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lead_intel.columns import BAD_CODE, BAD_TEXT, ColumnVerdict, header_of
from lead_intel.contract import CONSENT_COLUMNS, PERSON_COLUMNS, ValidLeads
from lead_intel.errors import RejectedInput
from lead_intel.intake import consent, duplicates, json_text
from lead_intel.intake.counting import BalanceBroken
from lead_intel.intake.judges import Part, judged_parts
from lead_intel.intake.judging import BETWEEN_CODES, Rules
from lead_intel.intake.tables import BATCH_ROWS
from lead_intel.policy import Policy

MAX_ATTRIBUTES = 50
"""Further columns of a list are kept with each lead: the first 50, each value cut to MAX_ATTRIBUTE_CHARS."""

CODES = {
    "phone_blank": "No phone.",
    "phone_invalid": "Not a valid phone number.",
    "phone_damaged": "Digits of the phone were lost, most likely in a spreadsheet.",
    "phone_several": "More than one phone in one cell.",
    "email_invalid": "Not a valid e-mail address.",
    "consent_blank": "No consent source.",
    "consent_unknown": "A consent source that the policy does not know.",
    "consent_outdated": "A consent source that was not valid on the day when consent was given.",
}
"""Codes of rows that were read but not accepted, in words (`tables.ROW_CODES` has those of the reader)."""

_TEXT = pa.large_string()
_LEAD_COLUMNS = list(ValidLeads.to_schema().columns)
_OCCURRENCE_COLUMNS = ("lead_id", "phone", "email", "file_no", "line", "shared_phone", "attributes", "consent")

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
        first = self.quarantined["codes"].str.split(BETWEEN_CODES, n=1).str[0]
        return {str(code): int(count) for code, count in first.value_counts().items()}


@dataclass(frozen=True)
class JudgedList:
    """A judged list on disk, piece by piece: tables as in `contract`, in the order of file and line.

    `accepted` has a further column, `consent`: the lead's evidence of consent as JSON.
    """

    balance: Balance
    by_code: dict[str, int]
    _parts: tuple[Part, ...]
    _repeats: _Repeats

    def accepted(self) -> Iterator[pa.Table]:
        """Leads, one row a lead."""
        for leads, rows in self._located():
            own, shared, _ = self._repeats.of(rows)
            yield (
                leads.append_column("shared_phone", pa.array(shared))
                .filter(pa.array(own))
                .select([*_LEAD_COLUMNS, "consent"])
            )

    def duplicates(self) -> Iterator[pa.Table]:
        """Repeats, under the lead that they repeat."""
        for leads, rows in self._located():
            own, _, lead_ids = self._repeats.of(rows)
            table = leads.select(["file_no", "line", "consent", "attributes"]).filter(pa.array(~own))
            yield table.add_column(2, "lead_id", lead_ids)

    def quarantined(self) -> Iterator[pa.Table]:
        """Rows that were not accepted."""
        return (part.quarantined() for part in self._parts)

    def _located(self) -> Iterator[tuple[pa.Table, slice]]:
        """Each part's rows without a code, and where they stand among all of them."""
        start = 0
        for part in self._parts:
            leads = part.leads()
            yield leads, slice(start, start + leads.num_rows)
            start += leads.num_rows

    def occurrences(self) -> Iterator[pa.Table]:
        """Accepted and duplicate rows as `record.leads.save` takes them."""
        for leads in self.accepted():
            yield leads.select(_OCCURRENCE_COLUMNS).append_column("duplicate", pa.repeat(False, leads.num_rows))
        for repeated in self.duplicates():
            yield repeated.append_column("duplicate", pa.repeat(True, repeated.num_rows))


@dataclass(frozen=True)
class _Repeats:
    """What the fold found, for the rows whose phone occurs more than once: the others are leads by themselves."""

    rows: Ints
    own: Mask
    shared_phone: Mask
    lead_ids: pa.Array

    def of(self, rows: slice) -> tuple[Mask, Mask, pa.Array]:
        """For a run of rows: is it a lead, does it share its phone, and the leads of those that are none."""
        found = slice(*np.searchsorted(self.rows, [rows.start, rows.stop]))
        places = self.rows[found] - rows.start
        own, shared = np.ones(rows.stop - rows.start, bool), np.zeros(rows.stop - rows.start, bool)
        own[places], shared[places] = self.own[found], self.shared_phone[found]
        lead_ids = self.lead_ids.slice(found.start, found.stop - found.start)
        return own, shared, lead_ids.filter(pa.array(~self.own[found]))


def validate(
    raw: pd.DataFrame,
    verdict: ColumnVerdict,
    policy: Policy,
    supplier: str,
    scratch_parent: Path | None = None,
    *,
    received: date | None = None,
) -> Validated:
    """Judge every row of `raw` and hold the result as frames; raises as `judged_list` does.

    `raw` is as `raw.raw_frame` says; `vouched.VOUCHED` may stand beside its columns.
    """
    table = pa.Table.from_pandas(raw, preserve_index=False)
    pieces = (table.slice(start, BATCH_ROWS) for start in range(0, table.num_rows, BATCH_ROWS))
    with judged_list(pieces, table.num_rows, verdict, policy, supplier, scratch_parent, received=received) as found:
        accepted, quarantined, repeated = (
            pa.concat_tables(tables).to_pandas()
            for tables in (
                (leads.drop_columns(["consent"]) for leads in found.accepted()),
                found.quarantined(),
                found.duplicates(),
            )
        )
        return Validated(accepted, quarantined, repeated, found.balance)


@contextmanager
def judged_list(
    pieces: Iterable[pa.Table],
    rows: int,
    verdict: ColumnVerdict,
    policy: Policy,
    supplier: str,
    scratch_parent: Path | None = None,
    *,
    received: date | None = None,
) -> Iterator[JudgedList]:
    """Judge the `rows` rows of `pieces` (see `raw.raw_pieces`); the result rests on disk while the body runs.

    `received`: the day on which the list came (today by default), for rows that do not say when consent was given.

    Raises:
        RejectedInput: the columns do not fit (the verdict's code), there are no rows (`no_rows`), or not one row fits
            the header (`rows_ragged`).
        BalanceBroken: the sums do not balance.
    """
    verdict.refuse_if_unacceptable()
    if not rows:
        raise RejectedInput("no_rows", "The list has a header and no rows.", "Upload a list with rows.")
    with tempfile.TemporaryDirectory(prefix="judging-", dir=scratch_parent) as scratch:
        counted = _Counted(pieces)
        parts = judged_parts(counted, rows, _rules(verdict, policy, supplier, received), Path(scratch))
        by_code = _by_code(parts)
        if sum(by_code[code] for code in ("row_ragged", "row_quoting")) == rows:
            raise RejectedInput(
                "rows_ragged",
                "No row has as many cells as the header.",
                "Check the delimiter and the quotation marks, and export the list again.",
            )
        repeats, leads = _folded(parts)
        again = int((~repeats.own).sum())
        balance = Balance(counted.rows, leads - again, sum(by_code.values()), again)
        _assert_balanced(balance)
        yield JudgedList(balance, dict(by_code.most_common()), tuple(parts), repeats)


class _Counted:
    """Pieces as they go by, and the number of their rows."""

    def __init__(self, pieces: Iterable[pa.Table]) -> None:
        self._pieces = pieces
        self.rows = 0

    def __iter__(self) -> Iterator[pa.Table]:
        for piece in self._pieces:
            self.rows += piece.num_rows
            yield piece


def _folded(parts: list[Part]) -> tuple[_Repeats, int]:
    """Fold the rows that share their phone with another; only their e-mails are ever in memory together."""
    columns = [np.array(part.leads()["phone"]) for part in parts]
    phones = np.concatenate(columns)
    repeated = pd.Series(phones).duplicated(keep=False).to_numpy()
    edges = np.cumsum([len(column) for column in columns])[:-1]
    some = [
        part.leads().select(["email", "lead_id"]).filter(pa.array(mask))
        for part, mask in zip(parts, np.split(repeated, edges), strict=True)
    ]
    people = pa.concat_tables(some).combine_chunks()
    rows = np.flatnonzero(repeated)
    folded = duplicates.fold(phones[rows], pc.utf8_lower(_whole(people["email"])))
    lead_ids = _whole(people["lead_id"]).take(pa.array(folded.lead))
    return _Repeats(rows, ~folded.repeats, folded.shared_phone, lead_ids), len(phones)


def _by_code(parts: list[Part]) -> Counter[str]:
    found: Counter[str] = Counter()
    for part in parts:
        first = pc.replace_substring_regex(part.quarantined()["codes"], r"\|.*", "")
        found.update({count["values"]: count["counts"] for count in pc.value_counts(first).to_pylist()})
    return found


def _rules(verdict: ColumnVerdict, policy: Policy, supplier: str, received: date | None) -> Rules:
    return Rules(
        mapping=verdict.mapping,
        attributes=_labelled(verdict.attributes[:MAX_ATTRIBUTES]),
        original=labels_of(verdict),
        person=PERSON_COLUMNS,
        consent=CONSENT_COLUMNS,
        words=consent.vocabulary(policy, supplier),
        received=(received or datetime.now(UTC).date()).isoformat(),
        bad_code=BAD_CODE,
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


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks().cast(_TEXT)


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


def _assert_balanced(balance: Balance) -> None:
    if balance.file != balance.accepted + balance.quarantined + balance.duplicate:
        raise BalanceBroken("balance_broken", f"Rows do not balance: {balance}.")
