"""One upload's screening: asks every source, buys the answers that are missing, keeps answers and verdicts.

The vendor is asked only about leads that nothing else holds or blocks: an answer that could not make a lead
contactable is not bought. A vendor that fails in whatever way leaves its leads on hold.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol, cast

import numpy as np
import pandas as pd
import psycopg

from lead_intel.calls.paid import answer_all
from lead_intel.calls.ports import Answered, CallSummary
from lead_intel.dnc import verdicts
from lead_intel.dnc.snapshots import open_newest
from lead_intel.dnc.verdicts import RegistrySays, Suppressed
from lead_intel.errors import Paused
from lead_intel.policy import Policy, Profile
from lead_intel.record import database, suppressions
from lead_intel.record import dnc as record
from lead_intel.settings import Settings
from lead_intel.vendors.dncscrub import MOST_NUMBERS, DncScrub

_PLAN = 10**10
"""+1 numbers are 1 followed by ten digits: the only ones that the vendor scrubs."""


class AtWork(Protocol):
    """What of a stage at work is needed here (`lead_intel.stage.StageAtWork` has it)."""

    upload: str
    settings: Settings
    policy: Policy
    connection: psycopg.Connection
    stop: threading.Event

    def progress(self, done: int, total: int) -> None:
        """Show how far the work is."""
        ...


@dataclass(frozen=True, slots=True)
class Screening:
    """`frame` as in `contract.DncVerdicts`; how many numbers were asked about, cached, and left without an answer."""

    frame: pd.DataFrame
    snapshot: str | None
    version_date: date | None
    asked: int = 0
    cached: int = 0
    unanswered: int = 0
    calls: CallSummary | None = None

    def refuse_unanswered(self, share: float) -> None:
        """Go on only if the vendor answered: a list that is held for its silence is not screened.

        Raises:
            Paused: `dnc`, when more than `share` of the numbers that it had to answer for have no answer.
        """
        wanted = self.asked + self.cached
        if self.unanswered > share * wanted:
            raise Paused(
                "dnc",
                f"The DNC vendor gave no answer about {self.unanswered:,} of {wanted:,} numbers; their leads are held.",
                "It is asked again by itself while `lead-intel up` runs; `lead-intel resume` asks at once.",
            )


def screen(
    at_work: AtWork,
    leads: pd.DataFrame,
    lookups: pd.DataFrame,
    *,
    profile: Profile,
    supplier: str,
    before_paying: Callable[[], None],
) -> Screening:
    """Screen `leads` (ValidLeads) with `lookups` (PhoneLookups) and keep the verdicts.

    `before_paying` is asked once, only when an answer is to be bought; it raises to keep us from it.

    Raises:
        SetupError: the registry's index is not on this machine.
        Paused: the vendor refuses our credentials, or the budget is used up; verdicts stay as they were.
    """
    connection, settings, policy = at_work.connection, at_work.settings, at_work.policy
    key = settings.lead_intel_identity_key
    registry, snapshot = _registry(connection, settings, leads["phone"])
    suppressed = Suppressed(
        suppressions.suppressed_phones(connection, key, leads["phone"]).to_numpy(),
        suppressions.suppressed_emails(connection, key, leads["email"]).to_numpy(),
    )
    now = database.now(connection)
    findings = verdicts.own_findings(leads, lookups, registry, suppressed, profile=profile, policy=policy, now=now)
    candidates = findings.may_send
    answers, bought = _vendor_answers(at_work, supplier, leads.loc[candidates, "phone"], now, before_paying)
    verdicts.vendor_findings(findings, leads["phone"], candidates, answers, policy.dnc.vendor_codes)
    frame = pd.DataFrame(
        {
            "lead_id": leads["lead_id"].to_numpy(),
            "verdict": pd.Series(findings.verdicts(), dtype="str"),
            "reasons": pd.Series(findings.reasons(), dtype="str"),
            "fresh_until": verdicts.fresh_until(
                leads["phone"],
                registry,
                answers,
                fresh_days=policy.dnc.fresh_days,
                answer_days=policy.dnc.vendor_answer_days,
                now=now,
            ).array,
        }
    )
    record.save_verdicts(connection, at_work.upload, frame, profile=profile, snapshot=snapshot)
    return Screening(
        frame,
        snapshot,
        None if registry is None else registry.version_date,
        asked=bought.asked,
        cached=bought.cached,
        unanswered=bought.unanswered,
        calls=bought.calls,
    )


@dataclass(frozen=True, slots=True)
class _Bought:
    asked: int
    cached: int
    unanswered: int
    calls: CallSummary | None


def _registry(
    connection: psycopg.Connection, settings: Settings, phones: pd.Series
) -> tuple[RegistrySays | None, str | None]:
    registry = open_newest(connection, settings)
    if registry is None:
        return None, None
    said = registry.look_up(phones.to_numpy(dtype=np.int64))
    return RegistrySays(said.listed, said.covered, registry.facts.version_date), registry.path.name


def _vendor_answers(
    at_work: AtWork, supplier: str, phones: pd.Series, now: datetime, before_paying: Callable[[], None]
) -> tuple[pd.DataFrame, _Bought]:
    """Fresh answers about `phones`, bought where there are none.

    The call ledger knows batches, not numbers: which numbers to buy is found out by one upload at a time.
    """
    connection, days = at_work.connection, at_work.policy.dnc.vendor_answer_days
    wanted = phones[(phones >= _PLAN) & (phones < 2 * _PLAN)].drop_duplicates()
    known = record.fresh_answers(connection, DncScrub.name, wanted, days)
    if len(known) == len(wanted):
        return known, _Bought(0, len(known), 0, None)
    with record.buying_alone(at_work.settings, at_work.stop):
        known = record.fresh_answers(connection, DncScrub.name, wanted, days)
        missing = np.setdiff1d(wanted.to_numpy(), known["phone"].to_numpy())
        if not len(missing):
            return known, _Bought(0, len(known), 0, None)
        before_paying()
        calls = _buy(at_work, supplier, missing, now.date())
    answers = record.fresh_answers(connection, DncScrub.name, wanted, days)
    return answers, _Bought(len(missing), len(known), len(wanted) - len(answers), calls)


def _buy(at_work: AtWork, supplier: str, phones: np.ndarray, day: date) -> CallSummary:
    settings, policy = at_work.settings, at_work.policy
    vendor = DncScrub(settings)
    batches = [phones[start : start + MOST_NUMBERS] for start in range(0, len(phones), MOST_NUMBERS)]
    limits = policy.limits_of(vendor.name)
    # The call ledger must not hand back an answer that is too old to be acted on.
    limits = limits.model_copy(update={"cache_days": min(limits.cache_days, policy.dnc.vendor_answer_days)})
    return answer_all(
        [vendor.ask_about([int(phone) for phone in batch], day) for batch in batches],
        vendor,
        limits,
        settings=settings,
        upload=at_work.upload,
        supplier=supplier,
        stop=at_work.stop,
        store=_store,
        progress=at_work.progress,
    )


def _store(connection: psycopg.Connection, batch: Sequence[Answered]) -> None:
    """Keep what was answered; what was not leaves no row, and its leads on hold."""
    rows = [
        (int(digits), str(said["result_code"]), str(said["reason"]), answered.call_id)
        for answered in batch
        if answered.verdict.outcome.is_answer
        for digits, said in cast("dict[str, dict[str, object]]", answered.verdict.fields.get("rows", {})).items()
    ]
    record.save_answers(
        connection, DncScrub.name, pd.DataFrame(rows, columns=["phone", "result_code", "reason", "call_id"])
    )
