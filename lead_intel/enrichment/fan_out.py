"""Every group of enrichment vendors at once, each in a thread of its own; within a waterfall one after the other.

Knows no Dagster. A vendor that fails labels its rows; only a stop, a budget or a dead database ends the stage.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import psycopg

from lead_intel.calls.paid import answer_all
from lead_intel.calls.ports import Answered, CallSummary
from lead_intel.enrichment.merge import parsed
from lead_intel.enrichment.questions import Questionnaire, questionnaire
from lead_intel.enrichment.waterfall import chains, missing
from lead_intel.errors import LeadIntelError, Paused, Stopped
from lead_intel.policy import Policy
from lead_intel.record import enrichments, vendor_calls
from lead_intel.record.database import connected
from lead_intel.record.enrichments import EnrichmentRow
from lead_intel.record.vendor_calls import Stored
from lead_intel.settings import Settings

NOT_ASKED = "not_asked"
"""Outcome of a lead about which this vendor has nothing to be asked (no address), or which policy leaves out."""

FOUND = "found"
"""Outcome of a lead that another vendor of the waterfall has found: this one was not asked, nor paid."""

_RUN_LEVEL = {"credentials": "auth", "quota": "quota"}
"""Why one vendor may be given up while the others go on -> the outcome of the rows that it leaves behind."""

_BLOCK = 50_000


@dataclass(frozen=True, slots=True)
class Errand:
    """For whom the vendors are asked."""

    settings: Settings
    policy: Policy
    upload: str
    supplier: str
    stop: threading.Event


@dataclass(frozen=True, slots=True)
class VendorResult:
    """`frame` is as in `contract.VendorAnswers`; `gave_up` says why a vendor was not asked to the end."""

    frame: pd.DataFrame
    cached: int
    calls: CallSummary | None
    gave_up: Paused | None


def fan_out(
    people: pd.DataFrame, vendors: Sequence[str], errand: Errand, progress: Callable[[int, int], None]
) -> dict[str, VendorResult]:
    """Ask each of `vendors` about `people` (see `questions.PEOPLE_COLUMNS`): policy's groups at the same time.

    In a waterfall a vendor is asked only about leads for which those before it did not find what the group needs, nor
    those after it in an earlier run. One that is not among `vendors` is not asked; what it said earlier counts.

    Raises:
        SetupError: a setting of a vendor is missing; nobody has been asked.
        Stopped, Paused (`budget`), TransientError: after every vendor has recorded what it had.
    """
    asked = frozenset(vendors).intersection(errand.policy.vendors.enrichment)
    made = chains(errand.policy.vendors)
    legs = [
        [_Leg(questionnaire(name, errand.settings), dict(group.found), name in asked) for name in names]
        for group, names in made
        if asked.intersection(names)
    ]
    board = _ProgressBoard(progress, len(people))
    results = {name: VendorResult(_labelled(people["lead_id"], NOT_ASKED), 0, None, None) for name in vendors}
    if not legs:
        return results
    reports = {name: board.of(name) for name in vendors if name in asked}
    all_ended = False
    with ThreadPoolExecutor(len(legs), thread_name_prefix="enrichment") as pool:
        futures = [pool.submit(_ask_in_turn, chain, people, errand, reports) for chain in legs]
        try:
            errors = [error for future in futures if (error := future.exception()) is not None]
            all_ended = True
        finally:
            if not all_ended:
                errand.stop.set()
    if errors:
        raise _gravest(errors)
    for future in futures:
        results |= future.result()
    return results


@dataclass(frozen=True, slots=True)
class _Leg:
    """One vendor in its chain. `is_asked` False: only what it said earlier counts."""

    questions: Questionnaire
    needed: Mapping[str, Sequence[str]]
    is_asked: bool


def _ask_in_turn(
    chain: Sequence[_Leg],
    people: pd.DataFrame,
    errand: Errand,
    reports: Mapping[str, Callable[[int, int], None]],
) -> dict[str, VendorResult]:
    """Vendor after vendor, each about the leads that still miss a field.

    What any of them said earlier counts from the beginning: a lead that the last one has found buys nothing.
    """
    every = [_Answers(leg.questions, people) for leg in chain]
    with connected(errand.settings) as connection:
        cached = [answers.take_cached(connection, errand) for answers in every]
    results: dict[str, VendorResult] = {}
    for leg, answers, count in zip(chain, every, cached, strict=True):
        name = leg.questions.vendor.name
        if leg.is_asked:
            others = [parsed(other.fields_by_lead()) for other in every if other is not answers]
            wanted = missing(leg.needed, people.index, others)
            results[name] = _ask_vendor(answers, people, wanted, errand, reports[name], count)
    return results


def _ask_vendor(
    answers: _Answers,
    people: pd.DataFrame,
    wanted: pd.Series[bool],
    errand: Errand,
    progress: Callable[[int, int], None],
    cached: int,
) -> VendorResult:
    subjects, name = answers.subjects, answers.questions.vendor.name
    rest = people.assign(subject=subjects)[wanted]
    rest = rest[(rest["subject"] != "") & ~rest["subject"].isin(list(answers.outcomes))]
    calls, gave_up = _ask_rest(rest.drop_duplicates("subject"), errand, answers, progress)
    label = "vendor_error" if gave_up is None else _RUN_LEVEL[gave_up.code]
    without = pd.Series(label, index=people.index, dtype="object").where(wanted, FOUND)
    outcome = subjects.map(answers.outcomes).astype("object").fillna(without)
    outcome = outcome.mask(subjects == "", NOT_ASKED)
    frame = pd.DataFrame(
        {"lead_id": people["lead_id"], "outcome": outcome.astype("str"), "fields": answers.fields_by_lead()}
    )
    return VendorResult(frame.assign(answered_at=_times(frame, name, errand)), cached, calls, gave_up)


def _times(frame: pd.DataFrame, vendor: str, errand: Errand) -> pd.Series[pd.Timestamp]:
    """When the vendor gave the answers of `frame`, as the record has it; missing without an answer."""
    answered = frame["lead_id"][frame["outcome"].isin(vendor_calls.ANSWERS)].tolist()
    times: dict[str, datetime] = {}
    with connected(errand.settings) as connection:
        for start in range(0, len(answered), _BLOCK):
            times |= enrichments.answer_times(connection, vendor, answered[start : start + _BLOCK])
    given = frame["lead_id"].map(times)
    return pd.to_datetime(given, utc=True).astype("datetime64[us, UTC]")


def _ask_rest(
    rest: pd.DataFrame,
    errand: Errand,
    answers: _Answers,
    progress: Callable[[int, int], None],
) -> tuple[CallSummary | None, Paused | None]:
    if rest.empty:
        progress(0, 0)
        return None, None
    questions, vendor = answers.questions, answers.questions.vendor
    try:
        summary = answer_all(
            [questions.ask(row) for row in rest.itertuples(index=False)],
            vendor,
            errand.policy.limits_of(vendor.name).of_package(vendor.package),
            settings=errand.settings,
            upload=errand.upload,
            supplier=errand.supplier,
            stop=errand.stop,
            store=answers.store,
            progress=progress,
        )
    except Paused as paused:
        if paused.code not in _RUN_LEVEL:
            raise
        return None, paused
    return summary, None


class _Answers:
    """What one vendor said so far, by subject, and its rows in `enrichments`."""

    def __init__(self, questions: Questionnaire, people: pd.DataFrame) -> None:
        self.questions = questions
        self.subjects = questions.subjects(people)
        self._vendor = questions.vendor.name
        asked = pd.DataFrame({"lead_id": people["lead_id"], "subject": self.subjects})[self.subjects != ""]
        self._leads = {str(key): group.tolist() for key, group in asked.groupby("subject")["lead_id"]}
        self.outcomes: dict[str, str] = {}
        self.fields: dict[str, str] = {}

    def fields_by_lead(self) -> pd.Series[str]:
        """JSON text for each lead; an empty object where the vendor said nothing."""
        return self.subjects.map(self.fields).astype("object").fillna("{}").astype("str")

    def take_cached(self, connection: psycopg.Connection, errand: Errand) -> int:
        """Reuse answers that are fresh; returns how many subjects need not be asked."""
        vendor, subjects = self.questions.vendor, list(self._leads)
        days = errand.policy.limits_of(vendor.name).of_package(vendor.package).cache_days
        for start in range(0, len(subjects), _BLOCK):
            block = subjects[start : start + _BLOCK]
            stored = vendor_calls.fresh_answers(connection, vendor.name, vendor.package, block, days)
            self._keep_stored(connection, stored)
        return len(self.outcomes)

    def store(self, connection: psycopg.Connection, batch: Sequence[Answered]) -> None:
        """For `answer_all`: rows of answers, labels of what got none."""
        rows: list[EnrichmentRow] = []
        for answered in batch:
            subject, verdict = answered.ask.subject, answered.verdict
            fields = _as_text(verdict.fields)
            self.outcomes[subject], self.fields[subject] = verdict.outcome.value, fields
            if verdict.outcome.is_answer:
                rows += [
                    EnrichmentRow(lead_id, verdict.outcome, fields, answered.call_id)
                    for lead_id in self._leads[subject]
                ]
        enrichments.store(connection, self._vendor, rows)

    def _keep_stored(self, connection: psycopg.Connection, stored: Sequence[Stored]) -> None:
        rows: list[EnrichmentRow] = []
        for answer in stored:
            fields = _as_text(json.loads(answer.answer))
            self.outcomes[answer.subject], self.fields[answer.subject] = answer.outcome, fields
            rows += [
                EnrichmentRow(lead_id, answer.outcome, fields, answer.call_id, answer.answered_at)
                for lead_id in self._leads[answer.subject]
            ]
        enrichments.store(connection, self._vendor, rows)


class _ProgressBoard:
    """Adds up what several vendors report at the same time."""

    def __init__(self, progress: Callable[[int, int], None], leads: int) -> None:
        self._progress = progress
        self._leads = leads
        self._lock = threading.Lock()
        self._done: dict[str, int] = {}

    def of(self, vendor: str) -> Callable[[int, int], None]:
        """The callback of one vendor; what it takes from the cache counts as done."""
        with self._lock:
            self._done[vendor] = 0

        def report(done: int, total: int) -> None:
            with self._lock:
                self._done[vendor] = self._leads - total + done
                self._progress(sum(self._done.values()), self._leads * len(self._done))

        return report


def _as_text(fields: Mapping[str, Any]) -> str:
    """The same text for the same fields, bought now or earlier."""
    return json.dumps(dict(fields), sort_keys=True, ensure_ascii=False)


def _labelled(lead_ids: pd.Series[str], outcome: str) -> pd.DataFrame:
    frame = pd.DataFrame({"lead_id": lead_ids}).assign(outcome=outcome, fields="{}").astype("str")
    return frame.assign(answered_at=pd.Series(pd.NaT, index=frame.index, dtype="datetime64[us, UTC]"))


def _gravest(errors: Sequence[BaseException]) -> BaseException:
    """A person's stop first, then what waits for a person, then the rest."""
    return min(errors, key=lambda error: (not isinstance(error, Stopped), not isinstance(error, LeadIntelError)))
