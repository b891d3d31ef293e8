"""Frames at rest, and what a killed process leaves beside them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pandas as pd

from lead_intel.record.frames import fetched_lists, read_frame, remove_abandoned, write_frame

UPLOAD = "upl_20261124_0000000001"


def leave(path: Path, seconds_ago: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("left behind")
    then = time.time() - seconds_ago
    os.utime(path, (then, then))
    os.utime(path.parent, (then, then))
    return path


def test_what_dead_processes_left_is_removed_and_frames_are_not(tmp_path: Path) -> None:
    frame = pd.DataFrame({"phone": [1]})
    kept = write_frame(tmp_path / "frames", "enrichment/trestle", UPLOAD, frame)
    half = leave(tmp_path / "frames" / "enrichment" / "trestle" / f"{UPLOAD}.99.tmp", 7200)
    fetched = leave(fetched_lists(tmp_path) / UPLOAD / "list", 7200)
    os.utime(kept, (0, 0))

    assert remove_abandoned(tmp_path, 3600) == 2

    assert not half.exists()
    assert not fetched.parent.exists()
    pd.testing.assert_frame_equal(read_frame(tmp_path / "frames", "enrichment/trestle", UPLOAD), frame)


def test_what_may_still_be_at_work_stays(tmp_path: Path) -> None:
    half = leave(tmp_path / "frames" / "valid_leads" / f"{UPLOAD}.99.tmp", 60)
    fetched = leave(fetched_lists(tmp_path) / UPLOAD / "list", 60)

    assert remove_abandoned(tmp_path, 3600) == 0
    assert half.exists()
    assert fetched.exists()


def test_a_home_without_either_is_fine(tmp_path: Path) -> None:
    assert remove_abandoned(tmp_path / "nothing") == 0
