"""What a person's moves are made from: the record, the policy and Dagster at hand. Makes no move itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import dagster as dg
import psycopg

from lead_intel.policy import Policy
from lead_intel.settings import Settings


class Say(Protocol):
    """Tells the person one sentence about what happens now."""

    def __call__(self, sentence: str) -> None:
        """Show `sentence`."""
        ...


@dataclass(frozen=True)
class Desk:
    """What a person's moves need: where the house stands, its policy, its record, its Dagster."""

    settings: Settings
    policy: Policy
    connection: psycopg.Connection
    instance: dg.DagsterInstance
    definitions: Callable[[], dg.Definitions]
    """Loads the code location: a second or two, for which a move that finds its work done does not wait."""
    say: Say
