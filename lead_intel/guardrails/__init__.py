"""The ten pre-flight checks: one function each, one result type; `checks` is their Dagster face.

Nothing here pays, pushes or changes a lead. Stages ask (`gate.require`); people ask (`preflight`).
"""
