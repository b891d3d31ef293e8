"""The process that the kill loop kills: one paid stage, as its asset runs it."""

from __future__ import annotations

import os
import threading
from multiprocessing.connection import Connection
from uuid import NAMESPACE_DNS, uuid5

import pandas as pd

from lead_intel.enrichment.fan_out import Errand, fan_out
from lead_intel.enrichment.questions import VENDORS
from lead_intel.lookup.lookup import look_up
from lead_intel.policy import Policy, load_policy
from lead_intel.record.database import connected
from lead_intel.settings import Settings, load_settings

UPLOAD = "upl_20261124_kkkkkkkkkk"


def look(settings: Settings, policy: Policy, subjects: int) -> None:
    with connected(settings) as connection:
        look_up(
            pd.Series([12125200000 + step for step in range(subjects)], dtype="int64"),
            connection,
            settings=settings,
            policy=policy,
            upload=UPLOAD,
            supplier="acme",
            stop=threading.Event(),
            progress=lambda _done, _total: None,
            before_paying=lambda: None,
        )


def enrich(settings: Settings, policy: Policy, subjects: int) -> None:
    people = pd.DataFrame(
        {
            "lead_id": [str(uuid5(NAMESPACE_DNS, f"lead {step}")) for step in range(subjects)],
            "phone": [12125200000 + step for step in range(subjects)],
            "email": [f"person{step}@example.com" for step in range(subjects)],
            **dict.fromkeys(("first_name", "last_name", "city", "state", "postal_code"), ""),
        }
    )
    fan_out(people, VENDORS, Errand(settings, policy, UPLOAD, "acme", threading.Event()), lambda _done, _total: None)


def victim(environ: dict[str, str], stage: str, subjects: int, in_flight: int, go: Connection) -> None:
    """Run `stage` once `go` says so."""
    os.environ.update(environ)
    go.recv()
    settings = load_settings()
    policy = load_policy(settings.lead_intel_policy_dir)
    limits = {
        name: one.model_copy(update={"concurrency": in_flight, "per_second": 1000.0})
        for name, one in policy.vendors.vendors.items()
    }
    policy = policy.model_copy(update={"vendors": policy.vendors.model_copy(update={"vendors": limits})})
    {"lookup": look, "enrichment": enrich}[stage](settings, policy, subjects)
