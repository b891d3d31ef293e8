"""Which of a list's columns is which of ours: one pure judgement, shared by intake and guardrail 2.

What a person said wins; then exact names, the supplier's aliases, the policy's. Two headers for one column are refused,
never chosen between, and likeness only suggests. Nothing here reads files or cell values; messages hold names of our
columns and of matching headers only, because the first line of a headerless list is a person.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lead_intel.column_words import LEAD_AS_HEADER, TITLE_AS_HEADER, Words, in_words
from lead_intel.column_words import ColumnVerdict as ColumnVerdict  # part of what this module offers
from lead_intel.contract import CONSENT_COLUMNS, PERSON_COLUMNS, REQUIRED_COLUMNS
from lead_intel.policy import Policy
from lead_intel.suggestions import closest

BAD_CODE, BAD_TEXT = "_bad_code", "_bad_text"
KEY_COLUMNS = ("file_no", "line")
FRAME_COLUMNS = (*KEY_COLUMNS, BAD_CODE, BAD_TEXT)
"""Columns of the raw frame that are ours: where a row stands, and, for a row that could not be read into columns, its
code and its original text (both blank for every other row)."""

KNOWN_COLUMNS = tuple(dict.fromkeys((*REQUIRED_COLUMNS, *CONSENT_COLUMNS, *PERSON_COLUMNS)))
"""Every column of ours that a list may carry."""

NO_COLUMN = ""
"""Said of a column of ours: the list has none, whatever its headers look like."""

_SEPARATOR = "\x1f"
_POSITION = "#"
_PERSONS_LEVELS = (0, 1)
"""Of `_candidates`: what was said about this list, and about an earlier one of the same layout."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_IGNORED_IN_KEYS = re.compile(r"[\s_.\-]+")
_LOOKS_LIKE_DATA = re.compile(r"\S@\S+\.\S|\d(?:[\s().+-]*\d){9}")
# Cyrillic and Greek letters that print like Latin ones (Unicode TR 39, the part that occurs in our names).
_CONFUSABLE = str.maketrans("аеорсухіјѕһԁԛԝкмтвнοαεικνρτυχ", "aeopcyxijshdqwkmtbhoaeikvptux")


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


def column_keys(columns: Sequence[str]) -> dict[str, str]:
    """Column of the raw frame -> what it is remembered by: its header's key, or its place where that names no one."""
    own = [name for name in columns if name not in FRAME_COLUMNS]
    keys = [header_key(name) for name in own]
    return {
        name: key if key and keys.count(key) == 1 else f"{key}{_SEPARATOR}{place}"
        for place, (name, key) in enumerate(zip(own, keys, strict=True), start=1)
    }


def judge(
    headers: Sequence[str],
    policy: Policy,
    supplier: str,
    remembered: Mapping[str, str] | None = None,
    *,
    said: Mapping[str, str] | None = None,
    former: Mapping[str, str] | None = None,
) -> ColumnVerdict:
    """Map `headers` (column names of the raw frame; ours among them are skipped) to our columns.

    Args:
        headers: as `frame_columns` made them, in the file's order.
        policy: aliases of everybody and of the supplier.
        supplier: whose list it is.
        remembered: as `confirmed` made it from an earlier list of this very layout, which a person had mapped.
        said: our column -> its header in this list, or `#3` for the third, or NO_COLUMN: what a person says now.
        former: `column_keys` -> our column in this supplier's list before, which had another layout.
    """
    columns = [name for name in headers if name not in FRAME_COLUMNS]
    chosen, unfound = _chosen(said or {}, columns)
    levels = _Levels(chosen, dict(remembered or {}), policy, supplier)
    none = {ours for ours, header in (said or {}).items() if header == NO_COLUMN}
    candidates = {ours: found for ours, found in _candidates(columns, levels).items() if ours not in none}
    mapping = {found.names[0]: ours for ours, found in candidates.items() if len(found.names) == 1}
    ambiguous = {
        ours: tuple(header_of(name) for name in found.names)
        for ours, found in candidates.items()
        if len(found.names) > 1
    }
    missing = tuple(ours for ours in REQUIRED_COLUMNS if ours not in candidates)
    lookalike = _lookalikes(columns, policy, supplier, set(candidates))
    moved = _moved(columns, candidates, former or {})
    attributes = tuple(name for name in columns if name not in mapping)
    verdict = ColumnVerdict(mapping, attributes, missing, ambiguous, lookalike, {}, unfound, moved)
    no_header = _no_header(columns, missing)
    if no_header is not None:
        return _worded(verdict, no_header)
    suggestions = _suggested(columns, mapping, missing, former or {}, policy, supplier)
    verdict = replace(verdict, suggestions=suggestions)
    return _worded(verdict, in_words(verdict, {ours: header_of(name) for name, ours in mapping.items()}))


def confirmed(columns: Sequence[str], verdict: ColumnVerdict) -> dict[str, str]:
    """What to remember of a layout whose mapping a person confirmed: every column's key -> ours, or blank."""
    return {key: verdict.mapping.get(name, NO_COLUMN) for name, key in column_keys(columns).items()}


@dataclass(frozen=True, slots=True)
class _Found:
    level: int
    names: tuple[str, ...]


