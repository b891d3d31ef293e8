"""NeverBounce v4: does an e-mail address take mail. Its errors arrive with HTTP 200, told by `status`.

Pure: nothing here sends anything.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict

import pandas as pd

from lead_intel.calls.ports import Ask, Outcome, Reply, Request, Verdict
from lead_intel.errors import SetupError
from lead_intel.settings import Settings
from lead_intel.vendors import values
from lead_intel.vendors.statuses import ANOTHER_SUBJECT, UNKNOWN_SHAPE, verdict_of_status

_STATUSES = {
    "valid": "valid",
    "invalid": "invalid",
    "disposable": "do_not_mail",
    "catchall": "catch-all",
    "unknown": "unknown",
}
"""NeverBounce's results -> our words of `email_status`, which are ZeroBounce's."""

_REFUSALS = {
    "auth_failure": Verdict(Outcome.AUTH, "no", detail="key refused"),
    "throttle_triggered": Verdict(Outcome.RATE_LIMITED, "no", detail="too many requests"),
    "bad_referrer": Verdict(Outcome.AUTH, "no", detail="this key may not be used from here"),
    "temp_unavail": Verdict(Outcome.VENDOR_ERROR, "no", detail="unavailable for now"),
}
_FAILED = Verdict(Outcome.VENDOR_ERROR, "unknown", detail="an error in the answer")
_NO_CREDITS = Verdict(Outcome.QUOTA, "no", detail="no credits left")

_SERVER_TIMEOUT_SECONDS = 4
"""A little under our own deadline: a slow mailbox then answers `unknown` instead of being paid for and thrown away."""


class Answer(TypedDict, total=False):
    """What an answer says about a lead."""

    email_status: str
    email_sub_status: str


class NeverBounce:
    """One address per call; see `Answer`."""

    name = "never_bounce"
    package = "single_check"
    about = "Whether each sampled lead's e-mail address takes mail, from NeverBounce."
    settings: ClassVar[tuple[str, ...]] = ("never_bounce_url", "never_bounce_api_key")
    answer: ClassVar[type] = Answer
    confidence: ClassVar[tuple[str, float] | None] = None

    def __init__(self, settings: Settings) -> None:
        if settings.never_bounce_api_key is None:
            raise SetupError(
                "setting_missing",
                "vendors.yml asks NeverBounce, and NEVER_BOUNCE_API_KEY is missing.",
                "Set it (see .env.example), or take never_bounce out of `enrichment` in vendors.yml.",
            )
        self._url = f"{settings.never_bounce_url.rstrip('/')}/v4/single/check"
        self._key = settings.never_bounce_api_key.get_secret_value()

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
        """The vendor documents GET: the address stands in the query. `address_info` makes the answer name it."""
        return Request(
            "GET",
            self._url,
            params={
                "key": self._key,
                "email": ask.payload,
                "address_info": "1",
                "credits_info": "0",
                "timeout": str(_SERVER_TIMEOUT_SECONDS),
            },
        )

    def classify(self, ask: Ask, reply: Reply) -> Verdict:
        """`no_match` when the vendor could not find out."""
        by_status = verdict_of_status(reply)
        if by_status is not None:
            return by_status
        body = values.mapping(reply.body)
        status = values.text(body.get("status"), 40) if body is not None else ""
        if body is None or not status:
            return UNKNOWN_SHAPE
        if status != "success":
            return _refused(status, values.text(body.get("message")).lower())
        result = values.text(body.get("result"), 40)
        if not result:
            return UNKNOWN_SHAPE
        address = values.mapping(body.get("address_info")) or {}
        if values.text(address.get("original_email"), 320).lower() != ask.subject:
            return ANOTHER_SUBJECT
        known = _STATUSES.get(result, "unknown")
        fields: Answer = {"email_status": known, "email_sub_status": _sub_status(result, body.get("flags"))}
        return Verdict(Outcome.NO_MATCH if known == "unknown" else Outcome.OK, "yes", dict(fields))


def _refused(status: str, message: str) -> Verdict:
    """The message is not repeated: it may quote the address."""
    if "credit" in message or "insufficient balance" in message:
        return _NO_CREDITS
    return _REFUSALS.get(status, _FAILED)


def _sub_status(result: str, flags: Any) -> str:
    """Why, in the words of ZeroBounce where they say the same; the vendor's flags are an open vocabulary."""
    if result == "disposable":
        return "disposable"
    given = {values.text(flag, 40) for flag in flags} if isinstance(flags, list) else set()
    if "role_account" in given:
        return "role_based"
    return "mailbox_not_found" if result == "invalid" and "has_dns" in given else ""
