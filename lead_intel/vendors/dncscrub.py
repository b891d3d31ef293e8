"""DNCScrub's scrub call (Contact Center Compliance): up to 10,000 numbers at once, one result code each.

The codes' meaning for a contact is policy, not ours. A number whose row is missing, doubled or malformed has no
answer. Pure: nothing here sends anything.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any

from lead_intel.calls.ports import Ask, Outcome, Reply, Request, Verdict
from lead_intel.settings import Settings
from lead_intel.vendors import values
from lead_intel.vendors.statuses import UNKNOWN_SHAPE, verdict_of_status

MOST_NUMBERS = 10_000
"""A POST may hold no more."""


class DncScrub:
    """A batch of +1 numbers per call. Answer fields: `rows`, E.164 digits -> what the vendor says about the number."""

    name = "dncscrub"
    package = "scrub"

    def __init__(self, settings: Settings) -> None:
        self._url = f"{settings.dncscrub_url.rstrip('/')}/app/main/rpc/scrub"
        self._login = settings.dncscrub_login_id.get_secret_value()

    def ask_about(self, phones: Sequence[int], day: date) -> Ask:
        """The question about `phones` (E.164 digits of +1 numbers, at most MOST_NUMBERS) on `day`."""
        digits = sorted({str(phone) for phone in phones})
        digest = hashlib.sha256(f"{day.isoformat()}|{','.join(digits)}".encode()).hexdigest()
        return Ask(digest, digits, units=len(digits))

    def request(self, ask: Ask) -> Request:
        """POST, so that no number stands in a URL. `ignoreInvalid`: one bad number must not fail the batch."""
        return Request(
            "POST",
            self._url,
            headers={"loginId": self._login},
            form={
                "phoneList": ",".join(_as_sent(digits) for digits in ask.payload),
                "version": "5",
                "output": "json",
                "ignoreInvalid": "1",
            },
        )

    def classify(self, ask: Ask, reply: Reply) -> Verdict:
        """`ok` when every number has its row, `partial` when some have none."""
        by_status = verdict_of_status(reply)
        if by_status is not None:
            return by_status
        if not isinstance(reply.body, list):
            return UNKNOWN_SHAPE
        rows = _rows(reply.body, frozenset(ask.payload))
        if not rows:
            return UNKNOWN_SHAPE
        outcome = Outcome.OK if len(rows) == len(ask.payload) else Outcome.PARTIAL
        return Verdict(outcome, "yes", {"rows": rows})


def _as_sent(digits: str) -> str:
    return digits[1:] if len(digits) == 11 and digits.startswith("1") else digits


def _rows(body: list[Any], asked: frozenset[str]) -> dict[str, dict[str, Any]]:
    read = [(digits, row) for row in body if (digits := _phone_of(row)) in asked]
    times = Counter(digits for digits, _ in read)
    return {digits: _read(row) for digits, row in read if times[digits] == 1 and values.text(row.get("ResultCode"))}


def _phone_of(row: Any) -> str:
    return values.digits_of(row.get("Phone")) if isinstance(row, dict) else ""


def _read(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "result_code": values.text(row.get("ResultCode"), 4),
        "reason": values.text(row.get("Reason")),
        "region": values.text(row.get("RegionAbbrev"), 8),
        "line_type": values.text(row.get("LineType"), 20),
    }
