"""Closes the open uploads of posted leads whose time is over, and stores what is closed. Knows no Dagster."""

from __future__ import annotations

import psycopg

from lead_intel.policy import PostingLimits
from lead_intel.record import api_storing, api_traffic, api_uploads
from lead_intel.settings import Settings


def close_posted(connection: psycopg.Connection, settings: Settings, limits: PostingLimits) -> list[str]:
    """Close, store and tidy; returns the uploads whose rows lie in the bucket now. Can be repeated at any step.

    Raises:
        LeadIntelError: the bucket refuses one or does not answer; the next call tries again.
    """
    api_uploads.close_due(connection)
    api_uploads.forget_old_retries(connection, limits.idempotency_days)
    api_traffic.forget_old(connection)
    return api_storing.store_closed(connection, settings)
