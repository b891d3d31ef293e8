"""A Do-Not-Call index of 250 million invented numbers in 320 area codes, made by the product's own code, once."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.lists import SEED
from lead_intel.dnc.registry import LINES, Slots, publish
from lead_intel.intake.nanp import nanp_table

AREA_CODES = 320


def made_index(folder: Path, numbers: int) -> Path:
    """The index in `folder`; made there when it is missing."""
    named = folder / f"{numbers}.digest"
    if named.exists():
        return folder / named.read_text()
    rng, slots = np.random.default_rng(SEED), Slots()
    # Area codes with the most valid exchanges: those that a list's numbers come from.
    filled = (nanp_table().codes.reshape(1000, 1000) > 0).sum(axis=1)
    for area_code in np.sort(np.argsort(-filled, kind="stable")[:AREA_CODES]).tolist():
        density = numbers / AREA_CODES / LINES
        # In ascending order from the start: gaps instead of numbers.
        lines = np.cumsum(rng.geometric(density, round(1.02 * density * LINES) + 9)) - 1
        slots.add(area_code * LINES + lines[lines < LINES])
    digest, _ = publish(slots, folder, "invented", "US", date(2026, 11, 1))
    named.write_text(digest)
    return folder / digest


def some_numbers(seed: int, size: int) -> np.ndarray:
    """Ten-digit numbers for the plain script's set: 250 million do not fit into one."""
    return np.random.default_rng(seed).integers(2_010_000_000, 9_899_999_999, size)
