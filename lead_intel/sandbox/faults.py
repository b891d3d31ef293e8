"""Faults on demand: durable switches in the sandbox's memory, and the words for what each kind does.

Which shape a refusal has on the wire is the service's affair; how a spoilt delivery looks is `delivery`'s.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lead_intel.sandbox.memory import Memory

REFUSALS = {
    "rate_limited": "429 in the vendor's shape; `retry_after` seconds, `retry_after_form` seconds|date",
    "unauthorized": "401: the credential is wrong or revoked",
    "forbidden": "403: the account may not do this",
    "quota": "the account's quota is used up, in the vendor's shape",
    "server_error": "500 in the vendor's shape",
    "bad_gateway": "502 with an HTML page: no JSON",
    "garbage": "200 with an HTML page, as a captive portal or a proxy answers",
    "empty": "200 with no body",
    "redirect": "302 to another host",
    "black_hole": "the request is taken and never answered (`seconds`, then the connection drops)",
}
"""Met before the service does anything: the call is not processed and not paid."""

DELIVERIES = {
    "slow": "the answer waits `seconds`",
    "trickle": "the answer comes byte by byte over `seconds`",
    "truncated": "the connection closes half way through the body",
    "drop_after": "the work is done, then the connection dies before the answer: a lost acknowledgement",
    "huge": "the answer is padded to `bytes`",
}
"""Met after the service did its work: the call is processed, and paid if its answer was to be paid."""

_SCHEMA = """
create table if not exists faults(
  id integer primary key, service text not null, kind text not null, options text not null,
  trip integer, remaining integer, seen integer not null default 0, until real);
"""


@dataclass(slots=True)
class Fault:
    """One switch that is on. `options` are as given; `count`, `every`, `match`, `for_seconds` rule when it acts."""

    id: int
    service: str
    kind: str
    options: Mapping[str, Any]
    trip: int | None
    remaining: int | None
    seen: int
    until: float | None

    def number(self, name: str, default: float) -> float:
        """A numeric option."""
        return float(self.options.get(name, default))

    def text(self, name: str, default: str = "") -> str:
        """A textual option."""
        return str(self.options.get(name, default))

    def concerns(self, subjects: Sequence[str]) -> bool:
        """Whether `match` (if given) occurs in one of the call's subjects."""
        match = self.options.get("match")
        return match is None or any(str(match) in subject for subject in subjects)

    def as_json(self) -> dict[str, Any]:
        """What `/control/faults` shows."""
        return {
            "id": self.id, "service": self.service, "kind": self.kind, "options": dict(self.options),
            "trip": self.trip, "remaining": self.remaining, "seen": self.seen,
        }  # fmt: skip


class Switches:
    """All faults that are on, held in memory and written through."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        memory.create(_SCHEMA, "faults")
        self.load()

    def load(self) -> None:
        """Read the switches as they were left."""
        self._on: dict[str, list[Fault]] = {}
        for row in self._memory.rows("select * from faults order by id"):
            fault = Fault(**{**dict(row), "options": json.loads(row["options"])})
            self._on.setdefault(fault.service, []).append(fault)

    def switch_on(self, service: str, kind: str, options: Mapping[str, Any], trip: int | None = None) -> None:
        """Turn a fault on; one of the same kind and match replaces the earlier one."""
        for fault in list(self._on.get(service, ())):
            if fault.kind == kind and fault.options.get("match") == options.get("match"):
                self._off(fault)
        seconds = options.get("for_seconds")
        self._memory.write(
            "insert into faults(service, kind, options, trip, remaining, until) values(?,?,?,?,?,?)",
            (
                service, kind, json.dumps(dict(options)), trip, options.get("count"),
                None if seconds is None else time.time() + float(seconds),
            ),
        )  # fmt: skip
        self._memory.commit()
        self.load()

    def switch_off(self, service: str | None = None, trip: int | None = None) -> None:
        """Turn off everything, or what belongs to one service or one trip."""
        for fault in self.all():
            if service in (None, fault.service) and trip in (None, fault.trip):
                self._off(fault)
        self._memory.commit()
        self.load()

    def all(self) -> list[Fault]:
        """Every switch that is on."""
        return [fault for faults in self._on.values() for fault in faults]

    def is_on(self, service: str, kind: str, *subjects: str) -> Fault | None:
        """A standing condition (a bucket that is gone, a disabled source): looked at, never used up."""
        for fault in self._on.get(service, ()):
            if fault.kind == kind and not self._is_over(fault) and fault.concerns(subjects):
                return fault
        return None

    def met_by(self, service: str, subjects: Sequence[str]) -> list[Fault]:
        """The faults that this call meets; `count` and `every` advance."""
        faults = self._on.get(service)
        if not faults:
            return []
        return [fault for fault in list(faults) if fault.concerns(subjects) and self._acts(fault)]

    def _acts(self, fault: Fault) -> bool:
        if self._is_over(fault):
            self._off(fault)
            self._on[fault.service].remove(fault)
            return False
        fault.seen += 1
        acts = fault.seen % int(fault.number("every", 1)) == 0
        if acts and fault.remaining is not None:
            fault.remaining -= 1
        self._memory.write(
            "update faults set seen = ?, remaining = ? where id = ?", (fault.seen, fault.remaining, fault.id)
        )
        return acts

    def _is_over(self, fault: Fault) -> bool:
        used_up = fault.remaining is not None and fault.remaining <= 0
        return used_up or (fault.until is not None and time.time() >= fault.until)

    def _off(self, fault: Fault) -> None:
        self._memory.write("delete from faults where id = ?", (fault.id,))
