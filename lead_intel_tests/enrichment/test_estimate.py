"""What the sample says about the whole list: the interval covers the truth, and is as wide as it must be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_intel.enrichment.estimate import Interval, estimate

DRAWS = 500
STRATA = st.lists(
    st.integers(1, 60).flatmap(
        lambda size: st.tuples(st.just(size), st.integers(0, size), st.integers(0, size))  # size, sampled, hits
    ),
    min_size=1,
    max_size=6,
)


def of(strata: list[tuple[int, int, int]]) -> Interval:
    """From (size, sampled, hits in the sample) of each stratum."""
    names = [str(number) for number in range(len(strata))]
    sampled = [one[1] for one in strata]
    hits = [number < found for _, asked, found in strata for number in range(asked)]
    return estimate(
        pd.Series([one[0] for one in strata], index=names),
        pd.Series(np.repeat(names, sampled), dtype="str"),
        pd.Series(hits, dtype="bool"),
    )


@given(STRATA)
@settings(max_examples=200, deadline=None)
def test_the_value_lies_between_the_limits_and_nothing_seen_is_contradicted(
    strata: list[tuple[int, int, int]],
) -> None:
    strata = [(size, asked, min(asked, hits)) for size, asked, hits in strata]
    told, everybody = of(strata), sum(size for size, _, _ in strata)
    assert 0 <= told.low <= told.value + 1e-9
    assert told.value <= told.high + 1e-9 <= 1 + 2e-9
    assert told.low >= sum(hits for _, _, hits in strata) / everybody - 1e-9
    assert told.high <= 1 - sum(asked - hits for _, asked, hits in strata) / everybody + 1e-9


@given(STRATA)
@settings(max_examples=100, deadline=None)
def test_a_sample_of_everybody_is_exact(strata: list[tuple[int, int, int]]) -> None:
    told = of([(size, size, hits) for size, _, hits in strata])
    truth = sum(hits for *_, hits in strata) / sum(size for size, _, _ in strata)
    assert told.low == pytest.approx(truth)
    assert told.high == pytest.approx(truth)


def test_nothing_found_and_everything_found_are_not_certain() -> None:
    nothing, everything = of([(1000, 50, 0)]), of([(1000, 50, 50)])
    assert (nothing.value, nothing.low) == (0, 0)
    assert 0.05 < nothing.high < 0.12
    assert (everything.value, everything.high) == (1, 1)
    assert everything.low == pytest.approx(1 - nothing.high)


def test_an_empty_list_and_an_empty_sample() -> None:
    assert of([(0, 0, 0)]) == Interval(0, 0, 0)
    assert of([(10, 0, 0), (5, 0, 0)]) == Interval(0, 0, 1)


def test_a_larger_sample_says_more() -> None:
    widths = [told.high - told.low for told in (of([(10_000, n, n // 4)]) for n in (100, 1000, 5000))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(
    ("sizes", "percent", "share"),
    [
        ([200], 10, 0.05),
        ([1000, 300, 3], 10, 0.3),
        ([1000, 300, 3], 25, 0.97),
        ([40, 40, 40, 40], 25, 0.5),
        ([500, 50, 5], 60, 0.02),
    ],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(sizes: list[int], percent: int, share: float) -> None:
    chance = np.random.default_rng(20261124)
    covered = 0
    for _ in range(DRAWS):
        hits = [int(chance.binomial(size, share)) for size in sizes]
        asked = [max(1, -(-size * percent // 100)) for size in sizes]
        found = [int(chance.hypergeometric(k, size - k, n)) for k, size, n in zip(hits, sizes, asked, strict=True)]
        told = of(list(zip(sizes, asked, found, strict=True)))
        truth = sum(hits) / sum(sizes)
        covered += told.low - 1e-9 <= truth <= told.high + 1e-9
    assert covered / DRAWS >= 0.93
