"""Repeats: the same leads whatever the order of the rows, and ids that are UUIDv5."""

from __future__ import annotations

import uuid
from itertools import groupby

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lead_intel.intake import identity
from lead_intel.intake.duplicates import Folded, fold

Rows = list[tuple[int, str]]


def folded(rows: Rows) -> Folded:
    return fold(np.array([p for p, _ in rows], np.int64), pa.array([e for _, e in rows], pa.large_string()))


def expected(rows: Rows) -> tuple[list[tuple[int, str]], list[bool]]:
    """The lead (identity) of each row, and whether its phone is shared: the rule, row by row."""
    mails = {
        phone: sorted({email for _, email in group if email})
        for phone, group in groupby(sorted(rows), key=lambda row: row[0])
    }
    leads = [(phone, email or next(iter(mails[phone]), "")) for phone, email in rows]
    return leads, [len(mails[phone]) > 1 for phone, _ in rows]


def test_the_same_phone_and_email_are_one_lead() -> None:
    assert folded([(1, "a"), (2, "a"), (1, "a")]).lead.tolist() == [0, 1, 0]


def test_a_row_without_email_repeats_the_lead_with_one_wherever_it_stands() -> None:
    assert folded([(1, ""), (1, "a")]).lead.tolist() == [1, 1]
    assert folded([(1, ""), (1, "")]).lead.tolist() == [0, 0]


def test_of_two_leads_with_one_phone_the_first_email_takes_the_blank_row() -> None:
    found = folded([(1, "b"), (1, ""), (1, "a"), (2, "c")])

    assert found.lead.tolist() == [0, 2, 2, 3]
    assert found.shared_phone.tolist() == [True, True, True, False]


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["", "a", "b", "c"])), max_size=30))
def test_leads_do_not_depend_on_the_order_of_rows(rows: Rows) -> None:
    found, (leads, shared) = folded(rows), expected(rows)

    assert [rows[place] for place in found.lead] == leads
    assert found.shared_phone.tolist() == shared
    assert sorted({rows[place] for place in found.lead[~found.repeats]}) == sorted(set(leads))
    for place, lead in enumerate(found.lead):
        assert rows.index(rows[lead]) == lead, f"row {place} repeats a row that is not the first"


@given(st.lists(st.tuples(st.integers(10**6, 10**15), st.text(st.characters(codec="utf-8")))))
def test_a_lead_id_is_the_uuid5_of_its_identity(rows: Rows) -> None:
    ids = identity.lead_ids(np.array([p for p, _ in rows], np.int64), pa.array([e for _, e in rows], pa.string()))

    assert ids.to_pylist() == [str(uuid.uuid5(identity.NAMESPACE, f"{p}|{e}")) for p, e in rows]


def test_the_namespace_never_changes() -> None:
    ids = identity.lead_ids(np.array([12125550123]), pa.array(["ann@example.com"]))

    assert ids.to_pylist() == ["697b9708-64b7-5329-a35a-18d168cd9d06"]
