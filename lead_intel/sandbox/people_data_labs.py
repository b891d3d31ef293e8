"""People Data Labs' person enrichment. No match is a 404 that costs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from starlette.routing import BaseRoute

from lead_intel.sandbox import settings
from lead_intel.sandbox.answers import hexadecimal, name_of, pick, share, weighted
from lead_intel.sandbox.faults import Fault
from lead_intel.sandbox.service import Answer, Call, Refused, Service, as_json

_ERRORS = {
    "rate_limited": (429, "rate_limit_error", "You have exceeded your rate limit"),
    "unauthorized": (401, "authentication_error", "Request contained a missing or invalid key"),
    "forbidden": (403, "authentication_error", "This key may not use this endpoint"),
    "quota": (402, "payment_required", "You have hit your account maximum for person enrichment (all matches used)"),
    "server_error": (500, "api_error", "An internal error occurred"),
    "invalid": (400, "invalid_request_error", "Insufficient data to match a person"),
    "no_match": (404, "not_found", "No records were found matching your request"),
}
_PER_MINUTE = 1000
_MATCHED = 0.72
_LEVELS: tuple[tuple[float, list[str]], ...] = (
    (0.34, []), (0.22, ["senior"]), (0.16, ["manager"]), (0.10, ["entry"]), (0.07, ["director"]), (0.04, ["vp"]),
    (0.03, ["cxo"]), (0.03, ["owner"]), (0.01, ["partner"]),
)  # fmt: skip
_ROLES = ("sales", "engineering", "operations", "finance", "marketing", "health", "education", "trades")
_COMPANIES = (
    "Northwind Traders", "Contoso", "Fabrikam", "Tailspin Toys", "Adventure Works", "Wide World Importers", "Litware",
)  # fmt: skip
_INDUSTRIES = ("retail", "construction", "hospital & health care", "financial services", "computer software")
_PLACES = (
    ("houston", "texas"), ("phoenix", "arizona"), ("columbus", "ohio"), ("charlotte", "north carolina"),
    ("denver", "colorado"), ("portland", "oregon"),
)  # fmt: skip
_IDENTIFYING = (
    "email",
    "phone",
    "email_hash",
    "profile",
    "lid",
    "name",
    "first_name",
    "last_name",
    "company",
    "location",
)


class PeopleDataLabs(Service):
    """GET|POST /v5/person/enrich."""

    name = "people_data_labs"
    prefix = "/pdl"
    kinds: ClassVar = {
        "no_match": "404 for everybody",
        "low_likelihood": "matches carry a likelihood of 2",
        "other_subject": "the answer is about another person",
    }

    def routes(self) -> list[BaseRoute]:
        """The enrichment call."""
        return [
            self.route("GET", "/v5/person/enrich", self._enrich),
            self.route("POST", "/v5/person/enrich", self._enrich),
        ]

    def refusal(self, fault: Fault) -> Answer:
        """The vendor's error envelope; its 429 carries no Retry-After, only rate limit headers."""
        if fault.kind not in _ERRORS:
            return super().refusal(fault)
        return _error(fault.kind)

    async def _enrich(self, call: Call) -> Answer:
        given = await _parameters(call)
        subject = ";".join(f"{name}={given[name].lower()}" for name in _IDENTIFYING if given.get(name))
        call.about("enrich", *([subject] if subject else []))
        if call.request.headers.get("x-api-key", given.get("api_key")) != settings.PEOPLE_DATA_LABS_KEY:
            raise Refused(_error("unauthorized"))
        if not _is_enough(given):
            raise Refused(_error("invalid"))
        # The person is known by the phone if it is given, so that two calls about one person agree.
        person = given.get("phone", given.get("email", subject)).lstrip("+").lower()
        likelihood = 2 if call.fault("low_likelihood") else 4 + int(share(person, "likelihood") * 7)
        if (
            call.fault("no_match")
            or share(person, "pdl match") >= _MATCHED
            or likelihood < int(given.get("min_likelihood", 1))
        ):
            return _error("no_match", processed=True)
        body: dict[str, Any] = {"status": 200, "likelihood": likelihood, "data": _person(person, given)}
        if given.get("include_if_matched") == "true":
            body["matched"] = [name for name in ("email", "phone", "name") if given.get(name)]
        if call.fault("other_subject"):
            body["data"] |= {"phone_numbers": ["+12125550199"], "personal_emails": ["other@example.com"], "emails": []}
        return as_json(body, paid=True, headers=_limits(spent=1))


async def _parameters(call: Call) -> Mapping[str, str]:
    if call.request.method == "GET":
        return call.query
    try:
        body = json.loads(await call.request.body() or b"{}")
    except ValueError:
        return call.query
    given = body.get("params", body) if isinstance(body, dict) else {}
    return {**call.query, **{name: str(value) for name, value in given.items() if value is not None}}


def _is_enough(given: Mapping[str, str]) -> bool:
    if any(given.get(name) for name in ("profile", "email", "phone", "email_hash", "lid")):
        return True
    named = given.get("name") or (given.get("first_name") and given.get("last_name"))
    return bool(named and any(given.get(name) for name in ("location", "company", "school", "locality", "region")))


def _person(person: str, given: Mapping[str, str]) -> dict[str, Any]:
    first, last, sex = name_of(person)
    first, last = given.get("first_name", first).lower(), given.get("last_name", last).lower()
    locality, region = pick(person, "place", _PLACES)
    levels = weighted(person, "level", _LEVELS)
    employed = share(person, "employed") < 0.8
    role = pick(person, "role", _ROLES)
    company = pick(person, "company", _COMPANIES).lower() if employed else None
    return {
        "id": hexadecimal(person, "pdl", 28) + "_0000",
        "full_name": f"{first} {last}",
        "first_name": first,
        "middle_name": None,
        "last_name": last,
        "sex": sex,
        "birth_year": 1950 + int(share(person, "born") * 55),
        "linkedin_url": f"linkedin.com/in/{first}-{last}-{hexadecimal(person, 'linkedin', 6)}",
        "job_title": f"{(levels or [''])[0]} {role}".strip() if employed else None,
        "job_title_role": role if employed else None,
        "job_title_levels": levels if employed else [],
        "job_company_name": company,
        "job_company_size": pick(person, "size", ("1-10", "11-50", "51-200", "201-500", "1001-5000"))
        if employed
        else None,
        "job_company_industry": pick(person, "industry", _INDUSTRIES) if employed else None,
        "location_name": f"{locality}, {region}, united states",
        "location_locality": locality,
        "location_region": region,
        "location_country": "united states",
        "mobile_phone": None,
        "phone_numbers": [given["phone"]] if given.get("phone") else [],
        "personal_emails": [given["email"]] if given.get("email") else [],
        "emails": [{"address": given["email"], "type": "personal"}] if given.get("email") else [],
        "interests": [],
        "skills": [],
    }


def _limits(spent: int) -> dict[str, str]:
    reset = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%d %H:%M:00")
    return {
        "x-ratelimit-limit": json.dumps({"minute": _PER_MINUTE}),
        "x-ratelimit-remaining": json.dumps({"minute": _PER_MINUTE - 1}),
        "x-ratelimit-reset": reset,
        "x-call-credits-spent": str(spent),
        "x-call-credits-type": "person",
        "x-totallimit-remaining": "100000",
    }


def _error(kind: str, *, processed: bool = False) -> Answer:
    status, name, message = _ERRORS[kind]
    body = {"status": status, "error": {"type": name, "message": message}}
    return as_json(body, status, processed=processed, headers=_limits(spent=0))
