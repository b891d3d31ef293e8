"""Where the sandbox answers, and the keys that it accepts: the settings that point the product at it.

Every key is derived from its own name, so that two sandboxes accept the same ones and none looks like a real
secret worth stealing.
"""

from __future__ import annotations

import hashlib

from lead_intel.sandbox.tokens import signed

_ISSUED, _EXPIRES = 1_760_000_000, 2_075_360_000


def _derived(name: str, length: int = 32) -> str:
    return hashlib.sha256(f"lead-intel sandbox {name}".encode()).hexdigest()[:length]


JWT_SECRET = _derived("jwt secret")
BUCKET = "lead-uploads"
TWILIO_ACCOUNT_SID = "AC" + _derived("twilio account")
TWILIO_AUTH_TOKEN = _derived("twilio token")
DNCSCRUB_LOGIN_ID = _derived("dncscrub login", 20)
PEOPLE_DATA_LABS_KEY = _derived("people data labs key", 64)
ZEROBOUNCE_KEY = _derived("zerobounce key")
NEVER_BOUNCE_KEY = "private_" + _derived("neverbounce key")
TRESTLE_KEY = _derived("trestle key", 40)
SEGMENT_WRITE_KEY = _derived("segment write key")
SEGMENT_PUBLIC_TOKEN = "sgp_" + _derived("segment public token", 40)
SEGMENT_PROFILE_TOKEN = _derived("segment profile token", 40)
SEGMENT_SOURCE_ID = "src" + _derived("segment source", 20)
SEGMENT_SPACE_ID = "spa_" + _derived("segment space", 20)
SEGMENT_WORKSPACE_ID = "wsp" + _derived("segment workspace", 20)


def _supabase_key(role: str) -> str:
    claims = {"iss": "supabase", "ref": "sandbox", "role": role, "iat": _ISSUED, "exp": _EXPIRES}
    return signed(claims, JWT_SECRET)


SUPABASE_SERVICE_KEY = _supabase_key("service_role")
SUPABASE_ANON_KEY = _supabase_key("anon")


def environment(base_url: str) -> dict[str, str]:
    """Every setting of `lead_intel.settings` that the sandbox at `base_url` answers for."""
    base = base_url.rstrip("/")
    return {
        "SUPABASE_URL": f"{base}/supabase",
        "SUPABASE_SERVICE_KEY": SUPABASE_SERVICE_KEY,
        "LEAD_INTEL_BUCKET": BUCKET,
        "TWILIO_LOOKUP_URL": f"{base}/twilio",
        "TWILIO_ACCOUNT_SID": TWILIO_ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": TWILIO_AUTH_TOKEN,
        "DNCSCRUB_URL": f"{base}/dncscrub",
        "DNCSCRUB_LOGIN_ID": DNCSCRUB_LOGIN_ID,
        "PEOPLE_DATA_LABS_URL": f"{base}/pdl",
        "PEOPLE_DATA_LABS_API_KEY": PEOPLE_DATA_LABS_KEY,
        "ZEROBOUNCE_URL": f"{base}/zerobounce",
        "ZEROBOUNCE_API_KEY": ZEROBOUNCE_KEY,
        "NEVER_BOUNCE_URL": f"{base}/neverbounce",
        "NEVER_BOUNCE_API_KEY": NEVER_BOUNCE_KEY,
        "TRESTLE_URL": f"{base}/trestle",
        "TRESTLE_API_KEY": TRESTLE_KEY,
        "SEGMENT_TRACKING_URL": f"{base}/segment",
        "SEGMENT_WRITE_KEY": SEGMENT_WRITE_KEY,
        "SEGMENT_PUBLIC_URL": f"{base}/segment-public",
        "SEGMENT_PUBLIC_TOKEN": SEGMENT_PUBLIC_TOKEN,
        "SEGMENT_SOURCE_ID": SEGMENT_SOURCE_ID,
        "SEGMENT_SPACE_ID": SEGMENT_SPACE_ID,
    }
