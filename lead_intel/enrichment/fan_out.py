"""Every enrichment vendor at once, each in a thread of its own: the wall clock is that of the slowest.

Knows no Dagster. A vendor that fails labels its rows; only a stop, a budget or a dead database ends the stage.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pandas as pd
import psycopg

from lead_intel.calls.paid import answer_all
from lead_intel.calls.ports import Answered, CallSummary
from lead_intel.enrichment.questions import Questionnaire, questionnaire
from lead_intel.errors import LeadIntelError, Paused, Stopped
from lead_intel.policy import Policy
from lead_intel.record import enrichments, vendor_calls
from lead_intel.record.database import connected
from lead_intel.record.enrichments import EnrichmentRow
from lead_intel.record.vendor_calls import Stored
from lead_intel.settings import Settings

NOT_ASKED = "not_asked"
"""Outcome of a lead about which this vendor has nothing to be asked (no address), or which policy leaves out."""

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
    """Ask each of `vendors` about `people` (see `questions.PEOPLE_COLUMNS`) at the same time.

    Raises:
        Stopped, Paused (`budget`), TransientError: after every vendor has recorded what it had.
    """
    if not vendors:
        return {}
    board = _ProgressBoard(progress, len(people))
    all_ended = False
    with ThreadPoolExecutor(len(vendors), thread_name_prefix="enrichment") as pool:
        futures = {name: pool.submit(_ask_vendor, name, people, errand, board.of(name)) for name in vendors}
        try:
            errors = [error for future in futures.values() if (error := future.exception()) is not None]
            all_ended = True
        finally:
            if not all_ended:
                errand.stop.set()
    if errors:
        raise _gravest(errors)
    return {name: future.result() for name, future in futures.items()}


def _ask_vendor(name: str, people: pd.DataFrame, errand: Errand, progress: Callable[[int, int], None]) -> VendorResult:
    if name not in errand.policy.vendors.enrichment:
        return VendorResult(_labelled(people["lead_id"], NOT_ASKED), 0, None, None)
    questions = questionnaire(name, errand.settings)
    leads = pd.DataFrame({"lead_id": people["lead_id"], "subject": questions.subjects(people)})
    asked = leads[leads["subject"] != ""]
    answers = _Answers(name, {str(key): group.tolist() for key, group in asked.groupby("subject")["lead_id"]})
    with connected(errand.settings) as connection:
        cached = answers.take_cached(connection, questions, errand)
    rest = people.assign(subject=leads["subject"])
    rest = rest[(rest["subject"] != "") & ~rest["subject"].isin(list(answers.outcomes))].drop_duplicates("subject")
    calls, gave_up = _ask_rest(rest, questions, errand, answers, progress)
    label = "vendor_error" if gave_up is None else _RUN_LEVEL[gave_up.code]
    outcome = leads["subject"].map(answers.outcomes).fillna(label).mask(leads["subject"] == "", NOT_ASKED)
    fields = leads["subject"].map(answers.fields).fillna("{}")
    frame = pd.DataFrame(
        {"lead_id": leads["lead_id"], "outcome": outcome.astype("str"), "fields": fields.astype("str")}
    )
    return VendorResult(frame, cached, calls, gave_up)


def _ask_rest(
    rest: pd.DataFrame,
    questions: Questionnaire,
    errand: Errand,
    answers: _Answers,
    progress: Callable[[int, int], None],
) -> tuple[CallSummary | None, Paused | None]:
    if rest.empty:
        return None, None
    vendor = questions.vendor
    try:
        summary = answer_all(
            [questions.ask(row) for row in rest.itertuples(index=False)],
            vendor,
            errand.policy.limits_of(vendor.name),
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

    def __init__(self, vendor: str, leads: Mapping[str, Sequence[str]]) -> None:
        self._vendor = vendor
        self._leads = leads
        self.outcomes: dict[str, str] = {}
        self.fields: dict[str, str] = {}

    def take_cached(self, connection: psycopg.Connection, questions: Questionnaire, errand: Errand) -> int:
        """Reuse answers that are fresh; returns how many subjects need not be asked."""
        vendor, days = questions.vendor, errand.policy.limits_of(self._vendor).cache_days
        subjects = list(self._leads)
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
    return pd.DataFrame({"lead_id": lead_ids}).assign(outcome=outcome, fields="{}").astype("str")


def _gravest(errors: Sequence[BaseException]) -> BaseException:
    """A person's stop first, then what waits for a person, then the rest."""
    return min(errors, key=lambda error: (not isinstance(error, Stopped), not isinstance(error, LeadIntelError)))
