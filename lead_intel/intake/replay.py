"""Old quarantine under the rules of today: how many rows would be accepted now, from their stored originals. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd

from lead_intel.columns import BAD_CODE, BAD_TEXT, ColumnVerdict
from lead_intel.errors import RejectedInput
from lead_intel.intake.quarantine import CORRECTION_CODES
from lead_intel.intake.tables import ROW_CODES
from lead_intel.intake.validation import validate
from lead_intel.policy import Policy
from lead_intel.record.quarantine import Column, OpenRow

_NO_RULE = frozenset((*ROW_CODES, *CORRECTION_CODES))
"""Codes of rows that no rule judges: they could not be read, or correct nothing."""


def would_be_accepted(
    rows: Sequence[OpenRow],
    layout: Sequence[Column],
    policy: Policy,
    supplier: str,
    mapping: Mapping[str, str],
    verdict: ColumnVerdict,
    received: date,
) -> int:
    """How many of `rows` today's policy accepts, as leads or as repeats of one.

    Args:
        rows: open rows of one upload.
        layout: the columns of its list.
        policy: today's.
        supplier: whose list it is.
        mapping: column of the raw frame -> our column, as the upload was screened last.
        verdict: on the layout, by today's policy.
        received: the day on which the list came.
    """
    judged = [row for row in rows if not _NO_RULE.intersection(row.codes)]
    if not judged:
        return 0
    if not verdict.acceptable:
        # What was said about this list alone is with the list: its mapping is the one that it was screened with.
        attributes = tuple(column.name for column in layout if column.name not in mapping)
        verdict = ColumnVerdict(dict(mapping), attributes)
    try:
        result = validate(_frame(judged, layout), verdict, policy, supplier, received=received)
    except RejectedInput:
        return 0
    return result.balance.accepted + result.balance.duplicate


def _frame(rows: Sequence[OpenRow], layout: Sequence[Column]) -> pd.DataFrame:
    """The rows as `raw.raw_frame` gave them once."""
    places = {
        "file_no": pd.array([row.place[0] for row in rows], "int64"),
        "line": pd.array([row.place[1] for row in rows], "int64"),
    }
    blank = pd.array([""] * len(rows), "str")
    cells = {column.name: pd.array([row.original.get(column.label, "") for row in rows], "str") for column in layout}
    return pd.DataFrame({**places, BAD_CODE: blank, BAD_TEXT: blank, **cells})
