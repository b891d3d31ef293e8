"""Guardrail 10: a read replica shows what the primary wrote at most two minutes ago, by the primary's clock.

A heartbeat row is written on the primary and looked for on the replica. Replay timestamps are not used: they alarm
on a quiet primary, and say "caught up" when the link is cut. Without a replica there is no lag to speak of.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.result import Finding, Guardrail, failed, not_applicable, passed, unverifiable
from lead_intel.record.guardrail_facts import (
    Heartbeat,
    newest_heartbeat,
    seconds_since,
    seconds_unseen,
    write_heartbeat,
)

_WAIT_SECONDS = 2.0
_LOOK_SECONDS = 0.1
_CONNECT_SECONDS = 2
_STATEMENT_TIMEOUT = "2s"
_REPLICA = "Check the replica and its connection to the primary; activation waits until it has caught up."


def examine(inputs: Inputs) -> Finding:
    """Write a heartbeat, wait a moment for it on the replica, then say how far behind it is at least and at most."""
    if inputs.settings.lead_intel_replica_url is None:
        return not_applicable("No read replica is configured.")
    url = inputs.settings.lead_intel_replica_url.get_secret_value()
    with inputs.database() as primary:
        heartbeat = write_heartbeat(primary)
    began = time.monotonic()
    try:
        with _replica(url) as replica:
            seen = _wait_for(replica, heartbeat.beat)
    except psycopg.Error as error:
        return failed(
            f"The read replica does not answer ({type(error).__name__}).", _REPLICA, {"standbys": heartbeat.standbys}
        )
    if seen is not None and seen >= heartbeat.beat:
        lag = time.monotonic() - began
        return passed(
            f"The replica showed a heartbeat after {lag:.2f} s.",
            {"lag_s": round(lag, 3), "standbys": heartbeat.standbys},
        )
    with inputs.database() as primary:
        at_least = seconds_unseen(primary, seen)
        at_most = None if seen is None else seconds_since(primary, seen)
    return _judge(heartbeat, at_least, at_most, inputs.policy.guardrails.replication_lag_seconds)


def _judge(heartbeat: Heartbeat, at_least: float, at_most: float | None, allowed: int) -> Finding:
    figures: dict[str, float | str] = {"lag_at_least_s": round(at_least, 1), "standbys": heartbeat.standbys}
    if at_most is not None:
        figures["lag_at_most_s"] = round(at_most, 1)
    if at_least > allowed:
        return failed(f"The replica lags at least {at_least:.0f} s; {allowed} s are allowed.", _REPLICA, figures)
    if heartbeat.standbys == 0:
        return failed("The replica shows no new rows, and no standby is connected to the primary.", _REPLICA, figures)
    if at_most is not None and at_most <= allowed:
        return passed(f"The replica lags between {at_least:.0f} and {at_most:.0f} s; {allowed} s are allowed.", figures)
    most = "an unknown time" if at_most is None else f"{at_most:.0f} s"
    return unverifiable(
        f"The replica lags at least {at_least:.0f} s and at most {most}; {allowed} s are allowed.",
        "Ask again in a moment: the next heartbeat narrows it.",
        figures,
    )


@contextmanager
def _replica(url: str) -> Iterator[psycopg.Connection]:
    connection = psycopg.connect(
        url, autocommit=True, connect_timeout=_CONNECT_SECONDS, application_name="lead-intel", prepare_threshold=None
    )
    try:
        yield connection
    finally:
        connection.close()


def _wait_for(replica: psycopg.Connection, beat: datetime) -> datetime | None:
    """The newest heartbeat on the replica: `beat` as soon as it is there, else what is there when time is up."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        with replica.transaction():
            replica.execute("select set_config('statement_timeout', %s, true)", (_STATEMENT_TIMEOUT,))
            seen = newest_heartbeat(replica)
        if (seen is not None and seen >= beat) or time.monotonic() >= deadline:
            return seen
        time.sleep(_LOOK_SECONDS)


GUARDRAIL = Guardrail(
    number=10,
    name="replication_lag",
    title="Replication lag",
    blocks="Activation is held.",
    rule_version="2026-11-24",
    about_upload=False,
    examine=examine,
)
