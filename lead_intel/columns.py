"""Which of a list's columns is which of ours: one pure judgement, shared by intake and guardrail 2.

Exact names win over the supplier's aliases, these over the policy's; two headers for one column are refused, never
chosen between. Nothing here reads files or cell values; messages hold names of our columns and of matching headers
only, because the first line of a headerless list is a person.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lead_intel.contract import CONSENT_COLUMNS, PERSON_COLUMNS, REQUIRED_COLUMNS
from lead_intel.errors import RejectedInput
from lead_intel.policy import Policy

BAD_CODE, BAD_TEXT = "_bad_code", "_bad_text"
KEY_COLUMNS = ("file_no", "line")
FRAME_COLUMNS = (*KEY_COLUMNS, BAD_CODE, BAD_TEXT)
"""Columns of the raw frame that are ours: where a row stands, and, for a row that could not be read into columns, its
code and its original text (both blank for every other row)."""

KNOWN_COLUMNS = tuple(dict.fromkeys((*REQUIRED_COLUMNS, *CONSENT_COLUMNS, *PERSON_COLUMNS)))
"""Every column of ours that a list may carry."""

_SEPARATOR = "\x1f"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_IGNORED_IN_KEYS = re.compile(r"[\s_.\-]+")
_LOOKS_LIKE_DATA = re.compile(r"\S@\S+\.\S|\d(?:[\s().+-]*\d){9}")
# Cyrillic and Greek letters that print like Latin ones (Unicode TR 39, the part that occurs in our names).
_CONFUSABLE = str.maketrans("аеорсухіјѕһԁԛԝкмтвнοαεικνρτυχ", "aeopcyxijshdqwkmtbhoaeikvptux")


@dataclass(frozen=True, slots=True)
class ColumnVerdict:
    """What the headers of one list come to.

    `mapping`: column of the raw frame -> our column. `attributes`: columns of the raw frame that are none of ours.
    `code` is blank when the list can be processed; `message` and `remedy` then are blank too.
    """

    mapping: dict[str, str]
    attributes: tuple[str, ...]
    missing: tuple[str, ...] = ()
    ambiguous: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lookalike: dict[str, str] = field(default_factory=dict)
    code: str = ""
    message: str = ""
    remedy: str = ""

    @property
    def acceptable(self) -> bool:
        """True when every required column stands for exactly one header."""
        return not self.code

    def refuse_if_unacceptable(self) -> None:
        """Raise RejectedInput with the verdict's code, message and remedy."""
        if self.code:
            raise RejectedInput(self.code, self.message, self.remedy)


def frame_columns(headers: Sequence[str]) -> list[str]:
    """Headers as unique column names of the raw frame.

    A header keeps its text (control characters become spaces). Blank and repeated headers, and those that equal a
    column of ours, get their position behind a control character; `header_of` takes it off again.
    """
    names: list[str] = []
    taken = set(FRAME_COLUMNS)
    for position, header in enumerate(headers, start=1):
        name = _CONTROL.sub(" ", header)
        if not name.strip() or name in taken:
            name = f"{name}{_SEPARATOR}{position}"
        taken.add(name)
        names.append(name)
    return names


def header_of(frame_column: str) -> str:
    """The header that `frame_column` stands for, as the list gave it."""
    return frame_column.split(_SEPARATOR, 1)[0]


def header_key(header: str) -> str:
    """What two headers are compared by: no case, width, accents' form, spaces, dots, dashes, underscores."""
    text = unicodedata.normalize("NFKC", header_of(header)).casefold()
    visible = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return _IGNORED_IN_KEYS.sub("", visible)


def header_fingerprint(headers: Iterable[str]) -> str:
    """Digest of the headers in order: the same for every list of one layout."""
    keys = _SEPARATOR.join(header_key(header) for header in headers if header not in FRAME_COLUMNS)
    return hashlib.sha256(keys.encode()).hexdigest()


def judge(
    headers: Sequence[str], policy: Policy, supplier: str, remembered: Mapping[str, str] | None = None
) -> ColumnVerdict:
    """Map `headers` (column names of the raw frame; ours among them are skipped) to our columns.

    Args:
        headers: as `frame_columns` made them, in the file's order.
        policy: aliases of everybody and of the supplier.
        supplier: whose list it is.
        remembered: `header_key` -> our column, or blank for "an attribute": what a person confirmed for this layout.
    """
    columns = [name for name in headers if name not in FRAME_COLUMNS]
    candidates = _candidates(columns, policy, supplier, remembered or {})
    mapping = {found[0]: ours for ours, found in candidates.items() if len(found) == 1}
    ambiguous = {ours: tuple(header_of(name) for name in found) for ours, found in candidates.items() if len(found) > 1}
    missing = tuple(ours for ours in REQUIRED_COLUMNS if ours not in candidates)
    lookalike = _lookalikes(columns, policy, supplier, set(candidates))
    code, message, remedy = _sentence(columns, missing, ambiguous, lookalike)
    attributes = tuple(name for name in columns if name not in mapping)
    return ColumnVerdict(mapping, attributes, missing, ambiguous, lookalike, code, message, remedy)


