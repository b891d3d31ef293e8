"""One durable round through the real entry point, and what is left in the books afterwards."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from lead_intel.calls.paid import answer_all
from lead_intel.calls.ports import Answered, CallSummary
from lead_intel.policy import Policy
from lead_intel.settings import Settings, load_settings
from lead_intel.vendors.twilio_lookup import TwilioLookup


@dataclass
class Rounds:
    """Runs rounds of Twilio Lookup and keeps what `store` was handed."""

    policy: Policy
    stop: threading.Event = field(default_factory=threading.Event)
    answered: list[Answered] = field(default_factory=list)

    def run(
        self,
        phones: Sequence[int],
        upload: str = "upl_20261124_aaaaaaaaaa",
        progress: Callable[[int, int], None] = lambda done, total: None,
        **limits: Any,
    ) -> CallSummary:
        settings = load_settings()
        vendor = TwilioLookup(settings)
        return answer_all(
            [vendor.ask_about(phone) for phone in phones],
            vendor,
            self.policy.limits_of(vendor.name).model_copy(update=limits),
            settings=settings,
            upload=upload,
            supplier="acme",
            stop=self.stop,
            store=lambda _connection, batch: self.answered.extend(batch),
            progress=progress,
        )

    def another(self) -> Rounds:
        """Rounds of somebody else at the same time."""
        return Rounds(self.policy)

    def side_by_side(self, *rounds: Callable[[], CallSummary]) -> list[CallSummary]:
        """Rounds at the same time, each in a thread of its own."""
        with ThreadPoolExecutor(len(rounds)) as pool:
            return [future.result() for future in [pool.submit(one) for one in rounds]]


@pytest.fixture
def rounds(settings: Settings, policy: Policy) -> Iterator[Rounds]:
    running = Rounds(policy)
    yield running
    running.stop.set()


@pytest.fixture
def budget(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set caps: `budget(per_upload="0.10")`."""
    folder = tmp_path / "policy"
    shutil.copytree(settings.lead_intel_policy_dir, folder)
    monkeypatch.setenv("LEAD_INTEL_POLICY_DIR", str(folder))

    def set_caps(**caps: Any) -> None:
        path = folder / "budgets.yml"
        content = {**yaml.safe_load(path.read_text()), **caps}
        path.write_text(yaml.safe_dump(content, default_flow_style=False))

    return set_caps
