"""An upload's enriched sample, read as what it says about the whole list (`estimate`), and kept in the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

import pandas as pd
import psycopg

from lead_intel.calls.ports import Vendor
from lead_intel.enrichment.contactable import contactable
from lead_intel.enrichment.estimate import estimate_of
from lead_intel.enrichment.fan_out import FOUND, NOT_ASKED
from lead_intel.enrichment.merge import FIELDS
from lead_intel.enrichment.questions import people_of, questionnaire
from lead_intel.policy import Policy
from lead_intel.record import estimates, forecasts, ingestions, vendor_calls
from lead_intel.record.frames import read_frame
from lead_intel.settings import Settings
from lead_intel.vendors.enriching import ENRICHMENT_VENDORS

_FOUND = ("ok", "partial")
_SETTLED = (*vendor_calls.ANSWERS, NOT_ASKED, FOUND)
"""Outcomes that want for no answer. The others (`auth`, `quota`, `timeout`, ...) say nothing about a lead."""


def tell_whole_list(
    connection: psycopg.Connection, settings: Settings, policy: Policy, upload: str, merged: pd.DataFrame
) -> dict[str, Any]:
    """Estimate, keep and return it; `merged` as in `contract.EnrichedLeads`. The sample's forecast ends here."""
    valid_leads, phone_lookups = (
        read_frame(settings.frames_dir, asset, upload) for asset in ("valid_leads", "phone_lookups")
    )
    whole = contactable(
        connection,
        settings.lead_intel_identity_key,
        upload,
        ingestions.find(connection, upload).supplier,
        valid_leads=valid_leads,
        phone_lookups=phone_lookups,
    )
    people = people_of(whole, valid_leads).merge(whole, on="lead_id")
    enriched = people[["lead_id"]].merge(merged, on="lead_id", how="left")
    said: dict[str, pd.DataFrame] = {}
    billed: dict[str, pd.DataFrame] = {}
    for vendor in policy.vendors.enrichment:
        asked = questionnaire(vendor, settings)
        said[vendor] = people[["lead_id", "stratum"]].assign(
            subject=asked.subjects(people), outcome=enriched["outcomes"].str.extract(f'"{vendor}": "([a-z_]+)"')[0]
        )
        billed[vendor] = _billed(connection, upload, asked.vendor, said[vendor])
    told = estimate_of(
        whole,
        int(enriched["outcomes"].notna().sum()),
        matches={vendor: _matches(leads) for vendor, leads in said.items()},
        fields={name: _having(name, people["stratum"], enriched, said) for name in FIELDS},
        billed=billed,
        prices={vendor: policy.limits_of(vendor).price_usd for vendor in said},
    )
    told["left_out"] = {vendor: int(_wants_answer(leads).sum()) for vendor, leads in said.items()}
    estimates.store(connection, upload, told)
    forecasts.end(connection, upload)
    return told


def _wants_answer(leads: pd.DataFrame) -> pd.Series[bool]:
    """Sampled leads about which the vendor was, or was to be, asked, and has not answered."""
    return leads["outcome"].notna() & ~leads["outcome"].isin(_SETTLED)


def _matches(leads: pd.DataFrame) -> pd.DataFrame:
    """For `estimate_of`: leads that reach the vendor: there is something to ask, and nobody before it has answered."""
    return leads.assign(known=leads["outcome"].isin(vendor_calls.ANSWERS), hit=leads["outcome"].isin(_FOUND))[
        (leads["subject"] != "") & (leads["outcome"] != FOUND)
    ]


def _having(
    field: str, stratum: pd.Series[str], enriched: pd.DataFrame, said: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """For `estimate_of`: leads that any vendor of `field` can be asked about."""
    givers = [leads for vendor, leads in said.items() if field in get_type_hints(ENRICHMENT_VENDORS[vendor].answer)]
    has = enriched["provenance"].str.contains(f'"{field}": ', regex=False, na=False)
    askable = pd.Series(data=False, index=has.index, dtype="bool")
    known = enriched["outcomes"].notna()
    for leads in givers:
        askable |= leads["subject"] != ""
        known &= ~_wants_answer(leads)
    return pd.DataFrame({"stratum": stratum, "known": known | has, "hit": has})[askable]


def _billed(connection: psycopg.Connection, upload: str, vendor: Vendor, leads: pd.DataFrame) -> pd.DataFrame:
    """For `estimate_of`: one row a question, however many leads share it. A question that a waterfall spares is free.

    A question without an answer that may have been charged counts as paid, as in the budget.
    """
    asked = leads[leads["subject"] != ""]
    sampled = asked[asked["outcome"].notna()]
    paid = estimates.billed_subjects(
        connection, upload, vendor.name, vendor.package, sampled["subject"].unique().tolist()
    ).set_index("subject")["billed"]
    spared = sampled.loc[sampled["outcome"] == FOUND, "subject"]
    questions = asked.drop_duplicates("subject")
    charged = questions["subject"].map(paid)
    return questions[["stratum"]].assign(
        known=charged.notna() | questions["subject"].isin(spared), hit=charged.isin([True])
    )


def as_table(told: dict[str, Any]) -> pd.DataFrame:
    """The estimate for people: one row a share, in percent."""
    rows = [
        (f"{label} {name}".strip(), share)
        for label, group in (("match rate of", "by_vendor"), ("has", "by_field"), ("line type", "line_types"))
        for name, share in told[group].items()
    ]
    return pd.DataFrame(
        [(name, *(f"{share[at]:.1%}" for at in ("value", "low", "high"))) for name, share in rows],
        columns=["of the whole list", "about", "at least", "at most"],
    )
