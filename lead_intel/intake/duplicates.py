"""Repeats inside one upload: which row is the lead, and which rows only say it again. Pure, vectorised.

The same phone and e-mail are one lead, and its first row is kept. A row with a blank e-mail repeats a lead of its
phone: of several, the one whose e-mail comes first in alphabetical order, wherever it stands in the file, so that
another order of rows gives the same leads. One phone with two e-mails is two leads that share a phone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Ints = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Folded:
    """`lead[i]` is the row that row i is or repeats; a row that is its own is a lead."""

    lead: Ints
    shared_phone: Mask

    @property
    def repeats(self) -> Mask:
        """Rows that are duplicates."""
        return np.asarray(self.lead != np.arange(len(self.lead)))


def fold(phones: Ints, email_keys: pa.Array) -> Folded:
    """Fold rows that stand in the order of the upload (file, line).

    Args:
        phones: E.164 digits.
        email_keys: lower-case normalised e-mails, '' when blank.
    """
    if not len(phones):
        return Folded(np.zeros(0, np.int64), np.zeros(0, bool))
    coded = pc.dictionary_encode(email_keys)
    emails = coded.indices.to_numpy().astype(np.int64)
    blank = pc.equal(email_keys, "").to_numpy(zero_copy_only=False)
    phone, _ = pd.factorize(phones)
    group, _ = pd.factorize(phone * np.int64(len(coded.dictionary)) + emails)
    first = np.empty(group.max() + 1, np.int64)
    first[group[::-1]] = np.arange(len(group))[::-1]
    lead = first[group]
    has_email = np.zeros(phone.max() + 1, bool)
    has_email[phone[~blank]] = True
    orphans = np.flatnonzero(blank & has_email[phone])
    if len(orphans):
        lead[orphans] = _first_by_email(phone, lead, email_keys, blank, phone[orphans])
    own = lead == np.arange(len(lead))
    leads_of_phone = np.bincount(phone[own], minlength=len(has_email))
    return Folded(lead, leads_of_phone[phone] > 1)


def _first_by_email(phone: Ints, lead: Ints, email_keys: pa.Array, blank: Mask, wanted: Ints) -> Ints:
    """For each of the `wanted` phones, the lead whose e-mail comes first."""
    involved = np.zeros(phone.max() + 1, bool)
    involved[wanted] = True
    rows = np.flatnonzero(involved[phone] & ~blank & (lead == np.arange(len(lead))))
    candidates = pa.table({"phone": phone[rows], "email": email_keys.take(pa.array(rows)), "lead": lead[rows]}).sort_by(
        [("phone", "ascending"), ("email", "ascending")]
    )
    ordered = candidates["phone"].to_numpy()
    return np.asarray(candidates["lead"].to_numpy()[np.searchsorted(ordered, wanted, side="left")])
