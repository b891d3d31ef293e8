"""When consent was given, from what lists write. Pure and vectorised; a time that cannot be read is never guessed."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd

_DAY_FIRST_IS_REFUSED = (
    "%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p",
)  # fmt: skip
"""What American lists write besides ISO 8601. Two readings are not offered: 13/05/2026 is no time."""

_ISO = r"\d{4}-\d{2}-\d{2}(?:[T ].*)?"
_ZONED = r".*(?:Z|[+-]\d{2}:?\d{2})"
_EPOCHS = ((r"1\d{9}", 1), (r"1\d{12}", 0.001))
"""Seconds and milliseconds since 1970; the value is the seconds in one unit."""

# A time without a zone was written somewhere on earth: at most 14 hours ahead of UTC.
_ZONELESS_SLACK = timedelta(hours=14)
_CLOCK_SLACK = timedelta(minutes=5)


def consent_times(texts: pd.Series) -> pd.DataFrame:
    """Columns `at` (UTC, NaT where blank or unreadable) and `slack` (how far ahead of UTC it may have been written)."""
    distinct = texts.str.strip().drop_duplicates()
    at = pd.to_datetime(distinct.where(distinct.str.fullmatch(_ISO)), format="ISO8601", utc=True, errors="coerce")
    for pattern, unit in _EPOCHS:
        numbers = pd.to_numeric(distinct.where(distinct.str.fullmatch(pattern)), errors="coerce")
        at = at.fillna(pd.to_datetime(numbers * unit, unit="s", utc=True, errors="coerce"))
    for layout in _DAY_FIRST_IS_REFUSED:
        unread = distinct.where(at.isna())
        at = at.fillna(pd.to_datetime(unread, format=layout, utc=True, errors="coerce"))
    zoned = distinct.str.fullmatch(_ZONED) | distinct.str.fullmatch(r"\d{10,13}")
    slack = pd.Series(_ZONELESS_SLACK, index=distinct.index).where(~zoned, _CLOCK_SLACK)
    known = pd.DataFrame({"text": distinct, "at": at, "slack": slack}).set_index("text")
    found = known.reindex(texts.str.strip())
    found.index = texts.index
    return found
