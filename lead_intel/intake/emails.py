"""E-mails: raw text -> a normalised address, or `email_invalid`; a blank stays blank and is accepted.

`judge` is the rule for one text: email-validator's syntax, without asking DNS. Its special-use domains (`.test`,
`.local`, `.invalid`, ...) are invalid; `example.com` and its like are ordinary domains to it. `normalised` gives the
same answers for a column: plain local parts vectorised, each distinct domain judged once, the rest text by text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from email_validator import EmailNotValidError, validate_email

EmailCode = Literal["", "email_invalid"]

ROLE, DISPOSABLE, TYPO = "role", "disposable", "typo"
ROLE_LOCALS = (
    "abuse", "accounts", "admin", "administrator", "billing", "contact", "enquiries", "feedback", "help", "helpdesk",
    "hello", "hostmaster", "hr", "info", "inquiries", "jobs", "legal", "mail", "marketing", "media", "news",
    "newsletter", "no-reply", "noreply", "office", "orders", "postmaster", "press", "privacy", "sales", "security",
    "service", "spam", "support", "team", "webmaster",
)  # fmt: skip
"""Local parts that name a function, not a person (RFC 2142 and common use). Flagged, not dropped."""

DISPOSABLE_DOMAINS = (
    "10minutemail.com", "discard.email", "dispostable.com", "fakeinbox.com", "getairmail.com", "getnada.com",
    "guerrillamail.com", "guerrillamail.net", "guerrillamail.org", "mailcatch.com", "maildrop.cc", "mailinator.com",
    "mailnesia.com", "mintemail.com", "moakt.com", "mohmal.com", "mytemp.email", "sharklasers.com", "spam4.me",
    "spamgourmet.com", "temp-mail.org", "tempail.com", "tempmail.com", "throwawaymail.com", "trashmail.com",
    "trashmail.de", "yopmail.com", "yopmail.fr",
)  # fmt: skip
"""Domains of mailboxes that last minutes. Flagged, not dropped; a vendor's answer says more."""

TYPO_DOMAINS = (
    "gmial.com", "gmai.com", "gamil.com", "gmal.com", "gmil.com", "gnail.com", "gmaill.com", "gmail.co", "gmail.cm",
    "gmail.om", "gmail.con", "gmail.cmo", "gmail.comm", "gmailcom.com", "gmsil.com", "gmaik.com", "googlemail.co",
    "yaho.com", "yahooo.com", "yhaoo.com", "yhoo.com", "yahoo.co", "yahoo.con", "yahoo.cm", "yaoo.com", "yahho.com",
    "hotmial.com", "hotmal.com", "hotmai.com", "hotmil.com", "hotamil.com", "hotmaill.com", "hotmail.co", "hotmail.con",
    "hotmail.cm", "hotnail.com", "homail.com", "htomail.com", "outlok.com", "outloo.com", "outlook.co", "outlook.con",
    "outllook.com", "iclould.com", "icoud.com", "icloud.co", "icloud.con", "icluod.com", "aol.co", "aol.con",
    "comcast.con", "comcas.net", "comcast.ne", "verizon.ne", "verison.net", "sbcglobal.ne", "sbcgloba.net", "att.ne",
    "live.con", "msn.con", "protonmail.con", "ymail.con", "gmx.con",
)  # fmt: skip
"""Domains that are a slip of the keyboard away from a large mailbox provider's. Flagged, not dropped and not mended:
some of them exist."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_PLAIN = rf"^(?P<local>{_ATOM}(?:\.{_ATOM})*)@(?P<domain>[^@]+)$"
_MAX_LOCAL, _MAX_ADDRESS = 64, 254
_DOMAINS_REMEMBERED = 100_000
_TEXT = pa.large_string()


@dataclass(frozen=True)
class Emails:
    """A column of e-mails. `addresses` are normalised (blank where blank or invalid), `keys` their lower case."""

    addresses: pa.Array
    keys: pa.Array
    flags: pa.Array
    invalid: np.ndarray[Any, np.dtype[np.bool_]]


def judge(text: str) -> tuple[str, EmailCode]:
    """The one rule for one text: (normalised address, "") or ("", code). Blank is accepted as blank."""
    stripped = text.strip()
    if not stripped:
        return "", ""
    try:
        return validate_email(stripped, check_deliverability=False).normalized, ""
    except EmailNotValidError:
        return "", "email_invalid"


def normalised(values: pa.Array | pa.ChunkedArray) -> Emails:
    """The answers of `judge` for every text of `values` (no nulls), with flags."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    texts = pc.utf8_trim_whitespace(whole.cast(_TEXT))
    # Null: not decided. Blank: decided to be invalid.
    addresses = _plain_addresses(texts)
    rest = np.flatnonzero(pc.and_(pc.is_null(addresses), pc.not_equal(texts, "")).to_numpy(zero_copy_only=False))
    judged = _judged(texts.take(pa.array(rest)))
    mask = np.zeros(len(texts), bool)
    mask[rest] = True
    addresses = pc.fill_null(pc.replace_with_mask(addresses, pa.array(mask), judged), pa.scalar("", _TEXT))
    blank = pc.equal(addresses, "")
    invalid = pc.and_(blank, pc.not_equal(texts, "")).to_numpy(zero_copy_only=False)
    keys = pc.utf8_lower(addresses)
    return Emails(addresses, keys, _flags(keys), invalid)


