"""The jobs: which assets run together, for how long at most, and how often a transient failure is tried again."""

from __future__ import annotations

import dagster as dg

from lead_intel.vendors.enriching import ENRICHMENT_VENDORS

SCREEN = "screen_upload"
ENRICH = "enrich_sample"
ACTIVATE = "activate_upload"
RESYNC = "resync"

_MAX_RUNTIME_SECONDS = str(6 * 3600)
_TAGS = {"dagster/max_runtime": _MAX_RUNTIME_SECONDS}
# Transient faults only: everything of ours that cannot pass by itself says allow_retries=False.
_RETRIES = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

_SCREENED = (
    "raw_upload",
    "valid_leads",
    "quarantined_rows",
    "phone_lookups",
    "carrier_breakout",
    "dnc_verdicts",
)
_ENRICHED = (
    "lead_sample",
    *(f"enrichment/{vendor}" for vendor in ENRICHMENT_VENDORS),
    "enriched_leads",
    "persona_members",
    "activation_plan",
)
_PUSHED = ("activation_receipts",)
EXITS = "audience_exits"
"""Goes first in a re-sync, and alone for an upload that is stopped or rejected."""


def _job(name: str, description: str, assets: tuple[str, ...]) -> dg.UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*[key.split("/") for key in assets]),
        description=description,
        tags=_TAGS,
        op_retry_policy=_RETRIES,
    )


screen_upload = _job(SCREEN, "Read, validate, look up and screen one upload.", _SCREENED)
enrich_sample = _job(ENRICH, "Enrich the chosen sample of one upload and plan its activation (dry run).", _ENRICHED)
activate_upload = _job(ACTIVATE, "Push one upload's approved plan to Segment.", _PUSHED)
resync = _job(
    RESYNC,
    "Take out who may not be contacted; then screen an activated upload again and push the difference.",
    (EXITS, "dnc_verdicts", *_ENRICHED, *_PUSHED),
)

ALL = [screen_upload, enrich_sample, activate_upload, resync]
