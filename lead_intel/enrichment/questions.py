"""What each enrichment vendor is asked about a lead, and under which key its answer is bought only once. Pure.

The key (subject) is what the vendor looks at: two leads that share a number or an address share the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lead_intel.calls.ports import Ask, Vendor
from lead_intel.errors import UsageError
from lead_intel.settings import Settings
from lead_intel.vendors.enriching import ENRICHMENT_VENDORS

VENDORS = tuple(ENRICHMENT_VENDORS)
"""The enrichment vendors that the house has rooms for; policy decides which of them are asked and trusted how far."""

PEOPLE_COLUMNS = ("lead_id", "phone", "email", "first_name", "last_name", "city", "state", "postal_code")
"""Columns of the frame `people`: the sampled leads with what may be asked about them (see `contract.ValidLeads`)."""


@dataclass(frozen=True, slots=True)
class Questionnaire:
    """One vendor: `subjects` of a frame of people (blank = nothing to ask), and the question about one row of it."""

    vendor: Vendor
    subjects: Callable[[pd.DataFrame], pd.Series[str]]
    ask: Callable[[Any], Ask]


def questionnaire(vendor: str, settings: Settings) -> Questionnaire:
    """What `vendor` (one of VENDORS) is asked.

    Raises:
        UsageError: no such vendor.
        SetupError: a setting of it is missing.
    """
    if vendor not in ENRICHMENT_VENDORS:
        raise UsageError("vendor_unknown", f"No room enriches with {vendor!r}.", f"There are {', '.join(VENDORS)}.")
    asked = ENRICHMENT_VENDORS[vendor](settings)
    return Questionnaire(asked, asked.subjects, asked.question)


def people_of(sample: pd.DataFrame, valid_leads: pd.DataFrame) -> pd.DataFrame:
    """The sampled leads with PEOPLE_COLUMNS, in the sample's order."""
    return sample[["lead_id"]].merge(
        valid_leads[list(PEOPLE_COLUMNS)], on="lead_id", how="inner", validate="one_to_one"
    )
