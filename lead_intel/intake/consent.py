"""Consent source: is the word in the vocabulary of policy, or of the supplier, on the day when consent was given.

Blank, unknown and outdated are told apart. Whether the evidence beside it suffices for a contact is the DNC stage's
question, not asked here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from lead_intel.policy import Policy

ConsentCode = Literal["", "consent_blank", "consent_unknown", "consent_outdated"]
CODES: tuple[ConsentCode, ...] = ("", "consent_blank", "consent_unknown", "consent_outdated")
_OUTDATED = CODES.index("consent_outdated")


class Word(NamedTuple):
    """What a list may write, lower case; a trailing `*` stands for any ending, but not for none.

    `first`, `last`: ISO days between which consent must have been given, blank for no limit.
    """

    text: str
    first: str = ""
    last: str = ""

    def fits(self, word: str) -> bool:
        """True when `word`, lower case, is this one."""
        if self.text.endswith("*"):
            return word.startswith(self.text[:-1]) and len(word) >= len(self.text)
        return word == self.text

    def holds_on(self, days: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of `days` (datetime64[D]) lie between `first` and `last`."""
        since = days >= np.datetime64(self.first) if self.first else np.ones(len(days), bool)
        return since & (days <= np.datetime64(self.last)) if self.last else since


def vocabulary(policy: Policy, supplier: str) -> tuple[Word, ...]:
    """The words that this supplier may write; its own meaning of a word replaces everybody's."""
    own = policy.consent.suppliers.get(supplier)
    theirs = [*own.sources] if own else []
    said = {entry.source.strip().casefold() for entry in theirs}
    common = [entry for entry in policy.consent.sources if entry.source.strip().casefold() not in said]
    return tuple(
        dict.fromkeys(
            Word(
                entry.source.strip().casefold(),
                entry.valid_from.isoformat() if entry.valid_from else "",
                entry.valid_until.isoformat() if entry.valid_until else "",
            )
            for entry in (*common, *theirs)
        )
    )


def judge(text: str, words: tuple[Word, ...], day: str = "") -> ConsentCode:
    """The one rule for one text: compared without case and outer spaces. `day`: ISO; blank asks no word's dates."""
    word = text.strip().casefold()
    if not word:
        return "consent_blank"
    fitting = [entry for entry in words if entry.fits(word)]
    if not fitting:
        return "consent_unknown"
    if not day or any((entry.first or day) <= day <= (entry.last or day) for entry in fitting):
        return ""
    return "consent_outdated"


def judged(
    values: pa.Array | pa.ChunkedArray, words: tuple[Word, ...], given_at: pa.Array, received: str
) -> np.ndarray[Any, np.dtype[np.int8]]:
    """The place in CODES of each text's answer; each distinct text is judged once.

    The day of a row is that of `given_at`, in UTC; `received` where it says none that can be read.
    """
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    coded = pc.dictionary_encode(whole)
    texts, places = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    codes = np.asarray(np.array([CODES.index(judge(text, words)) for text in texts], np.int8)[places])
    for place, text in enumerate(texts):
        fitting = [word for word in words if word.fits(text.strip().casefold())]
        if not fitting or not all(word.first or word.last for word in fitting):
            continue
        rows = np.flatnonzero(places == place)
        days = _days(given_at.take(pa.array(rows)), received)
        holds = np.logical_or.reduce([word.holds_on(days) for word in fitting])
        codes[rows[~holds]] = _OUTDATED
    return codes


def _days(given_at: pa.Array, received: str) -> np.ndarray[Any, Any]:
    import pandas as pd  # only words with dates need it

    from lead_intel.consent_time import consent_times

    times = consent_times(pd.Series(given_at.to_pylist(), dtype="str"))["at"]
    days = times.fillna(pd.Timestamp(received, tz="UTC")).dt.tz_localize(None).to_numpy()
    return np.asarray(days.astype("datetime64[D]"))
