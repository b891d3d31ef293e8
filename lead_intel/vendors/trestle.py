"""Trestle's phone intelligence: is a number in use, and is it a litigator's. Pure: nothing here sends anything.

A part that failed is named in `error` of an answer with HTTP 200.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict

import pandas as pd

from lead_intel.calls.ports import Ask, Outcome, Reply, Request, Verdict
from lead_intel.settings import Settings
from lead_intel.vendors import values
from lead_intel.vendors.statuses import ANOTHER_SUBJECT, UNKNOWN_SHAPE, verdict_of_status

_ADD_ON = "litigator_checks"

_LINE_TYPES = {
    "mobile": "mobile",
    "landline": "landline",
    "fixedvoip": "fixedVoip",
    "nonfixedvoip": "nonFixedVoip",
    "tollfree": "tollFree",
    "premium": "premium",
    "voicemail": "voicemail",
}
"""Trestle's words (both spellings of toll-free) -> the twelve of `contract.LINE_TYPES`."""


class Answer(TypedDict, total=False):
    """What an answer says about a lead; absent = not known. `activity_score` is 0 to 100."""

    activity_score: float
    litigator_risk: bool
    line_type: str


class Trestle:
    """One number per call; see `Answer`."""

    name = "trestle"
    package = "phone_intel"
    about = "Whether each sampled lead's phone is in use, and by a litigator, from Trestle."
    settings: ClassVar[tuple[str, ...]] = ("trestle_url", "trestle_api_key")
    answer: ClassVar[type] = Answer
    confidence: ClassVar[tuple[str, float] | None] = None

    def __init__(self, settings: Settings) -> None:
        self._url = f"{settings.trestle_url.rstrip('/')}/3.0/phone_intel"
        self._key = settings.trestle_api_key.get_secret_value()

    def ask_about(self, phone: int) -> Ask:
        """The question about one number, given as E.164 digits."""
        return Ask(str(phone), phone)

    def subjects(self, people: pd.DataFrame) -> pd.Series[str]:
        """The number."""
        return people["phone"].astype("str")

    def question(self, lead: Any) -> Ask:
        """The question about one row of `people`."""
        return self.ask_about(lead.phone)

    def request(self, ask: Ask) -> Request:
        """The vendor offers GET only, so the number stands in the query."""
        return Request(
            "GET",
            self._url,
            params={"phone": f"+{ask.payload:d}", "add_ons": _ADD_ON},
            headers={"x-api-key": self._key},
        )

    def classify(self, ask: Ask, reply: Reply) -> Verdict:
        """`partial` when the vendor says so or a part is missing; `no_match` when it knows nothing at all."""
        by_status = verdict_of_status(reply)
        if by_status is not None:
            return _refined(by_status, reply)
        body = values.mapping(reply.body)
        if body is None or "phone_number" not in body:
            return UNKNOWN_SHAPE
        if values.digits_of(body.get("phone_number")) != ask.subject:
            return ANOTHER_SUBJECT
        if body.get("is_valid") is False:
            return Verdict(Outcome.INVALID, "yes", dict(_fields(body)))
        fields = _fields(body)
        complete = "activity_score" in fields and "litigator_risk" in fields
        if body.get("error") is not None or not complete:
            return Verdict(Outcome.PARTIAL if fields else Outcome.VENDOR_ERROR, "yes", dict(fields))
        knows = body.get("is_valid") is True or fields["activity_score"] != 50
        return Verdict(Outcome.OK if knows else Outcome.NO_MATCH, "yes", dict(fields))


def _refined(by_status: Verdict, reply: Reply) -> Verdict:
    """429 is either the pace or the quota."""
    body = values.mapping(reply.body) or {}
    if by_status.outcome is Outcome.RATE_LIMITED and body.get("errorCode") == "QUOTA_EXCEEDED":
        return Verdict(Outcome.QUOTA, "no", detail=by_status.detail)
    return by_status


def _fields(body: Any) -> Answer:
    fields: Answer = {}
    score = values.number(body.get("activity_score"), 0, 100)
    if score is not None:
        fields["activity_score"] = score
    checks = values.mapping((values.mapping(body.get("add_ons")) or {}).get(_ADD_ON)) or {}
    if isinstance(checks.get("phone.is_litigator_risk"), bool):
        fields["litigator_risk"] = checks["phone.is_litigator_risk"]
    line_type = _LINE_TYPES.get(values.text(body.get("line_type"), 20).lower())
    if line_type is not None:
        fields["line_type"] = line_type
    return fields
