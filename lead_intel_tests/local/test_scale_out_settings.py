"""The Dagster settings of several machines are those of one machine, but for what they are for."""

from __future__ import annotations

from typing import Any

import yaml

from lead_intel.settings import REPOSITORY


def settings_of(path: str) -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / path).read_text())


def test_several_machines_differ_in_launcher_queue_and_monitoring_only() -> None:
    one, several = settings_of("dagster.yaml"), settings_of("deploy/scale-out/dagster.yaml")

    assert several.pop("run_launcher")["class"] == "CeleryRunLauncher"
    queue, monitoring = several.pop("run_coordinator"), several.pop("run_monitoring")
    runs = one.pop("concurrency")["runs"]
    assert queue["config"]["tag_concurrency_limits"] == runs["tag_concurrency_limits"]
    assert queue["class"] == one.pop("run_coordinator")["class"]
    assert monitoring == one.pop("run_monitoring") | {"max_resume_run_attempts": 0}
    assert several == one
