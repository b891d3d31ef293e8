"""The enrichment vendors of the house, by name: the one place where a vendor is entered.

Assets, questions, forecast and merge follow from this registry; which vendors are asked, in which order and at what
price is policy (`data/policy/vendors.yml`). How to add one: docs/vendors.md. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import pandas as pd

from lead_intel.calls.ports import Ask, Reply, Request, Verdict
from lead_intel.settings import Settings
from lead_intel.vendors.never_bounce import NeverBounce
from lead_intel.vendors.people_data_labs import PeopleDataLabs
from lead_intel.vendors.trestle import Trestle
from lead_intel.vendors.zerobounce import ZeroBounce


class EnrichmentVendor(Protocol):
    """A vendor that knows something about a lead. Satisfies `calls.ports.Vendor`."""

    name: str
    package: str
    about: str
    """One sentence for people: what it answers."""
    settings: ClassVar[tuple[str, ...]]
    """The names of its settings, its address first."""
    answer: ClassVar[type]
    """A TypedDict of the fields that it answers, in the words of `contract.ENRICHMENT_FIELDS`."""
    confidence: ClassVar[tuple[str, float] | None]
    """The field that says how sure the vendor is, and its highest value; None where it does not say."""

    def __init__(self, settings: Settings) -> None: ...

    def subjects(self, people: pd.DataFrame) -> pd.Series[str]:
        """The key under which each lead's answer is bought only once: what the vendor looks at; blank = no question."""
        ...

    def question(self, lead: Any) -> Ask:
        """What to ask about one row of `people`."""
        ...

    def request(self, ask: Ask) -> Request:
        """See `calls.ports.Vendor`."""
        ...

    def classify(self, ask: Ask, reply: Reply) -> Verdict:
        """See `calls.ports.Vendor`."""
        ...


ENRICHMENT_VENDORS: Mapping[str, type[EnrichmentVendor]] = MappingProxyType(
    {vendor.name: vendor for vendor in (PeopleDataLabs, ZeroBounce, NeverBounce, Trestle)}
)
