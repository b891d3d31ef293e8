"""Which ten-digit numbers of country code 1 are valid, and in which region: libphonenumber's patterns as one table.

The patterns of the installed `phonenumbers` are turned into automata and walked over all 10^6 six-digit prefixes.
`nanp.npz` beside this module is the table of one version (`python -m lead_intel.intake.nanp` writes it); for any other
it is made anew, so that it always belongs to the installed one. Used by `phones` only. Prefixes whose validity hangs
on a later digit are marked to be asked for one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

INVALID, ASK = 0, 255
_DIGITS = 10
_PREFIX, _LENGTH = 6, 10
_TYPES = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number", "pager", "uan",
    "voicemail",
)  # fmt: skip
"""What `phonenumbers` tries when it asks for a number's type; a number of no type is not valid."""

Codes = np.ndarray[Any, np.dtype[np.uint8]]

# A pattern is a term: frozenset of digits (one of them), ("cat", a, b), ("alt", frozenset of terms), _EMPTY, _NEVER.
Term = Any
_EMPTY, _NEVER = "empty", "never"


@dataclass(frozen=True)
class NanpTable:
    """`codes[prefix]` is INVALID, ASK, or the place of the region in `regions` plus one."""

    codes: Codes
    regions: tuple[str, ...]


_KEPT = Path(__file__).with_name("nanp.npz")


@cache
def nanp_table() -> NanpTable:
    """The table for the installed `phonenumbers`; a second, and 250 MB, at the first call if it is not the kept one."""
    if _KEPT.exists():
        with np.load(_KEPT) as kept:
            if str(kept["version"]) == phonenumbers.__version__:
                return NanpTable(kept["codes"], tuple(map(str, kept["regions"])))
    return built_table()


def built_table() -> NanpTable:
    """The table made from the patterns of the installed `phonenumbers`."""
    regions = tuple(COUNTRY_CODE_TO_REGION_CODE[1])
    codes = np.full(10**_PREFIX, INVALID, np.uint8)
    open_ = np.ones(10**_PREFIX, bool)
    for place, region in enumerate(regions, start=1):
        metadata = PhoneMetadata.metadata_for_region(region)
        if metadata is None:
            continue
        always, never = _matches_metadata(metadata)
        if metadata.leading_digits is not None:
            # The region is found by its leading digits alone; the number is then valid there or nowhere.
            begins = _begins_with(metadata.leading_digits)
            claimed = open_ & begins
            codes[claimed & always] = place
            codes[claimed & ~always & ~never] = ASK
        else:
            claimed = open_ & ~never
            codes[claimed] = np.where(always[claimed], place, ASK)
        open_ &= ~claimed
    return NanpTable(codes, regions)


