"""The Dagster face of DNC compliance: load, call, return frame and metadata. No logic of its own."""

# Without `from __future__ import annotations`: Dagster reads the annotation of `context` as an object.

from typing import cast

import dagster as dg
import pandas as pd

from lead_intel.contract import DncVerdicts, checked
from lead_intel.dnc.screening import Screening, screen
from lead_intel.dnc.snapshots import ensure_snapshot, open_newest
from lead_intel.dnc.verdicts import registry_fresh_until
from lead_intel.guardrails.gate import require
from lead_intel.partition import UPLOADS
from lead_intel.policy import Profile
from lead_intel.record import evidence
from lead_intel.record.spend import usd
from lead_intel.stage import stage_of
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import State

_STAGE = "dnc"
_GUARDRAILS = (4,)
_REASONS_SHOWN = 15


@dg.asset(
    group_name=_STAGE,
    kinds={"numpy", "postgres"},
    description="The Do-Not-Call list in use: version, size, coverage. Materializing reads it again and verifies it.",
)
def dnc_registry(surroundings: Surroundings) -> dg.MaterializeResult[None]:
    """See `snapshots.open_newest` and `Registry.verify`."""
    fresh_days = surroundings.policy.dnc.fresh_days
    with surroundings.connected() as connection:
        registry = open_newest(connection, surroundings.settings)
    if registry is None:
        raise dg.Failure(
            "No Do-Not-Call list was imported: every lead is held.",
            metadata={"remedy": "lead-intel dnc import FILES --version-date DATE"},
            allow_retries=False,
        )
    registry.verify()
    facts = registry.facts
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": facts.numbers,
            "source": facts.source,
            "version_date": facts.version_date.isoformat(),
            "contact_allowed_until": registry_fresh_until(facts.version_date, fresh_days).isoformat(),
            "area_codes": len(facts.area_codes),
            "digest": registry.path.name,
            "bytes": registry.path.stat().st_size,
        }
    )


@dg.asset(
    partitions_def=UPLOADS,
    group_name=_STAGE,
    kinds={"dncscrub", "postgres"},
    deps=[dnc_registry],
    description="Send, hold or block for every accepted lead, with all reasons: Do-Not-Call lists, opt-outs, consent.",
)
def dnc_verdicts(
    context: dg.AssetExecutionContext,
    surroundings: Surroundings,
    valid_leads: pd.DataFrame,
    phone_lookups: pd.DataFrame,
) -> dg.Output[pd.DataFrame]:
    """See `screening.screen`. No answer = hold."""
    with stage_of(context, surroundings, _STAGE, State.SCREENING) as at_work:
        upload = at_work.ingestion
        profile = cast("Profile", upload.profile)
        # A list dropped into the bucket is screened by a sensor's run: no command has prepared the embedded default.
        ensure_snapshot(at_work.connection, at_work.settings)
        screening = screen(
            at_work,
            valid_leads,
            phone_lookups,
            profile=profile,
            supplier=upload.supplier,
            before_paying=lambda: require(_GUARDRAILS, at_work),
        )
        frame = checked(screening.frame, DncVerdicts)
        at_work.stop_if_asked()
        evidence.append(at_work.connection, at_work.upload, _STAGE, _facts(screening, profile), frame)
        screening.refuse_unanswered(at_work.policy.dnc.unanswered_share)
        at_work.reached(State.SCREENED)
        return dg.Output(frame, metadata=_account(screening))


def _facts(screening: Screening, profile: Profile) -> dict[str, str | int]:
    counts = screening.frame["verdict"].value_counts()
    return {
        "profile": profile,
        "list_digest": screening.snapshot or "none",
        **{verdict: int(counts.get(verdict, 0)) for verdict in ("send", "hold", "block")},
    }


def _account(screening: Screening) -> dict[str, dg.MetadataValue | int | str]:
    frame = screening.frame
    verdicts = frame["verdict"].value_counts()
    counts = (
        frame.assign(reason=frame["reasons"].str.split("|"))
        .explode("reason")
        .query("reason != ''")
        .groupby(["reason", "verdict"])
        .size()
        .sort_values(ascending=False)
        .rename("leads")
        .reset_index()
    )
    return {
        "dagster/row_count": len(frame),
        **{verdict: int(verdicts.get(verdict, 0)) for verdict in ("send", "hold", "block")},
        "list_version": str(screening.version_date or "none"),
        "list_digest": screening.snapshot or "none",
        "vendor_asked": screening.asked,
        "vendor_cached": screening.cached,
        "vendor_unanswered": screening.unanswered,
        "spent_usd": "0.00" if screening.calls is None else str(usd(screening.calls.settled)),
        "reasons": dg.MetadataValue.md(counts.head(_REASONS_SHOWN).to_markdown(index=False) or "none"),
    }
