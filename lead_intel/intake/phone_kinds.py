"""What kind of number a valid phone is, by numbering plan alone: toll-free, premium, fictitious, outside the US, ...

Pure. Shown beside a list; what a kind means for a contact is decided later, by Lookup's line type and policy.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import phonenumbers

Ints = np.ndarray[Any, np.dtype[np.int64]]

_NAMES = {
    phonenumbers.PhoneNumberType.TOLL_FREE: "toll_free",
    phonenumbers.PhoneNumberType.PREMIUM_RATE: "premium",
    phonenumbers.PhoneNumberType.SHARED_COST: "shared_cost",
    phonenumbers.PhoneNumberType.PERSONAL_NUMBER: "personal",
    phonenumbers.PhoneNumberType.UAN: "uan",
    phonenumbers.PhoneNumberType.PAGER: "pager",
    phonenumbers.PhoneNumberType.VOICEMAIL: "voicemail",
}
_NATIONAL = 10**7
_COUNTRY_1 = 10**10
_FICTITIOUS_FIRST, _FICTITIOUS_LAST = 5_550_100, 5_550_199
"""NXX-XXXX kept for fiction in every area code of country code 1."""


def counted(digits: Ints, regions: Any) -> dict[str, int]:
    """How many of the E.164 `digits` (their ISO-2 `regions` beside them) are of each kind; ordinary US ones are not.

    `non_us` counts numbers of other regions, whatever their kind; a territory of the US (PR, GU, VI, ...) is its own.
    """
    found: Counter[str] = Counter()
    numbers, counts = np.unique(digits, return_counts=True)
    plan_1 = (numbers >= _COUNTRY_1) & (numbers < 2 * _COUNTRY_1)
    local = numbers[plan_1] % _NATIONAL
    fictitious = (local >= _FICTITIOUS_FIRST) & (local <= _FICTITIOUS_LAST)
    found["fictitious"] = int(counts[plan_1][fictitious].sum())
    for number, count in _by_area_code(numbers[plan_1][~fictitious], counts[plan_1][~fictitious]):
        found[_kind(number)] += count
    for number, count in zip(numbers[~plan_1].tolist(), counts[~plan_1].tolist(), strict=True):
        found[_kind(number)] += count
    found["non_us"] = int((np.asarray(regions) != "US").sum())
    return {kind: count for kind, count in sorted(found.items()) if kind and count}


def _by_area_code(numbers: Ints, counts: Ints) -> list[tuple[int, int]]:
    """(one number of an area code, how many it has): the plan gives a whole area code one kind."""
    codes, first, place = np.unique(numbers // _NATIONAL, return_index=True, return_inverse=True)
    sums = np.bincount(place, weights=counts, minlength=len(codes)).astype(np.int64)
    return list(zip(numbers[first].tolist(), sums.tolist(), strict=True))


def _kind(number: int) -> str:
    return _NAMES.get(phonenumbers.number_type(phonenumbers.parse(f"+{number}")), "")
