"""The vendors' answers made one row a lead, and what every vendor said beside it. Pure.

One rule decides which vendor gives a field: a value that counts as found before one that does not (`unknown`), then
policy's order of trust, then the fresher answer, then the vendor's name. Values that lost are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lead_intel.contract import ENRICHMENT_FIELDS
from lead_intel.enrichment.waterfall import found

FIELDS = tuple(name for name, kind in ENRICHMENT_FIELDS.items() if kind != "kept")
"""Merged fields in our own words; a vendor may know any of them."""

_EPOCH = pd.Timestamp(0, tz="UTC")

VALUE_COLUMNS = ["lead_id", "field", "vendor", "value", "answered_at", "confidence", "chosen"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What decides between vendors: their order of trust (best first; the others follow), the values that count as
    found by field (a field that is not here: any), and each vendor's own score: its field and highest value.
    """

    trust: Sequence[str]
    found: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scores: Mapping[str, tuple[str, float] | None] = field(default_factory=dict)


def merge(lead_ids: pd.Series[str], answers: Mapping[str, pd.DataFrame], rule: Rule) -> pd.DataFrame:
    """One row for each of `lead_ids`, as in `contract.EnrichedLeads`.

    `answers`: vendor -> its answers (`contract.VendorAnswers`). `provenance` names for each field that has a value
    the vendor who gave it; `outcomes` what each vendor came to.
    """
    return merged_of(lead_ids, answers, rule, values_of(lead_ids, answers, rule))


def values_of(lead_ids: pd.Series[str], answers: Mapping[str, pd.DataFrame], rule: Rule) -> pd.DataFrame:
    """VALUE_COLUMNS: a row for each value that a vendor gave for a field of a lead, `chosen` for one of each field."""
    given = [_given(lead_ids, vendor, answers[vendor], rule) for vendor in _in_order(answers, rule)]
    frame = pd.concat(given, ignore_index=True) if given else _given(lead_ids, "", _NOBODY, rule)
    ranks = {vendor: place for place, vendor in enumerate(rule.trust)}
    order = pd.DataFrame(
        {
            "row": frame["row"],
            "field": pd.factorize(frame["field"])[0],
            "missed": ~frame["found"],
            "trust": frame["vendor"].map(ranks).fillna(len(ranks)),
            # Fresher first; without a time last.
            "age": -frame["answered_at"].fillna(_EPOCH).astype("int64"),
            "vendor": pd.factorize(frame["vendor"], sort=True)[0],
        }
    ).sort_values(["row", "field", "missed", "trust", "age", "vendor"], kind="stable")
    chosen = ~order.duplicated(["row", "field"])
    frame = frame.loc[order.index].assign(chosen=chosen.to_numpy())
    return frame[["row", *VALUE_COLUMNS]].reset_index(drop=True)


def merged_of(
    lead_ids: pd.Series[str], answers: Mapping[str, pd.DataFrame], rule: Rule, values: pd.DataFrame
) -> pd.DataFrame:
    """`merge`, from the `values_of` the same answers."""
    index = pd.RangeIndex(len(lead_ids))
    merged = pd.DataFrame({"lead_id": lead_ids.reset_index(drop=True)}, index=index)
    taken = values[values["chosen"]]
    sources: dict[str, pd.Series[str]] = {}
    for name in FIELDS:
        of_field = taken[taken["field"] == name].set_index("row")
        merged[name] = _typed(of_field["value"].reindex(index), ENRICHMENT_FIELDS[name])
        sources[name] = of_field["vendor"].reindex(index).fillna("").astype("str")
    merged["provenance"] = _objects(sources, index)
    outcomes = {
        vendor: answers[vendor].set_index("lead_id")["outcome"].reindex(lead_ids).fillna("")
        for vendor in _in_order(answers, rule)
    }
    merged["outcomes"] = _objects(outcomes, index)
    return merged[["lead_id", *FIELDS, "provenance", "outcomes"]]


