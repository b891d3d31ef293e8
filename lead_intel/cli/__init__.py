"""The command line: thin commands over the rooms' public functions. No business rule lives here."""

from lead_intel.cli.main import main

__all__ = ["main"]
