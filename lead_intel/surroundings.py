"""The Dagster resource through which every asset reaches settings, policy and the database. No logic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import psycopg

from lead_intel.policy import Policy, load_policy
from lead_intel.record.database import connected
from lead_intel.settings import Settings, load_settings


class Surroundings(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Settings from the environment, policy from its folder, connections to the system of record."""

    @property
    def settings(self) -> Settings:
        """Read anew at each use: the environment decides, never an import."""
        return load_settings()

    @property
    def policy(self) -> Policy:
        """The policy files as they are now."""
        return load_policy(self.settings.lead_intel_policy_dir)

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection]:
        """A connection to the system of record."""
        with connected(self.settings) as connection:
            yield connection
