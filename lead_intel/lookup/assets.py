"""The Dagster face of Lookup: load, call, return frame and metadata. No logic of its own."""

# Without `from __future__ import annotations`: Dagster reads the annotation of `context` as an object.

from decimal import Decimal
from typing import Any

import dagster as dg
import pandas as pd

from lead_intel.contract import CarrierBreakout, CarrierCells, PhoneLookups, checked
from lead_intel.failures import without_personal_data
from lead_intel.guardrails.gate import require
from lead_intel.lookup.alerts import alerts
from lead_intel.lookup.breakdown import area_code_places, break_down
from lead_intel.lookup.breakout import break_out, unknown_share
from lead_intel.lookup.lookup import LookedUp, look_up
from lead_intel.lookup.picture import bars
from lead_intel.partition import UPLOADS
from lead_intel.record.carriers import cut, replace_cells, stored_answers
from lead_intel.record.spend import usd
from lead_intel.settings import REPOSITORY
from lead_intel.stage import stage_of
from lead_intel.surroundings import Surroundings
from lead_intel.uploads import State
from lead_intel.vendors.twilio_lookup import LINE_TYPE

_STAGE = "lookup"
_ROWS_SHOWN = 10


@dg.asset(
    partitions_def=UPLOADS,
    group_name=_STAGE,
    kinds={"twilio", "postgres"},
    description="Line type and carrier of every distinct phone, from Twilio Lookup; answers are reused while fresh.",
)
def phone_lookups(
    context: dg.AssetExecutionContext, surroundings: Surroundings, valid_leads: pd.DataFrame
) -> dg.Output[pd.DataFrame]:
    """See `lookup.look_up`. Guardrail 3 is asked before the first paid call."""
    with stage_of(context, surroundings, _STAGE, State.SCREENING) as at_work:
        looked_up = look_up(
            valid_leads["phone"],
            at_work.connection,
            settings=at_work.settings,
            policy=at_work.policy,
            upload=at_work.upload,
            supplier=at_work.ingestion.supplier,
            stop=at_work.stop,
            progress=at_work.progress,
            before_paying=lambda: require((3,), at_work),
        )
        told = alerts(_codes(looked_up))
        for sentence in told:
            context.log.warning(sentence)
        wanted = at_work.policy.lookup
        looked_up.refuse_unanswered(wanted.unanswered_share, wanted.unanswered_least)
        return dg.Output(checked(looked_up.frame, PhoneLookups), metadata=_account(looked_up, told))


@dg.asset(
    partitions_def=UPLOADS,
    group_name=_STAGE,
    kinds={"pandas", "postgres"},
    description="Distinct numbers by carrier, brand, state, line type and day, with shares; unknown stays in sight.",
)
def carrier_breakout(
    context: dg.AssetExecutionContext, surroundings: Surroundings, phone_lookups: pd.DataFrame
) -> dg.Output[pd.DataFrame]:
    """See `breakout.break_out`. Not a stage of its own: it leaves the upload's state to those that are."""
    upload = context.partition_key
    with without_personal_data(), surroundings.connected() as connection:
        breakout = checked(break_out(phone_lookups), CarrierBreakout)
        answers = stored_answers(connection, phone_lookups["phone"].tolist(), LINE_TYPE)
        places = area_code_places(REPOSITORY / "data" / "reference" / "area_codes.csv")
        cells = break_down(phone_lookups, answers, places, surroundings.policy.carriers.brands)
        replace_cells(connection, upload, checked(cells, CarrierCells))
        brands, states = cut(connection, "brand", upload), cut(connection, "state", upload)
    metadata: dict[str, dg.MetadataValue | float | int] = {
        "dagster/row_count": len(breakout),
        "numbers": len(phone_lookups),
        "unknown_line_type_share": round(unknown_share(phone_lookups), 4),
        "brand_shares": dg.MetadataValue.md(bars([(row["key"], row["share"]) for row in brands])),
        "brands": dg.MetadataValue.md(_table(brands, "brand")),
        "states": dg.MetadataValue.md(_table(states, "state")),
        "top_carriers": dg.MetadataValue.md(_top(breakout).to_markdown(index=False)),
    }
    return dg.Output(breakout, metadata=metadata)


def _account(looked_up: LookedUp, told: list[str]) -> dict[str, dg.MetadataValue | float | int | str]:
    frame, calls = looked_up.frame, looked_up.calls
    outcomes = frame["outcome"].value_counts().rename_axis("outcome").reset_index(name="numbers")
    types = frame["line_type"].value_counts().rename_axis("line type").reset_index(name="numbers")
    every = [calls, *(answers.calls for answers in looked_up.further.values())]
    spent = sum((call.settled for call in every if call is not None), start=Decimal(0))
    account: dict[str, dg.MetadataValue | float | int | str] = {
        "dagster/row_count": len(frame),
        "unanswered": looked_up.unanswered,
        "from_cache": looked_up.cached,
        "asked": 0 if calls is None else calls.asked,
        "spent_usd": str(usd(spent)),
        "package_errors": ", ".join(f"{code}: {count}" for code, count in _codes(looked_up).items()) or "none",
        "alerts": " ".join(told) or "none",
        "outcomes": dg.MetadataValue.md(outcomes.to_markdown(index=False)),
        "line_types": dg.MetadataValue.md(types.to_markdown(index=False)),
    }
    for package, answers in looked_up.further.items():
        account[f"{package}_from_cache"] = answers.cached
        account[f"{package}_asked"] = 0 if answers.calls is None else answers.calls.asked
    return account


def _codes(looked_up: LookedUp) -> dict[int, int]:
    codes = pd.concat([answers.frame["error_code"] for answers in (looked_up, *looked_up.further.values())])
    return {int(code): int(count) for code, count in codes[codes > 0].value_counts().sort_index().items()}


def _table(rows: list[dict[str, Any]], name: str) -> str:
    shown = [
        {
            name: row["key"],
            "numbers": row["numbers"],
            "share": f"{row['share']:.1%}",
            "line type unknown (95 %)": (
                f"{row['unknown_share']:.1%} ({row['unknown_low']:.1%} to {row['unknown_high']:.1%})"
            ),
        }
        for row in rows[:_ROWS_SHOWN]
    ]
    return pd.DataFrame(shown).to_markdown(index=False)


def _top(breakout: pd.DataFrame) -> pd.DataFrame:
    top = breakout.head(_ROWS_SHOWN).copy()
    top["carrier"] = top["carrier"].str.slice(0, 30).str.replace("|", "/", regex=False)
    top["share"] = (top["share"] * 100).round(1).astype(str) + " %"
    return top.rename(columns={"line_type": "line type"})