def _candidates(
    columns: Sequence[str], policy: Policy, supplier: str, remembered: Mapping[str, str]
) -> dict[str, list[str]]:
    """Our column -> the headers of its best level that is present, best level first."""
    exact = {header_key(ours): ours for ours in KNOWN_COLUMNS}
    levels = (dict(remembered), exact, _supplier_aliases(policy, supplier), _policy_aliases(policy))
    found: dict[str, tuple[int, list[str]]] = {}
    for name in columns:
        key = header_key(name)
        level = next((number for number, names in enumerate(levels) if key in names), None)
        if not key or level is None:
            continue
        ours = levels[level][key]
        best, headers = found.get(ours, (level, []))
        if ours not in KNOWN_COLUMNS or level > best:
            continue
        found[ours] = (level, [*headers, name] if level == best else [name])
    return {ours: headers for ours, (_, headers) in sorted(found.items(), key=lambda item: _order(item[0]))}


def _order(ours: str) -> int:
    return KNOWN_COLUMNS.index(ours)


def _supplier_aliases(policy: Policy, supplier: str) -> dict[str, str]:
    known = policy.consent.suppliers.get(supplier)
    return {} if known is None else {header_key(alias): ours for alias, ours in known.column_aliases.items()}


def _policy_aliases(policy: Policy) -> dict[str, str]:
    return {header_key(alias): ours for ours, aliases in policy.columns.aliases.items() for alias in aliases}


def _lookalikes(columns: Sequence[str], policy: Policy, supplier: str, mapped: set[str]) -> dict[str, str]:
    """Header -> our column, where only foreign letters that print like Latin ones keep the two apart."""
    names = {
        **_policy_aliases(policy),
        **_supplier_aliases(policy, supplier),
        **{header_key(ours): ours for ours in KNOWN_COLUMNS},
    }
    found: dict[str, str] = {}
    for name in columns:
        key = header_key(name)
        ours = names.get(key.translate(_CONFUSABLE)) if not key.isascii() else None
        if ours is not None and ours not in mapped:
            found[header_of(name)] = ours
    return found


def _sentence(
    columns: Sequence[str],
    missing: tuple[str, ...],
    ambiguous: Mapping[str, tuple[str, ...]],
    lookalike: Mapping[str, str],
) -> tuple[str, str, str]:
    """Code, message and remedy; every problem is named at once, the gravest gives the code."""
    if not (missing or ambiguous or lookalike):
        return "", "", ""
    named = [header_of(name) for name in columns if header_of(name).strip()]
    if missing and any(_LOOKS_LIKE_DATA.search(header) for header in named):
        return (
            "no_header",
            "The first row looks like a lead, not like column names.",
            f"Put a row with the column names ({', '.join(REQUIRED_COLUMNS)}) above it.",
        )
    if missing and len(named) < min(2, len(columns)):
        return (
            "no_header",
            "The first row that is not empty holds no column names.",
            f"Delete title rows, so that the first row names the columns ({', '.join(REQUIRED_COLUMNS)}).",
        )
    parts: list[tuple[str, str, str]] = []
    if ambiguous:
        which = "; ".join(f"{ours}: {', '.join(headers)}" for ours, headers in ambiguous.items())
        parts.append(
            (
                "column_ambiguous",
                f"More than one column could be meant by {which}.",
                "Keep one of them under our name and rename or delete the other.",
            )
        )
    if lookalike:
        which = ", ".join(lookalike.values())
        parts.append(
            (
                "column_lookalike",
                f"A column looks like {which}, but is written with letters of another alphabet.",
                f"Type the name anew: {which}.",
            )
        )
    truly_missing = [ours for ours in missing if ours not in lookalike.values()]
    if truly_missing:
        which = ", ".join(truly_missing)
        parts.append(
            (
                "column_missing",
                f"The list has no column for {which}.",
                f"Name the columns in the first row ({which}), or add the list's own names to columns.yml.",
            )
        )
    return parts[0][0], " ".join(part[1] for part in parts), " ".join(part[2] for part in parts)
