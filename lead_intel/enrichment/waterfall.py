"""Who of a group's leads the next vendor has to be asked about, and how many calls that makes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lead_intel.policy import FieldGroup, Vendors


@dataclass(frozen=True, slots=True)
class LegCalls:
    """Calls to one vendor: at `most` when no vendor before it finds anything, `most_likely` at today's found rates."""

    most: int
    most_likely: float


def chains(vendors: Vendors) -> list[tuple[FieldGroup, tuple[str, ...]]]:
    """Which vendors are asked one after the other; the chains themselves run side by side.

    A waterfall is one chain, a parallel group a chain for each vendor. Vendors that policy does not ask are left out.
    """
    made: list[tuple[FieldGroup, tuple[str, ...]]] = []
    for group in vendors.groups.values():
        asked = tuple(vendor for vendor in group.vendors if vendor in vendors.enrichment)
        made += [(group, asked)] if group.mode == "waterfall" else [(group, (vendor,)) for vendor in asked]
    return [(group, asked) for group, asked in made if asked]


def found(fields: pd.DataFrame, needed: Mapping[str, Sequence[str]]) -> pd.Series[bool]:
    """For each row of parsed answers: has it every field of `needed`, with a value that counts (no list: any)."""
    every = pd.Series(data=True, index=fields.index, dtype="bool")
    for name, counting in needed.items():
        if name not in fields:
            return pd.Series(data=False, index=fields.index, dtype="bool")
        value = fields[name]
        every &= value.isin(list(counting)) if counting else value.notna() & (value != "")
    return every


def missing(needed: Mapping[str, Sequence[str]], leads: pd.Index[Any], said: Sequence[pd.DataFrame]) -> pd.Series[bool]:
    """Leads for which `said` (parsed answers of each vendor, in the order of `leads`) does not have every field."""
    complete = pd.Series(data=True, index=leads, dtype="bool")
    for field, counting in needed.items():
        given = [found(fields.set_index(leads), {field: counting}) for fields in said]
        complete &= pd.concat(given, axis="columns").any(axis="columns") if given else False
    return ~complete


def calls_in_turn(
    leads: pd.Index[Any], questions: Sequence[pd.Series[str]], found_rates: Sequence[float]
) -> list[LegCalls]:
    """Calls of a waterfall, vendor by vendor.

    Args:
        leads: whom it is about.
        questions: for each vendor the questions still to be bought if none before it finds more: lead -> subject.
        found_rates: for each vendor the share of its answers that found what the group needs
            (`record.enrichments.found_rate`); 0 where nothing was measured, which expects the most.
    """
    reaching = pd.Series(1.0, index=leads)
    told: list[LegCalls] = []
    for asked, rate in zip(questions, found_rates, strict=True):
        # Leads that share a question are asked about once: as likely as the likeliest of them.
        likely = reaching.loc[asked.index].groupby(asked).max().sum()
        told.append(LegCalls(int(asked.nunique()), float(likely)))
        reaching.loc[asked.index] *= 1.0 - rate
    return told
