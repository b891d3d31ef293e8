"""The sample is nested, stratified and independent of the order of rows."""

from __future__ import annotations

import math
import time
import uuid
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_intel.contract import LeadSample, checked
from lead_intel.enrichment.sampling import draw, sample_key, staying, stratified

KEY = sample_key("secret", "2026-11")
PERCENTS = st.decimals(0, 100, places=2)
LEADS = st.dictionaries(st.uuids().map(str), st.sampled_from(["mobile|a", "landline|a", "unknown|b"]), max_size=60)


def frame(leads: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {"lead_id": pd.Series(list(leads), dtype="str"), "stratum": pd.Series(list(leads.values()), dtype="str")}
    )


@given(LEADS, PERCENTS, PERCENTS, st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_a_smaller_percent_lies_inside_a_larger_one(
    leads: dict[str, str], one: Decimal, other: Decimal, minimum: int
) -> None:
    low, high = sorted((one, other))
    small, large = (draw(frame(leads), percent, minimum, KEY) for percent in (low, high))
    assert set(small["lead_id"]) <= set(large["lead_id"])
    checked(small, LeadSample)


@given(LEADS, PERCENTS, st.integers(0, 3), st.randoms())
@settings(max_examples=100, deadline=None)
def test_the_order_of_rows_changes_nothing(leads: dict[str, str], percent: Decimal, minimum: int, chance) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(leads.items())
    chance.shuffle(shuffled)
    first, second = draw(frame(leads), percent, minimum, KEY), draw(frame(dict(shuffled)), percent, minimum, KEY)
    pd.testing.assert_frame_equal(first, second)


@given(LEADS, PERCENTS, st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_each_stratum_gives_its_percent_rounded_up_and_its_minimum(
    leads: dict[str, str], percent: Decimal, minimum: int
) -> None:
    drawn = draw(frame(leads), percent, minimum, KEY)["stratum"].value_counts().to_dict()
    for stratum, size in frame(leads)["stratum"].value_counts().items():
        wanted = min(size, max(math.ceil(percent * size / 100), minimum)) if percent else 0
        assert drawn.get(stratum, 0) == wanted


@given(st.lists(st.tuples(PERCENTS, LEADS), min_size=2, max_size=5), st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_who_was_drawn_stays_drawn_at_that_percent_and_above_while_lists_and_line_types_change(
    uploads: list[tuple[Decimal, dict[str, str]]], minimum: int
) -> None:
    everybody = list({lead for _, leads in uploads for lead in leads})
    first_at: dict[str, Decimal] = {}
    for percent, strata in uploads:
        # The same people come again; each upload knows other line types about some of them.
        leads = {lead: strata.get(lead, "unknown|a") for lead in everybody}
        earlier = [lead for lead, at in first_at.items() if at <= percent]
        drawn = set(draw(frame(leads), percent, minimum, KEY, earlier)["lead_id"])
        if percent:
            assert set(earlier) <= drawn
            assert set(draw(frame(leads), percent, minimum, KEY)["lead_id"]) <= drawn
        first_at |= {lead: min(percent, first_at.get(lead, percent)) for lead in drawn}


def test_another_list_keeps_those_who_moved_and_draws_the_others_anew() -> None:
    leads = frame({"same": "mobile|a", "moved": "mobile|a", "new": "mobile|a"})
    earlier = pd.DataFrame(
        {
            "lead_id": ["same", "moved", "gone"],
            "stratum": ["mobile|a", "unknown|a", "unknown|a"],
            "here": [False, False, False],
        }
    )
    assert staying(leads, earlier) == {"moved"}
    assert staying(leads, earlier.assign(here=True)) == {"same", "moved"}


def test_a_hundred_percent_is_everybody_and_zero_is_nobody() -> None:
    leads = frame({str(uuid.uuid4()): "mobile|a" for _ in range(50)})
    assert len(draw(leads, Decimal(100), 1, KEY)) == 50
    assert draw(leads, Decimal(0), 5, KEY).empty


def test_another_key_version_is_another_order() -> None:
    leads = frame({str(uuid.uuid4()): "mobile|a" for _ in range(200)})
    old = draw(leads, Decimal(50), 1, KEY)["lead_id"]
    new = draw(leads, Decimal(50), 1, sample_key("secret", "2026-12"))["lead_id"]
    assert set(old) != set(new)


def test_a_stratum_is_a_line_type_of_a_supplier() -> None:
    leads = pd.DataFrame({"lead_id": ["a", "b", "c"], "phone": [1, 2, 3]})
    lookups = pd.DataFrame({"phone": [1, 2], "line_type": ["mobile", "landline"]})
    assert stratified(leads, lookups, "acme").to_dict("records") == [
        {"lead_id": "a", "stratum": "mobile|acme"},
        {"lead_id": "b", "stratum": "landline|acme"},
        {"lead_id": "c", "stratum": "unknown|acme"},
    ]


@pytest.mark.slow
def test_a_million_leads_are_drawn_in_seconds() -> None:
    leads = pd.DataFrame({"lead_id": pd.Series([str(uuid.UUID(int=n)) for n in range(1_000_000)], dtype="str")})
    leads["stratum"] = (leads.index % 5).astype("str")
    started = time.process_time()
    assert len(draw(leads, Decimal(25), 1, KEY)) == 250_000
    assert time.process_time() - started < 15
