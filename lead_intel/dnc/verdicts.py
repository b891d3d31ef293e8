"""What every source says about each lead -> one verdict, all reasons kept. Pure and vectorised; no I/O.

The verdict is the worst that any source says: block over hold over send. A source that did not answer holds; nothing
here can turn silence into `send`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from lead_intel.calls.ports import Outcome
from lead_intel.dnc import consent
from lead_intel.dnc.registry import Flags
from lead_intel.policy import Policy, Profile

Level = Literal["send", "hold", "block"]
_LEVELS: tuple[Level, ...] = ("send", "hold", "block")

_ANSWERS = tuple(outcome.value for outcome in Outcome if outcome.is_answer)


@dataclass(frozen=True, slots=True)
class RegistrySays:
    """The registry's answers, one flag per lead, and the date of its version; None: no list was imported."""

    listed: Flags
    covered: Flags
    version_date: date


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Our own list: one flag per lead."""

    phone: Flags
    email: Flags


class Findings:
    """Reasons per lead, as bits, with what each means for a contact."""

    def __init__(self, leads: int) -> None:
        self._reasons: list[str] = []
        self._bits = np.zeros(leads, dtype=np.uint64)
        self._worst = np.zeros(leads, dtype=np.int8)

    def add(self, reason: str, level: Level, where: npt.ArrayLike) -> None:
        """Note `reason` for the leads flagged in `where`."""
        flags = np.asarray(where, dtype=bool)
        if not flags.any():
            return
        self._bits[flags] |= np.uint64(1 << len(self._reasons))
        self._reasons.append(reason)
        self._worst[flags] = np.maximum(self._worst[flags], _LEVELS.index(level))

    @property
    def may_send(self) -> Flags:
        """Leads that no source speaks against so far."""
        return np.asarray(self._worst == 0)

    def verdicts(self) -> npt.NDArray[np.object_]:
        """The worst level per lead."""
        return np.array(_LEVELS, dtype=object)[self._worst]

    def reasons(self) -> npt.NDArray[np.object_]:
        """The reasons per lead, `|`-joined."""
        distinct, places = np.unique(self._bits, return_inverse=True)
        texts = [
            "|".join(reason for bit, reason in enumerate(self._reasons) if int(bits) >> bit & 1) for bits in distinct
        ]
        return np.array(texts, dtype=object)[places]


def registry_fresh_until(version_date: date, fresh_days: int) -> datetime:
    """The first moment at which a version is too old: the day after its last good day begins, UTC.

    A version may be `fresh_days` (31) days old at the contact, not a day older: 16 CFR 310.4(b)(3)(iv). UTC's day ends
    before any American one, so this is never too late.
    """
    return datetime.combine(version_date + timedelta(days=fresh_days + 1), time(), UTC)


def own_findings(
    leads: pd.DataFrame,
    lookups: pd.DataFrame,
    registry: RegistrySays | None,
    suppressed: Suppressed,
    *,
    profile: Profile,
    policy: Policy,
    now: datetime,
) -> Findings:
    """What we know ourselves: registry, opt-outs, Lookup, region, consent (frames: ValidLeads, PhoneLookups)."""
    findings = Findings(len(leads))
    _registry(findings, registry, policy.dnc.fresh_days, now)
    findings.add("suppressed_phone", "block", suppressed.phone)
    findings.add("suppressed_email", "block", suppressed.email)
    _lookups(findings, leads, lookups, policy.dnc.line_types)
    findings.add("region_not_contactable", "hold", ~leads["region"].isin(policy.dnc.regions))
    _consent(findings, leads, policy, profile, now)
    return findings


def vendor_findings(
    findings: Findings,
    phones: pd.Series,
    asked: Flags,
    answers: pd.DataFrame,
    codes: Mapping[str, Level],
) -> None:
    """Add what the DNC vendor says (`answers`: phone, result_code, reason); a lead asked about in vain is held."""
    said = _per_lead(answers, phones)
    code = said["result_code"]
    answered = code.notna().to_numpy()
    findings.add("dnc_no_answer", "hold", asked & ~answered)
    litigator = said["reason"].str.contains("litigator", case=False, na=False)
    findings.add("litigator", "block", litigator)
    for value in sorted(code[answered].unique()):
        level = codes.get(value)
        if level is None:
            findings.add("dnc_vendor_unknown_code", "block", code.eq(value) & answered)
        elif level != "send":
            findings.add(f"dnc_vendor_{value.lower()}", level, code.eq(value) & answered)


def fresh_until(
    phones: pd.Series,
    registry: RegistrySays | None,
    answers: pd.DataFrame,
    *,
    fresh_days: int,
    answer_days: int,
    now: datetime,
) -> pd.Series:
    """Until when each verdict may be acted on: the minimum over its sources. Without a list: `now`."""
    base = now if registry is None else registry_fresh_until(registry.version_date, fresh_days)
    until = pd.Series(pd.Timestamp(base), index=phones.index).astype("datetime64[us, UTC]")
    by_vendor = _per_lead(answers, phones)["answered_at"] + pd.Timedelta(days=answer_days)
    return until.where(~(by_vendor < until), by_vendor)


def _registry(findings: Findings, registry: RegistrySays | None, fresh_days: int, now: datetime) -> None:
    everyone = np.ones(len(findings.may_send), dtype=bool)
    if registry is None:
        findings.add("dnc_list_missing", "hold", everyone)
        return
    findings.add("dnc_registry", "block", registry.listed)
    findings.add("not_scrubbed", "hold", ~registry.covered)
    if now >= registry_fresh_until(registry.version_date, fresh_days):
        findings.add("dnc_list_stale", "hold", everyone)


def _lookups(findings: Findings, leads: pd.DataFrame, lookups: pd.DataFrame, line_types: Mapping[str, Level]) -> None:
    answered_phones = lookups.loc[lookups["outcome"].isin(_ANSWERS), "phone"]
    answered = leads["phone"].isin(answered_phones)
    invalid = answered & leads["phone"].isin(lookups.loc[~lookups["valid"], "phone"])
    findings.add("lookup_no_answer", "hold", ~answered)
    findings.add("phone_invalid", "block", invalid)
    line_type = _per_lead(lookups, leads["phone"])["line_type"]
    for value in sorted(line_type[answered].dropna().unique()):
        level = line_types.get(value, "hold")
        if level != "send":
            findings.add(f"line_type_{_snake(value)}", level, answered & (line_type == value))


def _per_lead(by_phone: pd.DataFrame, phones: pd.Series) -> pd.DataFrame:
    """The last row about each lead's number, missing where there is none; in the order and index of `phones`."""
    said = by_phone.drop_duplicates("phone", keep="last").set_index("phone").reindex(phones)
    said.index = phones.index
    return said


def _consent(findings: Findings, leads: pd.DataFrame, policy: Policy, profile: Profile, now: datetime) -> None:
    missing = consent.missing_evidence(leads, policy.consent.evidence[profile])
    findings.add("consent_evidence_missing", "hold", missing)
    times = consent.consent_times(leads["consent_at"])
    findings.add("consent_time_invalid", "hold", consent.invalid_times(leads["consent_at"], times, now))
    findings.add("consent_too_old", "hold", consent.too_old(times, now, policy.consent.max_age_days[profile]))


def _snake(line_type: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", line_type).lower()
