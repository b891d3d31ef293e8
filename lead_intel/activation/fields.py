"""The fields of one lead that persona policy may name (docs/personas.md), and what of them may be sent. Pure.

What is sent obeys the fact sheet on identity (section 4): the phone is a trait in E.164, never an identifier; the
e-mail is sent in lower case, and only when it is no role or disposable address and not known to be undeliverable.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

FIELDS: dict[str, str] = {
    "phone": "text",
    "region": "text",
    "email": "text",
    "first_name": "text",
    "last_name": "text",
    "city": "text",
    "state": "text",
    "postal_code": "text",
    "consent_source": "text",
    "consent_at": "text",
    "consent_channel": "text",
    "consent_purpose": "text",
    "consent_seller": "text",
    "shared_phone": "truth",
    "email_flags": "text",
    "line_type": "text",
    "carrier_name": "text",
    "email_status": "text",
    "activity_score": "number",
    "litigator_risk": "truth",
    "job_title": "text",
    "company": "text",
    "seniority": "text",
    "match_likelihood": "number",
}
"""Field -> kind. A text that is not known is blank; a number or truth that is not known is null."""

EMAIL_TO_SEND = "email_to_send"
"""The e-mail as a trait; null where it must not become an identifier in Segment."""

_UNDELIVERABLE = ("invalid", "spamtrap", "abuse", "do_not_mail")
_FROM_LEADS = ["lead_id", *(name for name in FIELDS if name not in ("line_type", "carrier_name"))]


def joined(leads: pd.DataFrame, lookups: pd.DataFrame, enriched: pd.DataFrame) -> pd.DataFrame:
    """One row per enriched lead with all of FIELDS, `lead_id` and EMAIL_TO_SEND.

    Frames: ValidLeads, PhoneLookups, EnrichedLeads.
    """
    own = leads[[name for name in _FROM_LEADS if name in leads.columns]]
    frame = own.merge(enriched, on="lead_id", how="inner", validate="one_to_one")
    looked_up = lookups[["phone", "line_type", "carrier_name"]]
    frame = frame.merge(looked_up, on="phone", how="left", validate="many_to_one")
    frame["line_type"] = frame["line_type"].fillna("unknown")
    frame["carrier_name"] = frame["carrier_name"].fillna("unknown")
    frame["phone"] = "+" + frame["phone"].astype("str")
    frame["email"] = frame["email"].str.strip().str.lower()
    for name, kind in FIELDS.items():
        if kind == "number":
            frame[name] = frame[name].astype("float64").where(np.isfinite(frame[name].astype("float64")))
    unfit = (frame["email"] == "") | (frame["email_flags"] != "") | frame["email_status"].isin(_UNDELIVERABLE)
    frame[EMAIL_TO_SEND] = frame["email"].mask(unfit)
    return frame[["lead_id", *FIELDS, EMAIL_TO_SEND]]
