"""Opt-outs as people hand them in (a phone, an e-mail, a file of them) -> our own do-not-contact list.

Effective at once: screening reads the list, and every push asks it again. Contacts are never shown back.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import phonenumbers
import psycopg
from email_validator import EmailNotValidError, validate_email

from lead_intel.errors import UsageError
from lead_intel.record import suppressions
from lead_intel.settings import Settings

_HOME_REGION = "US"
_SHOWN_LINES = 5


@dataclass(frozen=True, slots=True)
class Contact:
    """A phone (E.164 digits) or an e-mail (lower case), as text."""

    kind: Literal["phone", "email"]
    value: str


def contact_of(text: str) -> Contact | None:
    """What `text` names, or None when it is neither a possible phone number nor an e-mail address.

    A number that is possible but not assigned counts: an opt-out is never refused for being unlikely.
    """
    text = text.strip()
    if "@" in text:
        try:
            return Contact("email", validate_email(text, check_deliverability=False).normalized.lower())
        except EmailNotValidError:
            return None
    try:
        number = phonenumbers.parse(text, _HOME_REGION)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return Contact("phone", phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).lstrip("+"))


def suppress_contacts(connection: psycopg.Connection, settings: Settings, given: str, reason: str, channel: str) -> int:
    """Suppress a phone, an e-mail, or every line of the file `given` (`-`: standard input); returns how many are new.

    Raises:
        UsageError: nothing is recognised, or some lines are not; those that are recognised are suppressed all the same.
    """
    key, added, strange = settings.lead_intel_identity_key, 0, []
    with connection.transaction():
        for line, text in _lines(given):
            contact = contact_of(text)
            if contact is None:
                strange.append(line)
            elif contact.kind == "phone":
                added += suppressions.add_phone(connection, key, int(contact.value), reason, channel)
            else:
                added += suppressions.add_email(connection, key, contact.value, reason, channel)
    if strange:
        shown = ", ".join(str(line) for line in strange[:_SHOWN_LINES])
        more = f" and {len(strange) - _SHOWN_LINES} more" if len(strange) > _SHOWN_LINES else ""
        raise UsageError(
            "contact_unknown",
            f"Line {shown}{more} is neither a phone number nor an e-mail address; {added} others are suppressed.",
            "Correct them and suppress them again; a repeat does no harm.",
        )
    return added


def _lines(given: str) -> Iterator[tuple[int, str]]:
    if given == "-":
        yield from _filled(sys.stdin.read())
    elif contact_of(given) is None and Path(given).is_file():
        yield from _filled(Path(given).read_text(encoding="utf-8-sig"))
    else:
        yield 1, given


def _filled(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line
