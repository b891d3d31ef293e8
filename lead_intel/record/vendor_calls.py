"""Rows of `vendor_calls`: the intent before a paid call, its outcome after it, and answers that can be reused.

SQL only. Callers own the transactions; money moves with the rows through `record.spend`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import psycopg
from psycopg.rows import class_row

from lead_intel.record import spend

ANSWERS = ("ok", "no_match", "partial", "invalid")
"""Outcomes that answer the question: asking again would buy nothing."""

DEAD_HOLDER_SECONDS = 10.0
"""An upload whose heartbeat is older than this has no live call."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks whom, for whom: what every row of one round has in common."""

    vendor: str
    package: str
    upload: str
    supplier: str


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer in the ledger. `answer` is JSON text, fields in our own words."""

    subject: str
    call_id: int
    outcome: str
    answer: str
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """What one intent came to. `answer` is JSON text; `seconds` None: the call never went out.

    `late_seconds`: for so long a late answer is still listened for.
    """

    call_id: int
    outcome: str
    billed: str
    answer: str
    seconds: float | None
    late_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Harvested:
    """How a call ended after its deadline. `outcome` None: without an answer, so it stays a timeout."""

    call_id: int
    outcome: str | None
    billed: str
    answer: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What `claim` got: intents of our own by subject; answers that were there already; subjects that others hold.

    `late`: subjects whose answer an earlier call, past its deadline, still listens for.
    """

    intents: dict[str, int]
    answered: list[Stored]
    taken: list[str]
    late: list[str]


def claim(connection: psycopg.Connection, account: Account, prices: dict[str, Decimal], cache_days: int) -> Claim:
    """Commit to asking the subjects of `prices`, each at its price: one intent row each. Call in a transaction.

    A subject with an open intent belongs to whoever wrote that. A subject answered within `cache_days`, or late and
    still listened for, is not asked.
    The look at answers comes *after* our rows are in: whoever answered before that has committed by then.
    """
    rows = connection.execute(
        "insert into lead_intel.vendor_calls (vendor, package, subject, upload, supplier, price) "
        "select %(vendor)s, %(package)s, asked.subject, %(upload)s, %(supplier)s, asked.price "
        "from unnest(%(subjects)s::text[], %(prices)s::numeric[]) as asked (subject, price) order by asked.subject "
        "on conflict (vendor, package, subject) where outcome is null do nothing returning subject, call_id",
        _values(account) | {"subjects": list(prices), "prices": list(prices.values())},
    ).fetchall()
    intents = {str(subject): int(call_id) for subject, call_id in rows}
    there = _answered_or_late(connection, account, list(intents), cache_days)
    if there:
        needless = [intents.pop(stored.subject) for stored in there]
        connection.execute("delete from lead_intel.vendor_calls where call_id = any(%s)", (needless,))
    ours = intents.keys() | {stored.subject for stored in there}
    return Claim(
        intents,
        [stored for stored in there if stored.outcome in ANSWERS],
        [subject for subject in prices if subject not in ours],
        [stored.subject for stored in there if stored.outcome not in ANSWERS],
    )


def _answered_or_late(
    connection: psycopg.Connection, account: Account, subjects: Sequence[str], cache_days: int
) -> list[Stored]:
    with connection.cursor(row_factory=class_row(Stored)) as cursor:
        return cursor.execute(
            "select distinct on (subject) subject, call_id, outcome, coalesce(answer, '{}')::text as answer, "
            "answered_at from lead_intel.vendor_calls where vendor = %(vendor)s and package = %(package)s "
            "and subject = any(%(subjects)s) and ((outcome = any(%(answers)s) "
            "and answered_at > now() - make_interval(days => %(days)s)) or late_until > clock_timestamp()) "
            "order by subject, outcome = any(%(answers)s) desc, answered_at desc",
            _values(account) | {"subjects": list(subjects), "answers": list(ANSWERS), "days": cache_days},
        ).fetchall()


