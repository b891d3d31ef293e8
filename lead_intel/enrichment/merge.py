"""The vendors' answers made one row a lead: the most trusted vendor that has a field gives it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pandas as pd

TEXTS = ("email_status", "job_title", "company", "seniority")
NUMBERS = ("activity_score", "match_likelihood")
FLAGS = ("litigator_risk",)
FIELDS = (*TEXTS, *NUMBERS, *FLAGS)
"""Merged fields in our own words; a vendor may know any of them."""


def merge(lead_ids: pd.Series[str], answers: Mapping[str, pd.DataFrame], trust: Sequence[str]) -> pd.DataFrame:
    """One row for each of `lead_ids`, as in `contract.EnrichedLeads`.

    Args:
        lead_ids: the sampled leads.
        answers: vendor -> its answers (`contract.VendorAnswers`).
        trust: vendors in order of trust, best first; the others follow.

    `provenance` names for each field that has a value the vendor who gave it; `outcomes` what each vendor came to.
    """
    vendors = sorted(answers, key=lambda vendor: trust.index(vendor) if vendor in trust else len(trust))
    aligned = {vendor: answers[vendor].set_index("lead_id").reindex(lead_ids) for vendor in vendors}
    fields = {vendor: _fields(frame["fields"]) for vendor, frame in aligned.items()}
    index = pd.RangeIndex(len(lead_ids))
    merged = pd.DataFrame({"lead_id": lead_ids.reset_index(drop=True)}, index=index)
    sources: dict[str, pd.Series[str]] = {}
    for name in FIELDS:
        value = pd.Series(index=index, dtype="object")
        source = pd.Series("", index=index, dtype="str")
        for vendor in vendors:
            if name not in fields[vendor]:
                continue
            given = fields[vendor][name]
            gives = value.isna() & given.notna() & (given != "")
            value, source = value.mask(gives, given), source.mask(gives, vendor)
        merged[name], sources[name] = value, source
    merged[list(TEXTS)] = merged[list(TEXTS)].fillna("").astype("str")
    merged[list(NUMBERS)] = merged[list(NUMBERS)].astype("float64")
    # What nobody said is missing, not false: a litigator check that was not answered clears nobody.
    merged[list(FLAGS)] = merged[list(FLAGS)].astype("boolean")
    merged["provenance"] = _objects(sources)
    merged["outcomes"] = _objects({vendor: frame["outcome"].fillna("") for vendor, frame in aligned.items()})
    return merged[["lead_id", *_order(), "provenance", "outcomes"]]


def _order() -> list[str]:
    return [
        "email_status",
        "activity_score",
        "litigator_risk",
        "job_title",
        "company",
        "seniority",
        "match_likelihood",
    ]


def _fields(texts: pd.Series[str]) -> pd.DataFrame:
    """JSON objects as columns, parsed at once."""
    frame = pd.DataFrame(json.loads(f"[{','.join(texts.fillna('{}'))}]"), index=pd.RangeIndex(len(texts)))
    return frame.astype("object").where(frame.notna(), None)


def _objects(columns: Mapping[str, pd.Series[str]]) -> pd.Series[str]:
    """A JSON object a row, name -> value, without the blank ones. Names and values are our own words: no escaping."""
    texts = pd.Series("", index=pd.RangeIndex(len(next(iter(columns.values())))), dtype="str")
    for name, values in columns.items():
        values = values.reset_index(drop=True).astype("str")
        piece = (f'"{name}": "' + values + '"').where(values != "", "")
        joiner = pd.Series(", ", index=texts.index, dtype="str").where((texts != "") & (piece != ""), "")
        texts = texts + joiner + piece
    return "{" + texts + "}"
