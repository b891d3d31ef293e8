"""Consent as evidence: which columns a profile asks for, whether they are given, and whether its time can stand.

Pure and vectorised. Rules: policy `consent.yml`, 16 CFR 310.5(a)(8).
"""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from lead_intel.consent_time import consent_times as consent_times  # part of what this module offers


def missing_evidence(leads: pd.DataFrame, asked: tuple[str, ...]) -> pd.Series:
    """True where one of the columns that a contact needs is blank; `a|b` asks for one of the two."""
    missing = pd.Series(data=False, index=leads.index)
    for alternatives in asked:
        given = pd.Series(data=False, index=leads.index)
        for column in alternatives.split("|"):
            given |= leads[column].str.strip() != ""
        missing |= ~given
    return missing


def invalid_times(texts: pd.Series, times: pd.DataFrame, now: datetime) -> pd.Series:
    """True where a consent time is given but unreadable, or lies in the future."""
    given = texts.str.strip() != ""
    future = times["at"] > (pd.Timestamp(now) + times["slack"])
    return given & (times["at"].isna() | future)


def too_old(times: pd.DataFrame, now: datetime, max_age_days: int) -> pd.Series:
    """True where consent is older than policy allows."""
    return times["at"] < (pd.Timestamp(now) - pd.Timedelta(days=max_age_days))
