"""The process that the kill loop kills: one paid stage, as its asset runs it."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from uuid import NAMESPACE_DNS, uuid5

import pandas as pd
import psycopg

from lead_intel.dnc.screening import screen
from lead_intel.enrichment.fan_out import Errand, fan_out
from lead_intel.enrichment.questions import VENDORS
from lead_intel.lookup.lookup import look_up
from lead_intel.policy import Policy, load_policy
from lead_intel.record.database import connected
from lead_intel.settings import Settings, load_settings

UPLOAD = "upl_20261124_kkkkkkkkkk"


FIRST_PHONE = 12125200000
UNSURE = "unsure"
"""In the addresses that the first vendor of the waterfall cannot judge, so that the second is asked about them."""


def address(step: int) -> str:
    """The e-mail address of the lead number `step`; those of every other lead hold UNSURE."""
    return f"{'person' if step % 2 else UNSURE}{step}@example.com"


def phones(subjects: int) -> list[int]:
    return [FIRST_PHONE + step for step in range(subjects)]


def lead_ids(subjects: int) -> list[str]:
    return [str(uuid5(NAMESPACE_DNS, f"lead {step}")) for step in range(subjects)]


@dataclass
class Work:
    """What screening needs of a stage at work."""

    settings: Settings
    policy: Policy
    connection: psycopg.Connection
    upload: str = UPLOAD
    stop: threading.Event = field(default_factory=threading.Event)

    def progress(self, done: int, total: int) -> None:
        pass


def scrub(settings: Settings, policy: Policy, subjects: int) -> None:
    leads = {
        "lead_id": lead_ids(subjects),
        "phone": phones(subjects),
        "email": [address(step) for step in range(subjects)],
        "region": "US",
        "consent_source": "web_form",
        "consent_at": "2026-10-01T10:00:00Z",
        "consent_url": "https://example.com/form",
        **dict.fromkeys(("consent_text", "consent_ip", "consent_seller", "consent_channel", "consent_purpose"), ""),
    }
    known = {"outcome": "ok", "valid": True, "line_type": "mobile", "carrier_name": "Carrier", "error_code": 0}
    with connected(settings) as connection:
        screen(
            Work(settings, policy, connection),
            pd.DataFrame(leads),
            pd.DataFrame({"phone": phones(subjects)} | known),
            profile="lenient",
            supplier="acme",
            before_paying=lambda: None,
        )


def look(settings: Settings, policy: Policy, subjects: int) -> None:
    with connected(settings) as connection:
        look_up(
            pd.Series(phones(subjects), dtype="int64"),
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
            "lead_id": lead_ids(subjects),
            "phone": phones(subjects),
            "email": [address(step) for step in range(subjects)],
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
    # Every vendor that there is, so that the second of the waterfall is asked too.
    changed = {"vendors": limits, "enrichment": VENDORS}
    policy = policy.model_copy(update={"vendors": policy.vendors.model_copy(update=changed)})
    {"lookup": look, "dnc": scrub, "enrichment": enrich}[stage](settings, policy, subjects)
