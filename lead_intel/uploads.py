"""The upload: its key, its states, its stages. Pure; rows about uploads live in `record.ingestions`."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from enum import StrEnum

from lead_intel.errors import UsageError

_KEY = re.compile(r"upl_[0-9]{8}_[0-9a-z]{10}")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

STAGES = ("validation", "lookup", "dnc", "enrichment", "activation")
"""Stage keys, in the order in which a lead walks through them."""

STAGE_LABELS = {
    "validation": "File validation",
    "lookup": "Twilio Lookup",
    "dnc": "DNC compliance",
    "enrichment": "Enrichment fan-out",
    "activation": "Segmentation push",
}
"""What people read for a stage key, on every surface."""


class State(StrEnum):
    """States of an upload, as every surface shows them."""

    RECEIVED = "received"
    SCREENING = "screening"
    SCREENED = "screened"
    ENRICHING = "enriching"
    PLANNED = "planned"
    AWAITING_APPROVAL = "awaiting_approval"
    ACTIVATING = "activating"
    ACTIVATED = "activated"
    PAUSED = "paused"
    STOPPED = "stopped"
    REJECTED = "rejected"
    FAILED = "failed"


WORKING = (State.SCREENING, State.ENRICHING, State.ACTIVATING)
"""States in which a run holds the upload."""


def new_upload_key(received_at: datetime) -> str:
    """A key that names no person and no file: `upl_<UTC date>_<ten random letters>`."""
    tail = "".join(secrets.choice(_ALPHABET) for _ in range(10))
    return f"upl_{received_at:%Y%m%d}_{tail}"


def checked_upload_key(key: str) -> str:
    """Return `key`, or raise UsageError when it is not of the form we generate."""
    if not _KEY.fullmatch(key):
        raise UsageError("upload_unknown", f"{key!r} is not an upload.", "`lead-intel uploads` lists the uploads.")
    return key