class _Levels:
    """Who says what a column is, best first: a person of this list, of this layout, exact names, aliases."""

    def __init__(self, chosen: Mapping[str, str], remembered: Mapping[str, str], policy: Policy, supplier: str) -> None:
        exact = {header_key(ours): ours for ours in KNOWN_COLUMNS}
        self._chosen = chosen
        self._remembered = remembered
        self._by_header = (exact, _supplier_aliases(policy, supplier), _policy_aliases(policy))

    def ours(self, name: str, key: str) -> tuple[int, str]:
        """(level, our column) of the frame column `name` remembered by `key`; our column is blank for none."""
        if name in self._chosen:
            return 0, self._chosen[name]
        for memory in (key, header_key(name)):
            if memory in self._remembered:
                return 1, self._remembered[memory]
        for level, names in enumerate(self._by_header, start=2):
            if header_key(name) in names:
                return level, names[header_key(name)]
        return len(self._by_header) + 2, NO_COLUMN


def _chosen(said: Mapping[str, str], columns: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """(frame column -> our column, our column -> header that no, or more than one, column has)."""
    chosen: dict[str, str] = {}
    unfound: dict[str, str] = {}
    for ours, header in said.items():
        if header == NO_COLUMN:
            continue
        named = _named(header, columns)
        if len(named) == 1 and named[0] not in chosen:
            chosen[named[0]] = ours
        else:
            unfound[ours] = header
    return chosen, unfound


def _named(header: str, columns: Sequence[str]) -> list[str]:
    """The columns that a person means by `header`: written just so, else written alike, else by place (`#3`)."""
    exact = [name for name in columns if header_of(name).strip() == header.strip()]
    if exact:
        return exact
    place = header.strip().removeprefix(_POSITION)
    if header.strip().startswith(_POSITION) and place.isdecimal() and 1 <= int(place) <= len(columns):
        return [columns[int(place) - 1]]
    return [name for name in columns if header_key(header) and header_key(name) == header_key(header)]


def _candidates(columns: Sequence[str], levels: _Levels) -> dict[str, _Found]:
    """Our column -> the headers of its best level that is present."""
    found: dict[str, _Found] = {}
    for name, key in column_keys(columns).items():
        level, ours = levels.ours(name, key)
        best = found.get(ours)
        if ours not in KNOWN_COLUMNS or (best is not None and level > best.level):
            continue
        together = best is not None and level == best.level
        found[ours] = _Found(level, (*best.names, name) if best is not None and together else (name,))
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def _moved(columns: Sequence[str], candidates: Mapping[str, _Found], former: Mapping[str, str]) -> dict[str, str]:
    """Our column -> the header that was it before and is still here, where another would be it now unasked."""
    before = {ours: key for key, ours in former.items() if ours}
    by_key = {key: name for name, key in column_keys(columns).items()}
    return {
        ours: header_of(by_key[before[ours]])
        for ours, found in candidates.items()
        if before.get(ours) in by_key and by_key[before[ours]] not in found.names and found.level not in _PERSONS_LEVELS
    }


def _suggested(
    columns: Sequence[str],
    mapping: Mapping[str, str],
    missing: Sequence[str],
    former: Mapping[str, str],
    policy: Policy,
    supplier: str,
) -> dict[str, tuple[str, ...]]:
    """Our missing column -> headers that may be it: what was it before, then by likeness."""
    if not missing:
        return {}
    free = {header_of(name).strip(): key for name, key in column_keys(columns).items() if name not in mapping}
    free = {header: key for header, key in free.items() if header and not _LOOKS_LIKE_DATA.search(header)}
    aliases = {**_policy_aliases_as_written(policy), **_supplier_aliases_as_written(policy, supplier)}
    spellings = {ours: [ours, *(alias for alias, name in aliases.items() if name == ours)] for ours in missing}
    likely = closest(spellings, free)
    before = {ours: tuple(header for header, key in free.items() if former.get(key) == ours) for ours in missing}
    both = {ours: tuple(dict.fromkeys((*before[ours], *likely.get(ours, ())))) for ours in missing}
    return {ours: headers for ours, headers in both.items() if headers}


def _order(ours: str) -> int:
    return KNOWN_COLUMNS.index(ours)


def _supplier_aliases(policy: Policy, supplier: str) -> dict[str, str]:
    return {header_key(alias): ours for alias, ours in _supplier_aliases_as_written(policy, supplier).items()}


def _supplier_aliases_as_written(policy: Policy, supplier: str) -> dict[str, str]:
    known = policy.consent.suppliers.get(supplier)
    return {} if known is None else dict(known.column_aliases)


def _policy_aliases(policy: Policy) -> dict[str, str]:
    return {header_key(alias): ours for alias, ours in _policy_aliases_as_written(policy).items()}


def _policy_aliases_as_written(policy: Policy) -> dict[str, str]:
    return {alias: ours for ours, aliases in policy.columns.aliases.items() for alias in aliases}


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


def _worded(verdict: ColumnVerdict, words: Words) -> ColumnVerdict:
    return replace(verdict, code=words.code, message=words.message, remedy=words.remedy)


def _no_header(columns: Sequence[str], missing: Sequence[str]) -> Words | None:
    named = [header_of(name) for name in columns if header_of(name).strip()]
    if missing and any(_LOOKS_LIKE_DATA.search(header) for header in named):
        return LEAD_AS_HEADER
    return TITLE_AS_HEADER if missing and len(named) < min(2, len(columns)) else None