def _matches_metadata(metadata: PhoneMetadata) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Prefixes of which all, and of which none, of the ten-digit numbers have a type in this region."""
    general = metadata.general_desc
    if general is None or not general.national_number_pattern:
        return np.zeros(10**_PREFIX, bool), np.ones(10**_PREFIX, bool)
    general_always, general_never = _matches(general.national_number_pattern)
    any_always = np.zeros(10**_PREFIX, bool)
    all_never = np.ones(10**_PREFIX, bool)
    for name in _TYPES:
        kind = getattr(metadata, name)
        if kind is None or not kind.national_number_pattern:
            continue
        if _LENGTH in (kind.possible_length or general.possible_length):
            always, never = _matches(kind.national_number_pattern)
            any_always |= always
            all_never &= never
    return general_always & any_always, general_never | all_never


@cache
def _matches(pattern: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """For each prefix: do all, do none of the numbers that begin with it match `pattern` in full."""
    states, ends = _walk(_parsed(pattern), _PREFIX)
    rest = _LENGTH - _PREFIX
    counts = np.array([_count(state, rest) for state in states])
    return counts[ends] == 10**rest, counts[ends] == 0


def _begins_with(pattern: str) -> np.ndarray[Any, Any]:
    states, ends = _walk(_cat(_parsed(pattern), _anything(_PREFIX)), _PREFIX)
    return np.asarray(np.array([_can_end(state) for state in states])[ends])


def _anything(most: int) -> Term:
    term: Term = _EMPTY
    for _ in range(most):
        term = _alt((_EMPTY, _cat(frozenset(range(_DIGITS)), term)))
    return term


def _walk(start: Term, steps: int) -> tuple[list[Term], np.ndarray[Any, Any]]:
    """All states of the automaton, and the state in which each prefix of `steps` digits leaves it."""
    index, order = {start: 0}, [start]
    level = np.zeros(1, np.int64)
    for _ in range(steps):
        moves = {
            int(here): [_index_of(_after(order[here], digit), index, order) for digit in range(_DIGITS)]
            for here in np.unique(level)
        }
        table = np.zeros((len(order), _DIGITS), np.int64)
        for here, targets in moves.items():
            table[here] = targets
        level = table[level].reshape(-1)
    return order, level


def _index_of(state: Term, index: dict[Term, int], order: list[Term]) -> int:
    if state not in index:
        index[state] = len(order)
        order.append(state)
    return index[state]


@cache
def _count(state: Term, length: int) -> int:
    if state == _NEVER:
        return 0
    if length == 0:
        return int(_can_end(state))
    return sum(_count(_after(state, digit), length - 1) for digit in range(_DIGITS))


@cache
def _can_end(term: Term) -> bool:
    if isinstance(term, frozenset) or term == _NEVER:
        return False
    if term == _EMPTY:
        return True
    kind, *parts = term
    return all(map(_can_end, parts)) if kind == "cat" else any(map(_can_end, parts[0]))


@cache
def _after(term: Term, digit: int) -> Term:
    """What must follow once `digit` was read (Brzozowski's derivative)."""
    if isinstance(term, frozenset):
        return _EMPTY if digit in term else _NEVER
    if term in (_EMPTY, _NEVER):
        return _NEVER
    if term[0] == "alt":
        return _alt(tuple(_after(part, digit) for part in term[1]))
    _, first, rest = term
    read = _cat(_after(first, digit), rest)
    return _alt((read, _after(rest, digit))) if _can_end(first) else read


def _cat(first: Term, rest: Term) -> Term:
    if _NEVER in (first, rest):
        return _NEVER
    if first == _EMPTY:
        return rest
    return first if rest == _EMPTY else ("cat", first, rest)


def _alt(parts: tuple[Term, ...]) -> Term:
    flat: set[Term] = set()
    for part in parts:
        flat |= set(part[1]) if isinstance(part, tuple) and part[0] == "alt" else {part}
    flat.discard(_NEVER)
    if not flat:
        return _NEVER
    return flat.pop() if len(flat) == 1 else ("alt", frozenset(flat))


def _parsed(pattern: str) -> Term:
    """The term of a pattern in the small language that the metadata uses: digits, classes, groups, repetitions."""
    term, end = _alternatives(pattern, 0)
    if end != len(pattern):
        msg = f"not a number pattern at {end}: {pattern[end : end + 10]!r}"
        raise ValueError(msg)
    return term


def _alternatives(text: str, at: int) -> tuple[Term, int]:
    parts, (term, at) = [], _sequence(text, at)
    parts.append(term)
    while at < len(text) and text[at] == "|":
        term, at = _sequence(text, at + 1)
        parts.append(term)
    return _alt(tuple(parts)), at


def _sequence(text: str, at: int) -> tuple[Term, int]:
    parts: list[Term] = []
    while at < len(text) and text[at] not in "|)":
        term, at = _atom(text, at)
        (least, most), at = _repetition(text, at)
        parts.append(_repeated(term, least, most))
    whole: Term = _EMPTY
    for term in reversed(parts):
        whole = _cat(term, whole)
    return whole, at


def _repeated(term: Term, least: int, most: int) -> Term:
    whole: Term = _EMPTY
    for _ in range(most - least):
        whole = _alt((_EMPTY, _cat(term, whole)))
    for _ in range(least):
        whole = _cat(term, whole)
    return whole


def _atom(text: str, at: int) -> tuple[Term, int]:
    if text.startswith("(?:", at) or text[at] == "(":
        term, at = _alternatives(text, at + (3 if text.startswith("(?:", at) else 1))
        return term, at + 1
    if text[at] == "[":
        end = text.index("]", at)
        return _class(text[at + 1 : end]), end + 1
    if text.startswith("\\d", at):
        return frozenset(range(_DIGITS)), at + 2
    return frozenset({int(text[at])}), at + 1


def _class(text: str) -> Term:
    digits: set[int] = set()
    at = 0
    while at < len(text):
        if text.startswith("\\d", at):
            return frozenset(range(_DIGITS))
        if at + 2 < len(text) and text[at + 1] == "-":
            digits |= set(range(int(text[at]), int(text[at + 2]) + 1))
            at += 3
        else:
            digits.add(int(text[at]))
            at += 1
    return frozenset(digits)


def _repetition(text: str, at: int) -> tuple[tuple[int, int], int]:
    if at < len(text) and text[at] == "?":
        return (0, 1), at + 1
    if at < len(text) and text[at] == "{":
        end = text.index("}", at)
        least, _, most = text[at + 1 : end].partition(",")
        return (int(least), int(most or least)), end + 1
    return (1, 1), at


if __name__ == "__main__":
    table = built_table()
    np.savez_compressed(_KEPT, version=phonenumbers.__version__, codes=table.codes, regions=np.array(table.regions))
