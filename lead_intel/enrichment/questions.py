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
from lead_intel.vendors.people_data_labs import PeopleDataLabs, Person
from lead_intel.vendors.trestle import Trestle
from lead_intel.vendors.zerobounce import ZeroBounce

VENDORS = (PeopleDataLabs.name, ZeroBounce.name, Trestle.name)
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
    """What `vendor` (one of VENDORS) is asked."""
    match vendor:
        case PeopleDataLabs.name:
            people_data_labs = PeopleDataLabs(settings)
            return Questionnaire(
                people_data_labs,
                lambda people: people["lead_id"],
                lambda row: people_data_labs.ask_about(row.lead_id, _person(row)),
            )
        case ZeroBounce.name:
            zerobounce = ZeroBounce(settings)
            return Questionnaire(
                zerobounce, lambda people: people["email"].str.lower(), lambda row: zerobounce.ask_about(row.email)
            )
        case Trestle.name:
            trestle = Trestle(settings)
            return Questionnaire(
                trestle, lambda people: people["phone"].astype("str"), lambda row: trestle.ask_about(row.phone)
            )
    raise UsageError("vendor_unknown", f"No room enriches with {vendor!r}.", f"There are {', '.join(VENDORS)}.")


def people_of(sample: pd.DataFrame, valid_leads: pd.DataFrame) -> pd.DataFrame:
    """The sampled leads with PEOPLE_COLUMNS, in the sample's order."""
    return sample[["lead_id"]].merge(
        valid_leads[list(PEOPLE_COLUMNS)], on="lead_id", how="inner", validate="one_to_one"
    )


def _person(row: Any) -> Person:
    return Person(
        phone=row.phone,
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
        city=row.city,
        state=row.state,
        postal_code=row.postal_code,
    )
