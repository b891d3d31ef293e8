"""People Data Labs, person enrichment: who is the person behind a number and an address, and what do they do.

No match is a 404 that costs nothing. Pure: nothing here sends anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, TypedDict

import pandas as pd

from lead_intel.calls.ports import Ask, Outcome, Reply, Request, Verdict
from lead_intel.settings import Settings
from lead_intel.vendors import values
from lead_intel.vendors.statuses import ANOTHER_SUBJECT, UNKNOWN_SHAPE, verdict_of_status


@dataclass(frozen=True, slots=True)
class Person:
    """Whom to ask about: E.164 digits and, where the list gave them, the rest. Blank text = not known."""

    phone: int
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""


class Answer(TypedDict, total=False):
    """What an answer says about a lead. `match_likelihood` is 0 to 10."""

    job_title: str
    company: str
    seniority: str
    match_likelihood: float


class PeopleDataLabs:
    """One person per call; see `Answer`."""

    name = "people_data_labs"
    package = "person_enrich"
    about = "Job, company and seniority of each sampled lead, from People Data Labs."
    settings: ClassVar[tuple[str, ...]] = ("people_data_labs_url", "people_data_labs_api_key")
    answer: ClassVar[type] = Answer
    confidence: ClassVar[tuple[str, float] | None] = ("match_likelihood", 10.0)

    def __init__(self, settings: Settings) -> None:
        self._url = f"{settings.people_data_labs_url.rstrip('/')}/v5/person/enrich"
        self._key = settings.people_data_labs_api_key.get_secret_value()

    def ask_about(self, lead_id: str, person: Person) -> Ask:
        """The question about one lead."""
        return Ask(lead_id, person)

    def subjects(self, people: pd.DataFrame) -> pd.Series[str]:
        """The lead: everything that the list says about it is asked."""
        return people["lead_id"]

    def question(self, lead: Any) -> Ask:
        """The question about one row of `people`."""
        known = (lead.phone, lead.email, lead.first_name, lead.last_name, lead.city, lead.state, lead.postal_code)
        return self.ask_about(lead.lead_id, Person(*known))

    def request(self, ask: Ask) -> Request:
        """POST, so that nobody's address stands in a URL."""
        person: Person = ask.payload
        given = {
            "phone": f"+{person.phone}",
            "email": person.email,
            "first_name": person.first_name,
            "last_name": person.last_name,
            "locality": person.city,
            "region": person.state,
            "postal_code": person.postal_code,
        }
        return Request(
            "POST",
            self._url,
            headers={"X-Api-Key": self._key},
            json={name: text for name, text in given.items() if text},
        )

    def classify(self, ask: Ask, reply: Reply) -> Verdict:
        """A match whose numbers and addresses are all other people's is refused."""
        if reply.status == HTTPStatus.NOT_FOUND and _error_type(reply) == "not_found":
            return Verdict(Outcome.NO_MATCH, "no")
        by_status = verdict_of_status(reply)
        if by_status is not None:
            return by_status
        body = values.mapping(reply.body)
        data = values.mapping(body.get("data")) if body is not None else None
        likelihood = values.number(body.get("likelihood"), 0, 10) if body is not None else None
        if data is None or likelihood is None:
            return UNKNOWN_SHAPE
        if _is_somebody_else(data, ask.payload):
            return ANOTHER_SUBJECT
        fields: Answer = {
            "job_title": values.text(data.get("job_title")),
            "company": values.text(data.get("job_company_name")),
            "seniority": values.text(next(iter(_items(data.get("job_title_levels"))), ""), 40),
            "match_likelihood": likelihood,
        }
        return Verdict(Outcome.OK, "yes", dict(fields))


def _error_type(reply: Reply) -> str:
    body = values.mapping(reply.body) or {}
    return values.text((values.mapping(body.get("error")) or {}).get("type"))


def _is_somebody_else(data: Any, person: Person) -> bool:
    """True when the answer lists numbers or addresses and none of them is one that was asked about."""
    phones = {values.digits_of(item) for item in (data.get("mobile_phone"), *_items(data.get("phone_numbers")))} - {""}
    emails = set(_emails(data))
    if not phones and not emails:
        return False
    return str(person.phone) not in phones and person.email.lower() not in emails


def _emails(data: Any) -> Iterator[str]:
    for item in (*_items(data.get("personal_emails")), *_items(data.get("emails"))):
        address = item.get("address") if isinstance(item, dict) else item
        if isinstance(address, str) and address:
            yield address.lower()


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
