"""Sample -> vendor answers -> merged fields with provenance."""
