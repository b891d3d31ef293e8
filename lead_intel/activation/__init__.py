"""Activation room: enriched leads -> personas, a plan (dry run), an outbox, and the push to Segment."""
