"""Who of an upload may be contacted at this moment, as the record has it: nobody else is sampled, or told a vendor."""

from __future__ import annotations

import pandas as pd
import psycopg
from pydantic import SecretStr

from lead_intel.enrichment.sampling import stratified
from lead_intel.record import dnc, suppressions


def contactable(
    connection: psycopg.Connection,
    key: SecretStr,
    upload: str,
    supplier: str,
    *,
    valid_leads: pd.DataFrame,
    phone_lookups: pd.DataFrame,
) -> pd.DataFrame:
    """Leads with a fresh `send` under the present profile that are not suppressed: lead_id, stratum.

    The frame of the verdicts is as old as the screening; whoever opted out since is in it still.
    """
    sendable = valid_leads[valid_leads["lead_id"].isin(dnc.sendable(connection, upload))]
    suppressed = suppressions.suppressed_people(connection, key, sendable)
    return stratified(sendable[~suppressed].reset_index(drop=True), phone_lookups, supplier)
