"""The web page and the gateway on one loopback port: status, and Dagster's web UI under /dagster.

No business rule lives here: pages show what the record says.
"""