def _plain_addresses(texts: pa.Array) -> pa.Array:
    """Normalised addresses of the texts with a plain local part, blank where their domain is invalid; null elsewhere.

    A plain local part is valid whatever the domain, so an invalid domain decides.
    """
    parts = pc.extract_regex(texts, _PLAIN)
    local, domain = pc.struct_field(parts, "local"), pc.struct_field(parts, "domain")
    coded = pc.dictionary_encode(domain)
    names = [_domain(name) for name in coded.dictionary.to_pylist()]
    judged = pa.array(names, _TEXT).take(coded.indices)
    addresses = pc.binary_join_element_wise(local, judged, pa.scalar("@", _TEXT))
    fits = pc.and_(pc.less_equal(pc.binary_length(local), _MAX_LOCAL), _is_short(texts))
    return pc.if_else(fits, pc.if_else(pc.equal(judged, ""), judged, addresses), pa.scalar(None, _TEXT))


def _is_short(texts: pa.Array) -> pa.Array:
    """No longer than an address may be, nor is any other writing of it: an ASCII letter takes one byte in all."""
    limits = pc.if_else(pc.string_is_ascii(texts), _MAX_ADDRESS, _MAX_ADDRESS // 4)
    return pc.less_equal(pc.binary_length(texts), limits)


@lru_cache(_DOMAINS_REMEMBERED)
def _domain(domain: str) -> str:
    """The normalised domain, or blank when it is invalid."""
    address, _ = judge(f"a@{domain}")
    return address.partition("@")[2]


def _judged(texts: pa.Array) -> pa.Array:
    coded = pc.dictionary_encode(texts)
    answers = pa.array([judge(text)[0] for text in coded.dictionary.to_pylist()], _TEXT)
    return answers.take(coded.indices)


def _flags(keys: pa.Array) -> pa.Array:
    """`|`-joined flags of each address."""
    local = pc.replace_substring_regex(keys, "@.*$", "")
    domain = pc.replace_substring_regex(keys, "^.*@", "")
    found = [
        pc.is_in(local, pa.array(ROLE_LOCALS, _TEXT)),
        pc.is_in(domain, pa.array(DISPOSABLE_DOMAINS, _TEXT)),
        pc.is_in(domain, pa.array(TYPO_DOMAINS, _TEXT)),
    ]
    names = (ROLE, DISPOSABLE, TYPO)
    sets = ["|".join(name for bit, name in enumerate(names) if place >> bit & 1) for place in range(1 << len(names))]
    place = sum(np.asarray(mask.to_numpy(zero_copy_only=False), np.int8) << bit for bit, mask in enumerate(found))
    return pa.array(sets, _TEXT).take(pa.array(place))
