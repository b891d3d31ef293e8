"""The transactions of one durable round: claim and reserve, record and settle, and what others paid for meanwhile.

Blocks on the database; the round runs these in a worker thread. No call, no event loop, no waiting.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal

import psycopg

from lead_intel.calls.late import LateEnd
from lead_intel.calls.pace import RETRY_AFTER_CAP_SECONDS
from lead_intel.calls.ports import Answered, Ask, CallSummary, Outcome, Verdict
from lead_intel.policy import Budgets, VendorLimits
from lead_intel.record import spend, vendor_calls, vendor_rounds
from lead_intel.record.vendor_calls import Account, Harvested, Result, Stored

Store = Callable[[psycopg.Connection, Sequence[Answered]], None]
"""Writes the caller's own rows for a batch of answers, in the transaction that records them."""

MOST_CUT_OFF = 4
"""A question whose call was cut off so often for one upload within a day is not asked again on that day. Each cut-off
gets one more call, and may have been paid; a question that ends the process every time must not be paid for ever.
"""

_LEASE_MARGIN_SECONDS = 30.0
_STILL_LATE = Verdict(
    Outcome.TIMEOUT, "no", detail="an earlier call is past its deadline and still listened for; not asked again"
)


class Books:
    """The call ledger and the money of one round. Every method is one transaction or only reads."""

    def __init__(
        self,
        connection: psycopg.Connection,
        account: Account,
        limits: VendorLimits,
        budgets: Budgets,
        store: Store,
    ) -> None:
        self._connection = connection
        self._account = account
        self._limits = limits
        self._budgets = budgets
        self._store = store
        self._round = uuid.uuid4()
        self._asked = 0
        self._reserved = Decimal(0)
        self._settled = Decimal(0)
        self._outcomes: Counter[Outcome] = Counter()
        self._seconds: list[float] = []

    def begin(self, asks: Sequence[Ask]) -> set[str]:
        """End what a dead run left open; returns the subjects that were cut off too often to be asked again."""
        with self._connection.transaction():
            vendor_calls.end_own_open(self._connection, self._account)
        return vendor_calls.left_open(self._connection, self._account, _subjects(asks), MOST_CUT_OFF)

    def rounds(self) -> int:
        """How many rounds call this vendor's account now, this one included."""
        return vendor_rounds.share(self._connection, self._account.vendor, self._round)

    def take_turn(self, not_before: float) -> float:
        """Seconds until the first call of this round, counted among all rounds that begin."""
        return vendor_rounds.take_turn(self._connection, self._account.vendor, self._limits.per_second, not_before)

    def leave(self) -> None:
        """This round calls no more: the others may take its part of the pace."""
        vendor_rounds.leave(self._connection, self._round)

    def claim(self, asks: Sequence[Ask]) -> tuple[dict[str, int], list[Answered], list[str]]:
        """Intents and reservations for `asks`.

        Returns `call_id` by subject for what is ours to ask, the answers that are in the ledger already (with the
        verdict `timeout` for what an earlier call still listens for), and the subjects that somebody else is asking.

        Raises:
            BudgetReached: nothing was claimed.
        """
        prices = {ask.subject: self._price(ask) for ask in asks}
        with self._connection.transaction():
            claim = vendor_calls.claim(self._connection, self._account, prices, self._limits.cache_days)
            reserved = spend.reserve(
                self._connection,
                {call_id: prices[subject] for subject, call_id in claim.intents.items()},
                vendor=self._account.vendor,
                upload=self._account.upload,
                budgets=self._budgets,
            )
        self._reserved += reserved
        self._asked += len(claim.intents)
        by_subject = {ask.subject: ask for ask in asks}
        late = [Answered(by_subject[subject], _STILL_LATE, None, 0.0) for subject in claim.late]
        return claim.intents, [*_answered_before(asks, claim.answered), *late], claim.taken

    def withdraw(self, call_ids: Sequence[int]) -> None:
        """Give back claims whose calls never went out: no answer, no money, nobody's row."""
        with self._connection.transaction():
            vendor_calls.finish(
                self._connection,
                [Result(call_id, Outcome.INDETERMINATE, "no", "{}", None) for call_id in call_ids],
            )
        self._asked -= len(call_ids)

    def record(self, own: Sequence[Answered], free: Sequence[Answered]) -> None:
        """The caller's rows, the outcomes of our `own` calls and their money, together. `free` cost nothing."""
        with self._connection.transaction():
            self._store(self._connection, [*own, *free])
            vendor_calls.finish(self._connection, [self._result(answered) for answered in own])
        self._outcomes.update(answered.verdict.outcome for answered in (*own, *free))
        self._seconds += [answered.seconds for answered in own]
        self._settled += sum(
            (self._price(answered.ask) for answered in own if answered.verdict.billed != "no"), start=Decimal(0)
        )

    def record_late(self, ended: Sequence[LateEnd]) -> None:
        """What came after the deadline, for whoever asks next. The rows of this round keep their labels."""
        if not ended:
            return
        with self._connection.transaction():
            vendor_calls.harvest(self._connection, [_harvested(end) for end in ended])

    def look_at_others(self, asks: Sequence[Ask]) -> tuple[list[Answered], list[Ask]]:
        """Of questions that others were asking: those answered by now, and those that nobody asks any more."""
        lease = (
            self._limits.deadline_seconds
            + self._limits.patience_seconds
            + RETRY_AFTER_CAP_SECONDS
            + _LEASE_MARGIN_SECONDS
        )
        with self._connection.transaction():
            vendor_calls.end_dead_open(self._connection, self._account, _subjects(asks), lease)
        still_open = vendor_calls.still_open(self._connection, self._account, _subjects(asks))
        ended = [ask for ask in asks if ask.subject not in still_open]
        stored = vendor_calls.fresh_answers(
            self._connection,
            self._account.vendor,
            self._account.package,
            _subjects(ended),
            self._limits.cache_days,
        )
        there = {answer.subject for answer in stored}
        return _answered_before(ended, stored), [ask for ask in ended if ask.subject not in there]

    def summary(self) -> CallSummary:
        """What the round has come to so far."""
        return CallSummary(self._asked, dict(self._outcomes), self._reserved, self._settled, tuple(self._seconds))

    def _price(self, ask: Ask) -> Decimal:
        return self._limits.price_usd * ask.units

    def _result(self, answered: Answered) -> Result:
        assert answered.call_id is not None  # noqa: S101  # our own calls have a row
        verdict = answered.verdict
        return Result(
            answered.call_id,
            verdict.outcome,
            verdict.billed,
            json.dumps(dict(verdict.fields)),
            answered.seconds,
            self._limits.late_seconds if answered.listening else 0.0,
        )


def _subjects(asks: Sequence[Ask]) -> list[str]:
    return [ask.subject for ask in asks]


def _answered_before(asks: Sequence[Ask], stored: Sequence[Stored]) -> list[Answered]:
    by_subject = {ask.subject: ask for ask in asks}
    return [
        Answered(
            by_subject[answer.subject],
            Verdict(Outcome(answer.outcome), "no", json.loads(answer.answer), "answered before"),
            answer.call_id,
            0.0,
        )
        for answer in stored
    ]


def _harvested(end: LateEnd) -> Harvested:
    verdict = end.verdict
    if verdict is None:
        return Harvested(end.call_id, None, "unknown", "{}")
    return Harvested(
        end.call_id,
        verdict.outcome if verdict.outcome.is_answer else None,
        verdict.billed,
        json.dumps(dict(verdict.fields)),
    )
