"""What the sample says about the whole sendable list: shares and money, each with an interval. Pure.

Method, one stratum: the Wilson score interval with continuity correction (Newcombe 1998, Statistics in Medicine 17,
857-872, method 4), its sample size n replaced by n(N-1)/(N-n), which is the finite population correction (Cochran
1977, Sampling Techniques, 2.8 and 3.7), and never beyond what is certain: the hits seen are hits of the list, the
misses seen are misses. So 0 % and 100 % seen have an interval of their own, and a stratum known whole has none.
The strata together: the weighted share, its limits by the method of variance estimates recovery (Zou & Donner 2008,
Statistics in Medicine 27, 1693-1702; for strata Yan & Su 2010, Statistics in Biopharmaceutical Research 2, 329-335).
A stratum of which nothing is known counts with the share of the others and the limits 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

CONFIDENCE = 0.95

_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
_DIGITS = 4
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Interval:
    """A share of the whole list: most likely, and between which limits with CONFIDENCE."""

    value: float
    low: float
    high: float

    def as_share(self) -> dict[str, float]:
        """For people and JSON: limits are rounded away from the value, so that rounding narrows nothing."""
        scale = 10**_DIGITS
        return {
            "value": round(self.value, _DIGITS),
            "low": math.floor(self.low * scale + 1e-9) / scale,
            "high": math.ceil(self.high * scale - 1e-9) / scale,
        }

    def times(self, part: float) -> Interval:
        """The share of a whole of which this is the share of a `part`; the rest holds no hit."""
        return Interval(self.value * part, self.low * part, self.high * part)

    def as_money(self, everything: Decimal) -> dict[str, Decimal]:
        """The share as a part of `everything`, in cents."""
        return {name: (everything * Decimal(share)).quantize(_CENT) for name, share in self.as_share().items()}


def estimate(sizes: pd.Series[int], known: pd.Series[str], hits: pd.Series[bool]) -> Interval:
    """The share of hits in the whole list.

    Args:
        sizes: stratum -> leads of the list in it.
        known: the stratum of each lead of the sample (one of those of `sizes`).
        hits: whether that lead is a hit; aligned with `known` by position.
    """
    strata = sizes[sizes > 0]
    everybody = int(strata.sum())
    if everybody == 0:
        return Interval(0.0, 0.0, 0.0)
    seen = pd.DataFrame({"stratum": known.to_numpy(), "hit": hits.to_numpy(dtype=bool)}).groupby("stratum")["hit"]
    size = strata.to_numpy(dtype=float)
    asked = seen.size().reindex(strata.index, fill_value=0).to_numpy(dtype=float)
    found = seen.sum().reindex(strata.index, fill_value=0).to_numpy(dtype=float)
    if not asked.any():
        return Interval(0.0, 0.0, 1.0)
    weight = size / everybody
    there = asked > 0
    share = np.divide(found, asked, out=np.zeros_like(size), where=there)
    share[~there] = (weight * share)[there].sum() / weight[there].sum()
    low, high = _limits(size, asked, found)
    value = float((weight * share).sum())
    below = math.sqrt(float(((weight * (share - low)) ** 2).sum()))
    above = math.sqrt(float(((weight * (high - share)) ** 2).sum()))
    certain_low = float(found.sum()) / everybody
    certain_high = 1 - float((asked - found).sum()) / everybody
    return Interval(value, max(value - below, certain_low), min(value + above, certain_high))


def _limits(size: np.ndarray, asked: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The limits of each stratum's share."""
    low, high = found / size, 1 - (asked - found) / size
    part = (asked > 0) & (asked < size)
    all_n, n, x = size[part], asked[part], found[part]
    p, effective = x / n, n * (all_n - 1) / (all_n - n)
    z2 = _Z**2
    middle, below = 2 * effective * p + z2, z2 - 1 / effective
    lower_root = np.sqrt(np.maximum(below + 4 * p * (effective * (1 - p) + 1) - 2, 0))
    upper_root = np.sqrt(np.maximum(below + 4 * p * (effective * (1 - p) - 1) + 2, 0))
    width = 2 * (effective + z2)
    lower = np.where(x == 0, 0.0, (middle - 1 - _Z * lower_root) / width)
    upper = np.where(x == n, 1.0, (middle + 1 + _Z * upper_root) / width)
    low[part], high[part] = np.maximum(low[part], lower), np.minimum(high[part], upper)
    return np.minimum(low, high), high


def estimate_of(
    whole: pd.DataFrame,
    sampled: int,
    *,
    matches: Mapping[str, pd.DataFrame],
    fields: Mapping[str, pd.DataFrame],
    billed: Mapping[str, pd.DataFrame],
    prices: Mapping[str, Decimal],
) -> dict[str, Any]:
    """The object `estimate` of `status --json` and of the asset's metadata.

    Each frame has a row for everybody (or everything) that may be asked about, with stratum, `known` (an answer is
    there) and `hit`. Nobody else can be a hit: who has no address is found by no vendor of addresses.

    Args:
        whole: every lead that may be contacted now: lead_id, stratum (`<line type>|<supplier>`).
        sampled: how many of them were enriched.
        matches: vendor -> leads that it can be asked about; a hit is found (`ok` or `partial`).
        fields: merged field -> leads that a vendor of it can be asked about; a hit has a value.
        billed: vendor -> its distinct questions; a hit cost money, whoever paid it.
        prices: vendor -> price of one answer.

    A lead of the sample that may be contacted no longer counts for nothing, and one that changed its line type counts
    where it is now: who is drawn depends on a keyed hash alone, so the drawn of any group stand for that group.
    """
    line_types = whole["stratum"].str.split("|", n=1).str[0].value_counts()
    cost = {vendor: _share(part).as_money(prices[vendor] * len(part)) for vendor, part in billed.items()}
    return {
        "leads": len(whole),
        "sampled": sampled,
        "confidence": CONFIDENCE,
        "by_vendor": {vendor: _share(part).as_share() for vendor, part in matches.items()},
        "by_field": {
            field: _share(part).times(len(part) / max(len(whole), 1)).as_share() for field, part in fields.items()
        },
        # Lookup asked about every number: this is counted, not estimated.
        "line_types": {str(kind): _exactly(int(n) / len(whole)) for kind, n in line_types.items()},
        "cost_by_vendor": cost,
        # The vendors' limits added: the interval of the sum is not wider.
        "cost": {name: sum((part[name] for part in cost.values()), start=Decimal(0)) for name in _NAMES},
    }


_NAMES = ("value", "low", "high")


def _share(part: pd.DataFrame) -> Interval:
    answered = part[part["known"]]
    return estimate(part["stratum"].value_counts(), answered["stratum"], answered["hit"])


def _exactly(share: float) -> dict[str, float]:
    return dict.fromkeys(_NAMES, round(share, _DIGITS))
