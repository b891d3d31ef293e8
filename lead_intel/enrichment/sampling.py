"""Which leads are in the sample: in each stratum a prefix of one keyed order, so that 10 % lies inside 25 %.

Pure. The order depends on a lead's identity and the key alone, not on rows, files or percent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd

UNKNOWN = "unknown"


def sample_key(identity_key: str, key_version: str) -> bytes:
    """The key of the order: another version is another order, and nobody outside can foretell who is chosen."""
    secret = hashlib.sha512(identity_key.encode()).digest()
    return hashlib.blake2b(f"sample order|{key_version}".encode(), key=secret).digest()


def stratified(leads: pd.DataFrame, phone_lookups: pd.DataFrame, supplier: str) -> pd.DataFrame:
    """Each lead (lead_id, phone) with its stratum: `<line type>|<supplier>`. Columns: lead_id, stratum."""
    line_types = phone_lookups.set_index("phone")["line_type"]
    line_type = leads["phone"].map(line_types).fillna(UNKNOWN).astype("str")
    return pd.DataFrame({"lead_id": leads["lead_id"], "stratum": line_type + f"|{supplier}"})


def draw(
    leads: pd.DataFrame, percent: Decimal, minimum: int, key: bytes, earlier: Collection[str] = ()
) -> pd.DataFrame:
    """The first ceil(`percent` %) of each stratum in keyed order, at least `minimum` (or the whole stratum).

    And those of `earlier`: leads that were drawn at no higher percent. No order alone keeps a sample nested while
    leads change their stratum: the only lead of a stratum is drawn at any percent, and may be last in a large one.

    `leads` has lead_id and stratum. Returns lead_id, stratum, position (1 = first of its stratum), as in
    `contract.LeadSample`, ordered by stratum and position. A `percent` of 0 is the empty sample.
    """
    ordered = _ordered(leads, key)
    if percent <= 0 or ordered.empty:
        return ordered.head(0)
    sizes = ordered["stratum"].value_counts()
    wanted = {stratum: _size(int(size), percent, minimum) for stratum, size in sizes.items()}
    drawn = (ordered["position"] <= ordered["stratum"].map(wanted)) | ordered["lead_id"].isin(list(earlier))
    return ordered[drawn].reset_index(drop=True)


def staying(leads: pd.DataFrame, earlier: pd.DataFrame) -> set[str]:
    """Who of `earlier` (see `record.samples.drawn_earlier`) stays drawn: here, or as one who has moved since.

    A person who stands in the same stratum of another list has the place there that the order gives: a list of people
    who were all drawn before is sampled like any other.
    """
    now = earlier.merge(leads[["lead_id", "stratum"]], on="lead_id", suffixes=("_then", ""))
    return set(now.loc[now["here"] | (now["stratum_then"] != now["stratum"]), "lead_id"])


def _size(size: int, percent: Decimal, minimum: int) -> int:
    share = Fraction(percent) * size / 100
    return min(size, max(-(-share.numerator // share.denominator), minimum))


def _ordered(leads: pd.DataFrame, key: bytes) -> pd.DataFrame:
    digests = b"".join(
        hashlib.blake2b(lead_id.encode(), key=key, digest_size=16).digest() for lead_id in leads["lead_id"]
    )
    halves = np.frombuffer(digests, dtype=">u8").reshape(-1, 2)
    strata, _ = pd.factorize(leads["stratum"], sort=True)
    order = np.lexsort((halves[:, 1], halves[:, 0], strata))
    ordered = leads[["lead_id", "stratum"]].iloc[order].reset_index(drop=True)
    position = ordered.groupby("stratum", sort=False).cumcount() + 1
    return ordered.assign(position=position.astype("int64"))