def _in_order(answers: Mapping[str, pd.DataFrame], rule: Rule) -> list[str]:
    known = list(rule.trust)
    return sorted(answers, key=lambda vendor: (known.index(vendor) if vendor in known else len(known), vendor))


_NOBODY = pd.DataFrame(
    {
        "lead_id": pd.Series(dtype="str"),
        "fields": pd.Series(dtype="str"),
        "answered_at": pd.Series(dtype="datetime64[us, UTC]"),
    }
)


def _given(lead_ids: pd.Series[str], vendor: str, answers: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """What one vendor said, a row a value; `row` is the lead's place in `lead_ids`."""
    wide = answers.set_index("lead_id").reindex(lead_ids)
    fields = parsed(wide["fields"])
    times = pd.to_datetime(wide["answered_at"], utc=True).astype("datetime64[us, UTC]").reset_index(drop=True)
    confidence = _confidence(fields, rule.scores.get(vendor))
    pieces = []
    for name in ENRICHMENT_FIELDS:
        value = fields[name] if name in fields else pd.Series(dtype="object")
        value = value[value.notna() & (value != "")]
        pieces.append(
            pd.DataFrame(
                {
                    "row": value.index.astype("int64"),
                    "lead_id": lead_ids.to_numpy()[value.index],
                    "field": name,
                    "vendor": vendor,
                    "value": value.to_numpy(dtype="object"),
                    "answered_at": times.loc[value.index].array,
                    "confidence": confidence.loc[value.index].to_numpy(),
                    "found": found(fields.loc[value.index], {name: rule.found.get(name, ())}).to_numpy(),
                }
            ).astype({"answered_at": "datetime64[us, UTC]", "found": "bool"})
        )
    return pd.concat([piece for piece in pieces if not piece.empty] or pieces[:1], ignore_index=True)


def _confidence(fields: pd.DataFrame, score: tuple[str, float] | None) -> pd.Series[float]:
    if score is None or score[0] not in fields:
        return pd.Series(np.nan, index=fields.index)
    return (pd.to_numeric(fields[score[0]]) / score[1]).astype("float64")


def parsed(texts: pd.Series[str]) -> pd.DataFrame:
    """JSON objects as columns, parsed at once."""
    frame = pd.DataFrame(json.loads(f"[{','.join(texts.fillna('{}'))}]"), index=pd.RangeIndex(len(texts)))
    return frame.astype("object").where(frame.notna(), None)


def as_json(values: pd.DataFrame) -> pd.DataFrame:
    """`values_of` with `value` as JSON text: each distinct value is written once."""
    texts = pd.Series("", index=values.index, dtype="str")
    for name in values["field"].unique():
        of_field = values.loc[values["field"] == name, "value"]
        written = {value: json.dumps(value, ensure_ascii=False) for value in of_field.unique()}
        texts.loc[of_field.index] = of_field.map(written).astype("str")
    return values[VALUE_COLUMNS].assign(value=texts)


def _typed(values: pd.Series[Any], kind: str) -> pd.Series[Any]:
    """What nobody said is missing, not false: a litigator check that was not answered clears nobody."""
    if kind == "text":
        return values.fillna("").astype("str")
    return values.astype("float64" if kind == "number" else "boolean")


def _objects(columns: Mapping[str, pd.Series[str]], index: pd.Index[int]) -> pd.Series[str]:
    """A JSON object a row, name -> value, without the blank ones. Names and values are our own words: no escaping."""
    texts = pd.Series("", index=index, dtype="str")
    for name, values in columns.items():
        values = values.reset_index(drop=True).astype("str")
        piece = (f'"{name}": "' + values + '"').where(values != "", "")
        joiner = pd.Series(", ", index=index, dtype="str").where((texts != "") & (piece != ""), "")
        texts = texts + joiner + piece
    return "{" + texts + "}"
