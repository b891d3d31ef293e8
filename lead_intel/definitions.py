"""The code location that Dagster loads; see `build`."""

from lead_intel.build import build_definitions

defs = build_definitions()