def fresh_answers(
    connection: psycopg.Connection, vendor: str, package: str, subjects: Sequence[str], cache_days: int
) -> list[Stored]:
    """The newest answer of each subject that has one not older than `cache_days`."""
    with connection.cursor(row_factory=class_row(Stored)) as cursor:
        return cursor.execute(
            "select distinct on (subject) subject, call_id, outcome, coalesce(answer, '{}')::text as answer, "
            "answered_at from lead_intel.vendor_calls where vendor = %s and package = %s and subject = any(%s) "
            "and outcome = any(%s) and answered_at > now() - make_interval(days => %s) "
            "order by subject, answered_at desc",
            (vendor, package, list(subjects), list(ANSWERS), cache_days),
        ).fetchall()


def count_fresh(
    connection: psycopg.Connection, vendor: str, package: str, subjects: Sequence[str], cache_days: int
) -> int:
    """How many of `subjects` have an answer not older than `cache_days`."""
    row = connection.execute(
        "select count(distinct subject) from lead_intel.vendor_calls where vendor = %s and package = %s "
        "and subject = any(%s) and outcome = any(%s) and answered_at > now() - make_interval(days => %s)",
        (vendor, package, list(subjects), list(ANSWERS), cache_days),
    ).fetchone()
    return 0 if row is None else int(row[0])


def finish(connection: psycopg.Connection, results: Sequence[Result]) -> None:
    """Write outcomes and settle or refund their money. Call in a transaction, after everything else in it.

    An intent that somebody else declared indeterminate meanwhile, and settled, keeps that money; an answer to it is
    kept as well, so that nobody buys it again.
    """
    ended = connection.execute(
        "update lead_intel.vendor_calls call set outcome = result.outcome, billed = result.billed, "
        "answer = result.answer::jsonb, seconds = result.seconds, answered_at = clock_timestamp(), "
        "late_until = clock_timestamp() + make_interval(secs => nullif(result.late, 0)) "
        "from unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::float8[], %s::float8[]) "
        "as result (call_id, outcome, billed, answer, seconds, late) "
        "where call.call_id = result.call_id and call.outcome is null "
        "returning call.call_id, call.price, call.billed, call.intended_at, call.upload, call.vendor",
        (
            [result.call_id for result in results],
            [result.outcome for result in results],
            [result.billed for result in results],
            [result.answer for result in results],
            [result.seconds for result in results],
            [result.late_seconds for result in results],
        ),
    ).fetchall()
    spend.settle(connection, ended)
    _keep_answers(connection, _of_others(results, ended))


def _of_others(results: Sequence[Result], ended: Sequence[Sequence[object]]) -> list[Result]:
    ours = {row[0] for row in ended}
    return [result for result in results if result.call_id not in ours and result.outcome in ANSWERS]


def _keep_answers(connection: psycopg.Connection, results: Sequence[Result]) -> None:
    """Answers to intents that were settled as indeterminate; money comes back where the vendor does not bill."""
    if not results:
        return
    rows = connection.execute(
        "update lead_intel.vendor_calls call set outcome = result.outcome, billed = result.billed, "
        "answer = result.answer::jsonb, seconds = result.seconds, answered_at = clock_timestamp() "
        "from unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::float8[]) "
        "as result (call_id, outcome, billed, answer, seconds) "
        "where call.call_id = result.call_id and call.outcome = 'indeterminate' and call.billed = 'unknown' "
        "returning call.call_id, call.price, call.billed, call.intended_at, call.upload, call.vendor",
        (
            [result.call_id for result in results],
            [result.outcome for result in results],
            [result.billed for result in results],
            [result.answer for result in results],
            [result.seconds for result in results],
        ),
    ).fetchall()
    spend.give_back(connection, [row for row in rows if row[2] == "no"])


def harvest(connection: psycopg.Connection, ended: Sequence[Harvested]) -> None:
    """Write what came after the deadline: an answer for the cache, or nothing. Call in a transaction.

    The money was settled when the call timed out; it is given back where the vendor turns out not to bill.
    """
    rows = connection.execute(
        "update lead_intel.vendor_calls call set outcome = coalesce(ended.outcome, call.outcome), "
        "billed = ended.billed, answer = ended.answer::jsonb, late = ended.outcome is not null, late_until = null, "
        "answered_at = case when ended.outcome is null then call.answered_at else clock_timestamp() end "
        "from unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) as ended (call_id, outcome, billed, answer) "
        "where call.call_id = ended.call_id and call.outcome = 'timeout' and call.late_until is not null "
        "returning call.call_id, call.price, call.billed, call.intended_at, call.upload, call.vendor",
        (
            [end.call_id for end in ended],
            [end.outcome for end in ended],
            [end.billed for end in ended],
            [end.answer for end in ended],
        ),
    ).fetchall()
    spend.give_back(connection, [row for row in rows if row[2] == "no"])


