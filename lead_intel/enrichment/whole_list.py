"""An upload's enriched sample, read as what it says about the whole list (`estimate`), and kept in the record."""

from __future__ import annotations

from typing import Any

import pandas as pd
import psycopg

from lead_intel.enrichment.contactable import contactable
from lead_intel.enrichment.estimate import estimate_of
from lead_intel.enrichment.fan_out import FOUND, NOT_ASKED
from lead_intel.enrichment.merge import FIELDS
from lead_intel.policy import Policy
from lead_intel.record import estimates, forecasts, ingestions
from lead_intel.record.frames import read_frame
from lead_intel.settings import Settings

_FOUND = ("ok", "partial")


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
    free = estimates.free_answers(connection, upload)
    vendors = policy.vendors.enrichment
    said = {vendor: merged["outcomes"].str.extract(f'"{vendor}": "([a-z_]+)"')[0] for vendor in vendors}
    told = estimate_of(
        whole,
        merged[["lead_id"]],
        fields={name: merged["provenance"].str.contains(f'"{name}": ', regex=False) for name in FIELDS},
        vendors={vendor: outcome.isin(_FOUND) for vendor, outcome in said.items()},
        # A question without an answer may have been charged: it counts as paid, as in the budget.
        billed={
            vendor: (outcome.notna() & ~outcome.isin((NOT_ASKED, FOUND)))
            & ~merged["lead_id"].isin(free.loc[free["vendor"] == vendor, "lead_id"])
            for vendor, outcome in said.items()
        },
        prices={vendor: policy.limits_of(vendor).price_usd for vendor in vendors},
    )
    estimates.store(connection, upload, told)
    forecasts.end(connection, upload)
    return told


def as_table(told: dict[str, Any]) -> pd.DataFrame:
    """The estimate for people: one row a share, in percent."""
    rows = [
        (f"{label} {name}".strip(), share)
        for label, group in (("found by", "by_vendor"), ("has", "by_field"), ("line type", "line_types"))
        for name, share in told[group].items()
    ]
    return pd.DataFrame(
        [(name, *(f"{share[at]:.1%}" for at in ("value", "low", "high"))) for name, share in rows],
        columns=["of the whole list", "about", "at least", "at most"],
    )
