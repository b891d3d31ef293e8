"""The upload's looked-up numbers as cells: day, place, line type, brand, carrier, and how many numbers. Pure.

Every cut of the carrier breakouts is a sum of these cells, so it is exact; each number is in exactly one cell.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lead_intel.policy import CarrierBrand

UNKNOWN = "unknown"
OTHER = "other"
ABROAD = "abroad"
_ANSWERED = ("ok", "no_match", "partial", "invalid")
"""Outcomes that answer; a number without one may have an older answer in the cache, which this list did not use."""

_CELL = ["answered_on", "place", "line_type", "brand", "carrier"]
_AREA_CODE_STARTS = 10_000_000


def break_down(
    lookups: pd.DataFrame, answers: pd.DataFrame, places: Mapping[int, str], brands: Mapping[str, CarrierBrand]
) -> pd.DataFrame:
    """Count `lookups` (as in `contract.PhoneLookups`) by cell.

    `answers` has phone, answered_on (blank: never), mcc and mnc of the stored answers; a number without one keeps
    a blank day. Returns answered_on, place, line_type, brand, carrier, numbers, as in `contract.CarrierCells`.
    """
    rows = lookups.merge(answers, on="phone", how="left", validate="one_to_one")
    answered = rows["outcome"].isin(_ANSWERED)
    for column in ("answered_on", "mcc", "mnc"):
        rows[column] = rows[column].where(answered).fillna("")
    rows["place"] = _places(rows["phone"], places)
    rows["brand"] = _brands(rows, brands)
    cells = rows.rename(columns={"carrier_name": "carrier"}).groupby(_CELL, as_index=False, sort=True).size()
    return cells.rename(columns={"size": "numbers"}).astype({"numbers": "int64", **dict.fromkeys(_CELL, "str")})


def area_code_places(file: Path) -> dict[int, str]:
    """Area code -> `US-NY`, `CA-ON`, or the country alone, from data/reference/area_codes.csv."""
    with file.open(encoding="utf-8", newline="") as opened:
        return {
            int(row["area_code"]): f"{row['country']}-{row['state']}" if row["state"] else row["country"]
            for row in csv.DictReader(opened)
        }


def brand_of(carrier: str, mcc: str, mnc: str, brands: Mapping[str, CarrierBrand]) -> str:
    """The brand of a carrier: by its network, else by its name; `other` when none fits, `unknown` without a name."""
    network = f"{mcc}{mnc.zfill(3)}" if mcc and mnc else ""
    for brand, known in brands.items():
        if network and network in known.networks:
            return brand
    if carrier == UNKNOWN:
        return UNKNOWN
    for brand, known in brands.items():
        if any(re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", carrier.lower()) for word in known.names):
            return brand
    return OTHER


def _places(phones: pd.Series[int], places: Mapping[int, str]) -> pd.Series[str]:
    area_codes = phones // _AREA_CODE_STARTS
    known = (area_codes % 1000).map(places).fillna(UNKNOWN)
    return known.where(area_codes.between(1200, 1999), ABROAD)


def _brands(rows: pd.DataFrame, brands: Mapping[str, CarrierBrand]) -> pd.Series[str]:
    """Each distinct carrier and network is looked at once."""
    kinds = rows[["carrier_name", "mcc", "mnc"]].drop_duplicates()
    kinds["brand"] = [
        brand_of(carrier, mcc, mnc, brands) for carrier, mcc, mnc in kinds.itertuples(index=False, name=None)
    ]
    return rows.merge(kinds, on=["carrier_name", "mcc", "mnc"], how="left")["brand"]
