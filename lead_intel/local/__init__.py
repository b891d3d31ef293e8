"""What runs on this machine for the embedded default: PostgreSQL, the sandbox, the gateway, Dagster.

Only the CLI and the tests import this room. It knows programs, ports and processes; it knows no stage.
"""
