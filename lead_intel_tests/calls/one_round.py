"""A child process for the kill tests: looks numbers up. Arguments: how many, how many at once, upload."""

from __future__ import annotations

import sys
import threading

import pandas as pd

from lead_intel.lookup.lookup import look_up
from lead_intel.policy import load_policy
from lead_intel.record.database import connected
from lead_intel.settings import load_settings

FIRST = 12125200000


def main(count: int, concurrency: int, upload: str) -> None:
    settings = load_settings()
    policy = load_policy(settings.lead_intel_policy_dir)
    limits = policy.limits_of("twilio_lookup").model_copy(update={"concurrency": concurrency})
    vendors = policy.vendors.model_copy(update={"vendors": {**policy.vendors.vendors, "twilio_lookup": limits}})
    with connected(settings) as connection:
        looked_up = look_up(
            pd.Series([FIRST + step for step in range(count)], dtype="int64"),
            connection,
            settings=settings,
            policy=policy.model_copy(update={"vendors": vendors}),
            upload=upload,
            supplier="acme",
            stop=threading.Event(),
            progress=lambda done, total: None,
            before_paying=lambda: None,
        )
    sys.stdout.write(f"{len(looked_up.frame)}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