def end_own_open(connection: psycopg.Connection, account: Account) -> int:
    """Declare the open intents of this upload indeterminate; returns how many.

    Only for a round that is about to begin: one run holds an upload, so whoever left them open is dead. They are
    settled as spent, because the vendor may have done the work.
    """
    rows = connection.execute(
        "update lead_intel.vendor_calls call set outcome = 'indeterminate', billed = 'unknown', "
        "answered_at = clock_timestamp() where vendor = %(vendor)s and package = %(package)s "
        "and upload = %(upload)s and outcome is null "
        "returning call.call_id, call.price, call.billed, call.intended_at, call.upload, call.vendor",
        _values(account),
    ).fetchall()
    spend.settle(connection, rows)
    return len(rows)


def end_dead_open(
    connection: psycopg.Connection, account: Account, subjects: Sequence[str], lease_seconds: float
) -> None:
    """Declare other uploads' open intents for `subjects` indeterminate where nobody can be at work on them."""
    rows = connection.execute(
        "update lead_intel.vendor_calls call set outcome = 'indeterminate', billed = 'unknown', "
        "answered_at = clock_timestamp() where vendor = %(vendor)s and package = %(package)s "
        "and subject = any(%(subjects)s) and outcome is null "
        "and (intended_at < now() - make_interval(secs => %(lease)s) or exists ("
        "select from lead_intel.lead_ingestions holder where holder.upload = call.upload "
        "and holder.heartbeat_at < now() - make_interval(secs => %(dead)s))) "
        "returning call.call_id, call.price, call.billed, call.intended_at, call.upload, call.vendor",
        _values(account) | {"subjects": list(subjects), "lease": lease_seconds, "dead": DEAD_HOLDER_SECONDS},
    ).fetchall()
    spend.settle(connection, rows)


def still_open(connection: psycopg.Connection, account: Account, subjects: Sequence[str]) -> set[str]:
    """Those of `subjects` that somebody is asking right now."""
    rows = connection.execute(
        "select subject from lead_intel.vendor_calls where vendor = %(vendor)s and package = %(package)s "
        "and subject = any(%(subjects)s) and outcome is null",
        _values(account) | {"subjects": list(subjects)},
    ).fetchall()
    return {str(row[0]) for row in rows}


def left_open(connection: psycopg.Connection, account: Account, subjects: Sequence[str], times: int) -> set[str]:
    """Those of `subjects` whose call for this upload a death of ours cut off at least `times` times within a day.

    Each may have been paid. A call that ended with a person's stop has its `seconds`, and does not count.
    """
    rows = connection.execute(
        "select subject from lead_intel.vendor_calls where vendor = %(vendor)s and package = %(package)s "
        "and upload = %(upload)s and subject = any(%(subjects)s) and outcome = 'indeterminate' "
        "and billed = 'unknown' and seconds is null and answered_at > now() - interval '1 day' "
        "group by subject having count(*) >= %(times)s",
        _values(account) | {"subjects": list(subjects), "times": times},
    ).fetchall()
    return {str(row[0]) for row in rows}


def seconds_per_call(connection: psycopg.Connection, vendor: str) -> float | None:
    """Median wall clock of the vendor's calls of the last day; None without any."""
    row = connection.execute(
        "select percentile_cont(0.5) within group (order by seconds) from lead_intel.vendor_calls "
        "where vendor = %s and seconds is not null and answered_at > now() - interval '1 day'",
        (vendor,),
    ).fetchone()
    return None if row is None or row[0] is None else float(row[0])


def _values(account: Account) -> dict[str, object]:
    return {
        "vendor": account.vendor,
        "package": account.package,
        "upload": account.upload,
        "supplier": account.supplier,
    }
