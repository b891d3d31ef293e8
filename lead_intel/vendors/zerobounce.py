"""ZeroBounce v2: does an e-mail address take mail. Its errors arrive with HTTP 200.

Pure: nothing here sends anything.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict

import pandas as pd

from lead_intel.calls.ports import Ask, Outcome, Reply, Request, Verdict
from lead_intel.settings import Settings
from lead_intel.vendors import values
from lead_intel.vendors.statuses import ANOTHER_SUBJECT, UNKNOWN_SHAPE, verdict_of_status

STATUSES = frozenset({"valid", "invalid", "catch-all", "unknown", "spamtrap", "abuse", "do_not_mail"})

_SERVER_TIMEOUT_SECONDS = 4
"""A little under our own deadline: a slow mailbox then answers `unknown` instead of being paid for and thrown away."""


class Answer(TypedDict, total=False):
    """What an answer says about a lead. `email_status` is one of STATUSES, `email_sub_status` an open vocabulary."""

    email_status: str
    email_sub_status: str


class ZeroBounce:
    """One address per call; see `Answer`."""

    name = "zerobounce"
    package = "validate"
    about = "Whether each sampled lead's e-mail address takes mail, from ZeroBounce."
    settings: ClassVar[tuple[str, ...]] = ("zerobounce_url", "zerobounce_api_key")
    answer: ClassVar[type] = Answer
    confidence: ClassVar[tuple[str, float] | None] = None

    def __init__(self, settings: Settings) -> None:
        self._url = f"{settings.zerobounce_url.rstrip('/')}/v2/validate"
        self._key = settings.zerobounce_api_key.get_secret_value()

    def ask_about(self, email: str) -> Ask:
        """The question about one normalised address."""
        return Ask(email.lower(), email)

    def subjects(self, people: pd.DataFrame) -> pd.Series[str]:
        """The address."""
        return people["email"].str.lower()

    def question(self, lead: Any) -> Ask:
        """The question about one row of `people`."""
        return self.ask_about(lead.email)

    def request(self, ask: Ask) -> Request:
        """POST as a form, so that neither key nor address stands in a URL."""
        return Request(
            "POST",
            self._url,
            form={
                "api_key": self._key,
                "email": ask.payload,
                "ip_address": "",
                "timeout": str(_SERVER_TIMEOUT_SECONDS),
            },
        )

    def classify(self, ask: Ask, reply: Reply) -> Verdict:
        """`no_match` when the vendor could not find out."""
        by_status = verdict_of_status(reply)
        if by_status is not None:
            return by_status
        body = values.mapping(reply.body)
        if body is None:
            return UNKNOWN_SHAPE
        if "error" in body:
            return _by_message(values.text(body.get("error")).lower())
        status = values.text(body.get("status"), 40)
        if not status:
            return UNKNOWN_SHAPE
        if values.text(body.get("address"), 320).lower() != ask.subject:
            return ANOTHER_SUBJECT
        known = status if status in STATUSES else "unknown"
        fields: Answer = {"email_status": known, "email_sub_status": values.text(body.get("sub_status"), 60)}
        return Verdict(Outcome.NO_MATCH if known == "unknown" else Outcome.OK, "yes", dict(fields))


def _by_message(message: str) -> Verdict:
    """Errors at HTTP 200 are told apart by their text only; it is not repeated, it may quote the address."""
    if "api key" in message or "api_key" in message:
        return Verdict(Outcome.AUTH, "no", detail="key refused, or no credits left")
    if "credit" in message:
        return Verdict(Outcome.QUOTA, "no", detail="no credits left")
    if "too many" in message or "rate limit" in message:
        return Verdict(Outcome.RATE_LIMITED, "no", detail="too many requests")
    return Verdict(Outcome.VENDOR_ERROR, "unknown", detail="an error in the answer")
