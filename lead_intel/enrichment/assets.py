"""The Dagster face of enrichment: the sample, one asset per vendor, the merged leads. No logic of its own."""

# Without `from __future__ import annotations`: Dagster reads the annotation of `context` as an object.

from collections.abc import Iterator
from decimal import Decimal
from statistics import median

import dagster as dg
import pandas as pd

from lead_intel.contract import EnrichedLeads, LeadSample, VendorAnswers, checked
from lead_intel.enrichment.contactable import contactable
from lead_intel.enrichment.fan_out import Errand, VendorResult, fan_out
from lead_intel.enrichment.forecast import record_forecast_of_draw
from lead_intel.enrichment.merge import FIELDS, Rule, as_json, merged_of, values_of
from lead_intel.enrichment.questions import people_of
from lead_intel.enrichment.sampling import draw, sample_key, staying
from lead_intel.enrichment.whole_list import as_table, tell_whole_list
from lead_intel.partition import UPLOADS
from lead_intel.record import enriched_values, samples
from lead_intel.record.announcements import announce_sample
from lead_intel.record.spend import usd
from lead_intel.stage import stage_of
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import State
from lead_intel.vendors.enriching import ENRICHMENT_VENDORS

_STAGE = "enrichment"

Metadata = dict[str, dg.MetadataValue | float | int | str]


@dg.asset(
    partitions_def=UPLOADS,
    group_name=_STAGE,
    kinds={"pandas", "postgres"},
    # Verdicts are read from the record, as they are now: who opted out since the screening is told no vendor.
    deps=["dnc_verdicts"],
    description="The chosen percent of the leads that may be contacted: nested, stratified by line type and supplier.",
)
def lead_sample(
    context: dg.AssetExecutionContext,
    surroundings: Surroundings,
    valid_leads: pd.DataFrame,
    phone_lookups: pd.DataFrame,
) -> dg.Output[pd.DataFrame]:
    """See `contactable` and `sampling.draw`. No percent chosen is a percent of 0: the empty sample."""
    with stage_of(context, surroundings, _STAGE, State.ENRICHING) as at_work:
        ingestion, sampling = at_work.ingestion, at_work.policy.sampling
        percent = ingestion.sample_percent or Decimal(0)
        identity_key = at_work.settings.lead_intel_identity_key
        key = sample_key(identity_key.get_secret_value(), sampling.key_version)
        leads = contactable(
            at_work.connection,
            identity_key,
            at_work.upload,
            ingestion.supplier,
            valid_leads=valid_leads,
            phone_lookups=phone_lookups,
        )
        earlier = samples.drawn_earlier(
            at_work.connection, at_work.upload, ingestion.supplier, sampling.key_version, percent
        )
        sample = checked(draw(leads, percent, sampling.minimum_per_stratum, key, staying(leads, earlier)), LeadSample)
        with at_work.connection.transaction():
            samples.replace(at_work.connection, at_work.upload, sample)
            samples.keep_draw(at_work.connection, at_work.upload, sampling.key_version, percent)
        record_forecast_of_draw(at_work.connection, at_work.settings, at_work.policy, at_work.upload, percent)
        announce_sample(at_work.settings, ingestion, len(sample))
        return dg.Output(sample, metadata=_sample_account(leads, sample, percent))


@dg.multi_asset(
    name="enrichment",
    outs={
        vendor: dg.AssetOut(key=["enrichment", vendor], is_required=False, description=kind.about, kinds={"postgres"})
        for vendor, kind in ENRICHMENT_VENDORS.items()
    },
    partitions_def=UPLOADS,
    group_name=_STAGE,
    can_subset=True,
)
def enrichment(
    context: dg.AssetExecutionContext,
    surroundings: Surroundings,
    lead_sample: pd.DataFrame,
    valid_leads: pd.DataFrame,
) -> Iterator[dg.Output[pd.DataFrame]]:
    """See `fan_out.fan_out`: the chosen vendors, policy's groups side by side."""
    chosen = [vendor for vendor in ENRICHMENT_VENDORS if vendor in context.op_execution_context.selected_output_names]
    with stage_of(context, surroundings, _STAGE, State.ENRICHING) as at_work:
        errand = Errand(at_work.settings, at_work.policy, at_work.upload, at_work.ingestion.supplier, at_work.stop)
        # No guardrail is asked before paying: none guards it. Budgets are held by the database, and guardrail 5 labels
        # a vendor that is slow instead of stopping an upload.
        results = fan_out(people_of(lead_sample, valid_leads), chosen, errand, at_work.progress)
    for vendor, result in results.items():
        yield dg.Output(checked(result.frame, VendorAnswers), vendor, metadata=_vendor_account(result))


