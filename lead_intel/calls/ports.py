"""The words shared by vendors, the caller and the call ledger. Shapes only: no I/O, no policy values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, Protocol


class Outcome(StrEnum):
    """What one call came to. `auth` and `quota` stop the stage; every other outcome touches one subject."""

    OK = "ok"
    NO_MATCH = "no_match"
    PARTIAL = "partial"
    INVALID = "invalid"
    VENDOR_ERROR = "vendor_error"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    AUTH = "auth"
    TIMEOUT = "timeout"
    INDETERMINATE = "indeterminate"

    @property
    def is_answer(self) -> bool:
        """True when the vendor answered the question, so that asking again would buy nothing."""
        return self in (Outcome.OK, Outcome.NO_MATCH, Outcome.PARTIAL, Outcome.INVALID)


Billed = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """One HTTP request. `url` and bodies hold personal data: they are never logged, and no repr shows them."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] | None = None
    basic_auth: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """What came back: the status, lower-cased headers, and the body parsed as strict JSON (None if it is not)."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """A reply judged by its vendor's classifier. `detail` is for people and holds no personal data."""

    outcome: Outcome
    billed: Billed
    fields: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Ask:
    """One question to a vendor.

    `subject` is the key under which an answer is stored and never bought twice (E.164 digits, a lead id,
    the digest of a batch); `payload` is what the vendor's `request` needs; `units` is what is billed.
    """

    subject: str
    payload: Any
    units: int = 1


@dataclass(frozen=True, slots=True)
class Answered:
    """One ask with its verdict, as stored: `call_id` is its row in `vendor_calls`, None when nobody was asked.

    `listening`: the deadline has passed, and a late answer is still listened for.
    """

    ask: Ask
    verdict: Verdict
    call_id: int | None
    seconds: float
    listening: bool = False


class Vendor(Protocol):
    """One product of one vendor: how to ask, and how to read what comes back."""

    name: str
    package: str

    def request(self, ask: Ask) -> Request:
        """The request that asks `ask`."""
        ...

    def classify(self, ask: Ask, reply: Reply) -> Verdict:
        """Judge `reply` by status and body. An answer about another subject is `vendor_error`."""
        ...


@dataclass(frozen=True, slots=True)
class CallSummary:
    """What a round of calls came to: counts by outcome, money, and wall-clock per call (seconds)."""

    asked: int
    outcomes: Mapping[Outcome, int]
    reserved: Decimal
    settled: Decimal
    seconds: Sequence[float]
