"""Distinct phones -> line type and carrier; carrier breakouts."""
