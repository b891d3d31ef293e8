"""An upload that is screened and has persona members, as the rooms before activation leave it."""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pandas as pd
import psycopg
import pytest

from lead_intel.activation.activate import activate, resync
from lead_intel.activation.approval import approve
from lead_intel.activation.exits import STALE_FOR, take_out
from lead_intel.activation.planning import Planned, keep_members, make_plan
from lead_intel.policy import Policy
from lead_intel.record import outbox, plans
from lead_intel.settings import Settings

UPLOAD = "upl_20261124_0000000001"
PERSONA = "verified_email"
KEY = "li_verified_email"


def lead_of(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"lead {number}"))


def members_of(numbers: range | list[int], persona: str = PERSONA, **traits: Any) -> pd.DataFrame:
    """Persona members with traits of their own; the version follows the traits."""
    rows = []
    for number in numbers:
        text = json.dumps({"phone": f"+1212555{number:04d}", **traits})
        version = hashlib.sha256(f"{persona}{text}".encode()).hexdigest()
        rows.append((lead_of(number), persona, 60.0, "{}", text, version))
    frame = pd.DataFrame(rows, columns=["lead_id", "persona", "score", "score_parts", "traits", "version"])
    return frame.astype({name: "str" for name in frame.columns if name != "score"} | {"score": "float64"})


@dataclass
class Campaign:
    """A stage at work, with shortcuts for the tests. `upload` may be changed to play another upload."""

    settings: Settings
    policy: Policy
    connection: psycopg.Connection
    sandbox: Any
    upload: str = UPLOAD
    stop: threading.Event = field(default_factory=threading.Event)
    asked: int = 0

    def progress(self, done: int, total: int) -> None:
        self.done = done

    lead_of = staticmethod(lead_of)
    members_of = staticmethod(members_of)

    def kept(self) -> list[dict[str, Any]]:
        """The events that the sandbox's workspace kept, oldest first."""
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = self.sandbox._get(f"/control/ledger/segment_tracking/events?after={after}&limit=1000")
            found += [event["event"] for event in page["events"] if event["kept"]]
            after = page["next"]
        return found

    def audience(self, key: str = KEY) -> set[str]:
        """Leads that are in the audience, by what the workspace kept."""
        members: dict[str, bool] = {}
        for event in self.kept():
            if key in event["traits"]:
                members[event["userId"]] = event["traits"][key]
        return {lead for lead, inside in members.items() if inside}

    def leads(self, numbers: Iterable[int]) -> set[str]:
        """Ids of these leads."""
        return {lead_of(number) for number in numbers}

    def receive(self, upload: str, leads: range | list[int], *, verdict: str = "send", days: int = 20) -> None:
        """An upload with these leads, screened."""
        self.connection.execute(
            "insert into lead_intel.lead_ingestions "
            "(upload, supplier, sha256, sample_percent, activation_ready, created_at) "
            "values (%s, 'acme', %s, 100, true, clock_timestamp()) on conflict do nothing",
            (upload, upload),
        )
        with self.connection.cursor() as cursor:
            cursor.executemany(
                "insert into lead_intel.leads (lead_id, phone, email, first_upload) values (%s, %s, %s, %s) "
                "on conflict do nothing",
                [(lead_of(n), 12_125_550_000 + n, f"person{n}@example.com", upload) for n in leads],
            )
            cursor.executemany(
                "insert into lead_intel.lead_samples (upload, lead_id, stratum, position) values (%s, %s, 'all', %s) "
                "on conflict do nothing",
                [(upload, lead_of(n), place) for place, n in enumerate(leads, start=1)],
            )
            cursor.executemany(
                "insert into lead_intel.dnc_verdicts (upload, lead_id, profile, verdict, reasons, fresh_until) "
                "values (%s, %s, 'strict', %s, '{}', now() + make_interval(days => %s)) on conflict (upload, lead_id) "
                "do update set verdict = excluded.verdict, fresh_until = excluded.fresh_until",
                [(upload, lead_of(n), verdict, days) for n in leads],
            )

    def plan(self, members: pd.DataFrame) -> Planned:
        keep_members(self.connection, self.upload, self.policy, members)
        return make_plan(self.connection, self.settings, self.policy, self.upload, members)

    def push(self, planned: Planned, *, is_resync: bool = False) -> pd.DataFrame:
        """Push a plan that is approved."""
        return activate(self, planned.messages, is_resync=is_resync, before_pushing=self._ask)

    def resync(self, planned: Planned) -> pd.DataFrame:
        """Push a plan as the re-sync does."""
        return resync(self, planned.messages, before_pushing=self._ask, before_exits=self._ask)

    def exits(self, **stale_for: float) -> pd.DataFrame:
        """Take out who may not be contacted; a verdict counts as stale after a day, or after `stale_for`."""
        return take_out(self, stale_for=timedelta(**stale_for) if stale_for else STALE_FOR, before_exits=self._ask)

    def activate(self, members: pd.DataFrame) -> pd.DataFrame:
        """Plan, approve, push."""
        planned = self.plan(members)
        approve(self.connection, planned.plan.plan, "ann", self.policy.activation)
        return self.push(planned)

    def _ask(self) -> None:
        self.asked += 1

    def counts(self) -> dict[str, int]:
        return outbox.lead_counts(self.connection, self.upload)

    def messages(self) -> dict[str, int]:
        return outbox.message_counts(self.connection, self.upload)

    def newest(self) -> plans.Plan:
        return plans.newest(self.connection, self.upload)

    def with_activation(self, **changes: Any) -> None:
        """Change activation policy."""
        changed = self.policy.activation.model_copy(update=changes)
        self.policy = self.policy.model_copy(update={"activation": changed})


@pytest.fixture
def campaign(database: psycopg.Connection, settings: Settings, policy: Policy, sandbox: Any) -> Campaign:
    campaign = Campaign(settings, policy, database, sandbox)
    campaign.receive(UPLOAD, range(20))
    return campaign
