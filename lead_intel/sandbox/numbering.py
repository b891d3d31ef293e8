"""What the sandbox knows about numbering plans: whether a number fits one, its region, its state. No vendor.

Numbers of area codes in US states are judged by the patterns of libphonenumber, remembered per area code and
first exchange digit (nothing behind those matters there: a test holds both together); all others by the library.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import phonenumbers

_STATES = {
    "AK": "907",
    "AL": "205 251 256 334 659 938",
    "AR": "327 479 501 870",
    "AS": "684",
    "AZ": "480 520 602 623 928",
    "CA": "209 213 279 310 323 341 350 357 369 408 415 424 442 510 530 559 562 619 626 628 650 657"
    " 661 669 707 714 738 747 760 805 818 820 831 837 840 858 909 916 925 949 951",
    "CO": "303 719 720 748 970 983",
    "CT": "203 475 860 959",
    "DC": "202 771",
    "DE": "302",
    "FL": "239 305 321 324 352 386 407 448 561 645 656 689 727 728 754 772 786 813 850 863 904 941 954",
    "GA": "229 404 470 478 678 706 762 770 912 943",
    "GU": "671",
    "HI": "808",
    "IA": "319 515 563 641 712",
    "ID": "208 986",
    "IL": "217 224 309 312 331 447 464 618 630 708 730 773 779 815 847 861 872",
    "IN": "219 260 317 463 574 765 812 930",
    "KS": "316 620 785 913",
    "KY": "270 364 502 606 859",
    "LA": "225 318 337 457 504 985",
    "MA": "339 351 413 508 617 774 781 857 978",
    "MD": "227 240 301 410 443 667",
    "ME": "207",
    "MI": "231 248 269 313 517 586 616 679 734 810 906 947 989",
    "MN": "218 320 507 612 651 763 924 952",
    "MO": "235 314 417 557 573 636 660 816 975",
    "MS": "228 601 662 769",
    "MT": "406",
    "NC": "252 336 472 704 743 828 910 919 980 984",
    "ND": "701",
    "NE": "308 402 531",
    "NH": "603",
    "NJ": "201 551 609 640 732 848 856 862 908 973",
    "NM": "505 575",
    "NV": "702 725 775",
    "NY": "212 315 329 332 347 363 516 518 585 607 624 631 646 680 716 718 838 845 914 917 929 934",
    "OH": "216 220 234 283 326 330 380 419 436 440 513 567 614 740 937",
    "OK": "405 539 572 580 918",
    "OR": "458 503 541 971",
    "PA": "215 223 267 272 412 445 484 570 582 610 717 724 814 835 878",
    "PR": "787 939",
    "RI": "401",
    "SC": "803 821 839 843 854 864",
    "SD": "605",
    "TN": "423 615 629 729 731 865 901 931",
    "TX": "210 214 254 281 325 346 361 409 430 432 469 512 621 682 713 726 737 806 817 830 832 903"
    " 915 936 940 945 956 972 979",
    "UT": "385 435 801",
    "VA": "276 434 540 571 686 703 757 804 826 948",
    "VI": "340",
    "VT": "802",
    "WA": "206 253 360 425 509 564",
    "WI": "262 274 353 414 534 608 715 920",
    "WV": "304 681",
    "WY": "307",
}
"""State -> area codes in service (NANPA's area code report of November 2025)."""

_STATE_OF = {npa: state for state, npas in _STATES.items() for npa in npas.split()}
_TERRITORIES = frozenset({"AS", "GU", "MP", "PR", "VI"})
"""Their patterns look further than the first exchange digit."""

_PLAIN = frozenset(npa for npa, state in _STATE_OF.items() if state not in _TERRITORIES)

_OFFSETS = {
    -600: "HI",
    -540: "AK",
    -420: "AZ CO ID MT NM UT WY",
    -360: "AL AR IA IL KS LA MN MO MS ND NE OK SD TN TX WI",
    -300: "CT DC DE FL GA IN KY MA MD ME MI NC NH NJ NY OH PA RI SC VA VT WV",
    -240: "PR VI",
}
"""Minutes from UTC in standard time -> states, by where most of a state's people live."""

_OFFSET_OF = {state: minutes for minutes, states in _OFFSETS.items() for state in states.split()}


@dataclass(frozen=True, slots=True)
class Assessed:
    """A number judged: `digits` (E.164 without `+`) when it could be read at all, `errors` when it is invalid."""

    digits: str
    errors: tuple[str, ...] = ()
    region: str | None = None
    calling_code: str | None = None
    national: str | None = None


def state_of(digits: str) -> str | None:
    """The US state of an eleven-digit NANP number's area code."""
    return _STATE_OF.get(digits[1:4]) if digits.startswith("1") else None


def utc_offset_minutes(state: str | None) -> int:
    """The state's standard-time offset from UTC; Pacific where nothing else is known."""
    return _OFFSET_OF.get(state or "", -480)


def assessed(text: str, country: str | None = None) -> Assessed:
    """Judge `text`, in E.164, or in the national format of `country` (ISO-2; default US)."""
    if len(text) == 12 and text[:2] == "+1" and text[2:5] in _PLAIN and text[1:].isascii() and text[1:].isdigit():
        return _american(text[1:])
    return _any_plan(text, country)


def _american(digits: str) -> Assessed:
    valid, region = _prefix(digits[1:5])
    if not valid:
        return Assessed(digits, ("INVALID_BUT_POSSIBLE",))
    return Assessed(digits, (), region, "1", f"({digits[1:4]}) {digits[4:7]}-{digits[7:]}")


@lru_cache(maxsize=20_000)
def _prefix(four: str) -> tuple[bool, str | None]:
    number = phonenumbers.parse(f"+1{four}345678")
    return phonenumbers.is_valid_number(number), phonenumbers.region_code_for_number(number)


def _any_plan(text: str, country: str | None) -> Assessed:
    try:
        number = phonenumbers.parse(text, None if text.startswith("+") else country or "US")
    except phonenumbers.NumberParseException as error:
        too_long = error.error_type == phonenumbers.NumberParseException.TOO_LONG
        too_short = error.error_type in (
            phonenumbers.NumberParseException.TOO_SHORT_NSN,
            phonenumbers.NumberParseException.TOO_SHORT_AFTER_IDD,
        )
        country_code = error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE
        reason = (
            "TOO_LONG" if too_long else "TOO_SHORT" if too_short
            else "INVALID_COUNTRY_CODE" if country_code else "NOT_A_NUMBER"
        )  # fmt: skip
        return Assessed(text.lstrip("+"), (reason,))
    digits = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]
    if not phonenumbers.is_valid_number(number):
        return Assessed(digits, (_reason(number),))
    national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    region = phonenumbers.region_code_for_number(number)
    return Assessed(digits, (), region, str(number.country_code), national)


def _reason(number: phonenumbers.PhoneNumber) -> str:
    possible = phonenumbers.is_possible_number_with_reason(number)
    reasons = {
        phonenumbers.ValidationResult.TOO_LONG: "TOO_LONG",
        phonenumbers.ValidationResult.TOO_SHORT: "TOO_SHORT",
        phonenumbers.ValidationResult.INVALID_LENGTH: "INVALID_LENGTH",
        phonenumbers.ValidationResult.INVALID_COUNTRY_CODE: "INVALID_COUNTRY_CODE",
    }
    return reasons.get(possible, "INVALID_BUT_POSSIBLE")
