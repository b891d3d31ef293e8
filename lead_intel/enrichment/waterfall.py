"""Who of a group's leads the next vendor has to be asked about, and how many calls that makes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from lead_intel.policy import FieldGroup, Vendors


@dataclass(frozen=True, slots=True)
class ExpectedCalls:
    """Calls to one vendor: at `most` when no vendor before it finds anything, `expected` at today's found rates."""

    most: int
    expected: float


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


def expected_calls(askable: Sequence[int], found_rates: Sequence[float]) -> list[ExpectedCalls]:
    """Calls of a waterfall, vendor by vendor.

    Args:
        askable: for each vendor of the chain the questions that are not answered in its cache.
        found_rates: for each vendor the share of its answers that found what the group needs
            (`record.enrichments.found_rate`); 0 where nothing was measured, which expects the most.
    """
    reaching = [1.0]
    for rate, _ in pairwise([*found_rates, 0.0]):
        reaching.append(reaching[-1] * (1.0 - rate))
    return [ExpectedCalls(calls, calls * share) for calls, share in zip(askable, reaching, strict=False)]