@dg.asset(
    partitions_def=UPLOADS,
    group_name=_STAGE,
    kinds={"pandas"},
    ins={vendor: dg.AssetIn(key=["enrichment", vendor]) for vendor in ENRICHMENT_VENDORS},
    description="The sampled leads with the vendors' fields merged; the source of every field is kept.",
)
def enriched_leads(
    context: dg.AssetExecutionContext,
    surroundings: Surroundings,
    lead_sample: pd.DataFrame,
    **answers: pd.DataFrame,
) -> dg.Output[pd.DataFrame]:
    """See `merge`. The values of every vendor, those that lost too, are kept in the record."""
    with stage_of(context, surroundings, _STAGE, State.ENRICHING) as at_work:
        vendors = at_work.policy.vendors
        scores = {name: kind.confidence for name, kind in ENRICHMENT_VENDORS.items()}
        rule = Rule(vendors.enrichment, vendors.found, scores)
        values = values_of(lead_sample["lead_id"], answers, rule)
        merged = checked(merged_of(lead_sample["lead_id"], answers, rule, values), EnrichedLeads)
        enriched_values.replace(at_work.connection, at_work.upload, as_json(values))
        told = tell_whole_list(at_work.connection, at_work.settings, at_work.policy, at_work.upload, merged)
        whole_list = dg.MetadataValue.md(as_table(told).to_markdown(index=False))
        return dg.Output(merged, metadata={**_merged_account(merged), "whole_list": whole_list})


def _sample_account(leads: pd.DataFrame, sample: pd.DataFrame, percent: Decimal) -> Metadata:
    strata = pd.DataFrame({"leads": leads["stratum"].value_counts(), "sampled": sample["stratum"].value_counts()})
    table = strata.fillna(0).astype(int).rename_axis("line type|supplier").sort_values("leads", ascending=False)
    table.index = table.index.str.replace("|", " / ", regex=False).str.slice(0, 50)
    return {
        "dagster/row_count": len(sample),
        "sendable_leads": len(leads),
        "percent": float(percent),
        "strata": dg.MetadataValue.md(table.head(12).to_markdown()),
    }


def _vendor_account(result: VendorResult) -> Metadata:
    outcomes = result.frame["outcome"].value_counts().rename_axis("outcome").reset_index(name="leads")
    account: Metadata = {
        "dagster/row_count": len(result.frame),
        "from_cache": result.cached,
        "outcomes": dg.MetadataValue.md(outcomes.to_markdown(index=False)),
    }
    if result.calls is not None:
        account |= {"asked": result.calls.asked, "spent_usd": str(usd(result.calls.settled))}
        if result.calls.seconds:
            account |= {
                "p50_seconds": round(median(result.calls.seconds), 3),
                "p100_seconds": round(max(result.calls.seconds), 3),
            }
    if result.gave_up is not None:
        account["gave_up"] = f"{result.gave_up.message} {result.gave_up.remedy}".strip()
    return account


def _merged_account(merged: pd.DataFrame) -> Metadata:
    filled = [int(merged["provenance"].str.contains(f'"{name}"', regex=False).sum()) for name in FIELDS]
    table = pd.DataFrame({"field": FIELDS, "leads with a value": filled})
    return {"dagster/row_count": len(merged), "fields": dg.MetadataValue.md(table.to_markdown(index=False))}
