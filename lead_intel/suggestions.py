"""Which header a person may have meant by a name: suggestions by likeness. Nothing here is ever applied silently.

Pure; knows neither our columns nor a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MOST = 3
"""Suggestions for one name at most, the likeliest first."""

_LIKE = 78.0
_LIKE_BY_WORDS = 86.0
_SHORTEST = 3
_BETWEEN_WORDS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")


def closest(names: Mapping[str, Iterable[str]], headers: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Name -> the headers that resemble one of its spellings; names without any are left out.

    Args:
        names: what is looked for -> its spellings.
        headers: what the list has, as written.
    """
    worded = {header: _words(header) for header in headers}
    found = {name: _ranked([_words(spelling) for spelling in spellings], worded) for name, spellings in names.items()}
    return {name: headers for name, headers in found.items() if headers}


def _words(text: str) -> str:
    return " ".join(word for word in _BETWEEN_WORDS.split(text.strip()) if word).lower()


def _ranked(spellings: list[str], worded: Mapping[str, str]) -> tuple[str, ...]:
    scores = {header: max((_likeness(spelling, words) for spelling in spellings), default=0.0)
              for header, words in worded.items()}  # fmt: skip
    likely = [header for header, score in scores.items() if score > 0]
    return tuple(sorted(likely, key=lambda header: -scores[header])[:MOST])


def _likeness(spelling: str, words: str) -> float:
    """0 to 100; 0 where nobody would see the likeness. Either the letters are close, or whole words are shared."""
    from rapidfuzz import fuzz

    if min(len(spelling), len(words)) < _SHORTEST:
        return 0.0
    by_letters = fuzz.ratio(spelling.replace(" ", ""), words.replace(" ", ""), score_cutoff=_LIKE)
    by_words = fuzz.token_set_ratio(spelling, words, score_cutoff=_LIKE_BY_WORDS)
    return max(by_letters, by_words)
