"""Consent source: is the word in the vocabulary of policy, or of the supplier. Blank and unknown are told apart.

Whether the evidence beside it suffices for a contact is the DNC stage's question, not asked here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    # A judging process needs the words only, and starts in half the time.
    from lead_intel.policy import Policy

ConsentCode = Literal["", "consent_blank", "consent_unknown"]
CODES: tuple[ConsentCode, ...] = ("", "consent_blank", "consent_unknown")


def vocabulary(policy: Policy, supplier: str) -> tuple[str, ...]:
    """The words that this supplier may write, lower case; a trailing `*` stands for any ending, but not for none."""
    own = policy.consent.suppliers.get(supplier)
    sources = [*policy.consent.sources, *(own.sources if own else ())]
    return tuple(dict.fromkeys(entry.source.strip().casefold() for entry in sources))


def judge(text: str, words: tuple[str, ...]) -> ConsentCode:
    """The one rule for one text: compared without case and outer spaces."""
    word = text.strip().casefold()
    if not word:
        return "consent_blank"
    known = any(
        word.startswith(entry[:-1]) and len(word) >= len(entry) if entry.endswith("*") else word == entry
        for entry in words
    )
    return "" if known else "consent_unknown"


def judged(values: pa.Array | pa.ChunkedArray, words: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.int8]]:
    """The place in CODES of each text's answer; each distinct text is judged once."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    coded = pc.dictionary_encode(whole)
    answers = [CODES.index(judge(text, words)) for text in coded.dictionary.to_pylist()]
    return np.asarray(np.array(answers, np.int8)[coded.indices.to_numpy()])
