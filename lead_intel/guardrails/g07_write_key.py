"""Guardrail 7: Segment's write key is one that an enabled source of the right region owns.

The Tracking API says 200 to wrong keys and drops the events, so the Public API is asked. A token that may not see
write keys proves nothing about ours: unverifiable, never failed and never passed.
"""

from __future__ import annotations

import hmac

from lead_intel.guardrails.inputs import Inputs
from lead_intel.guardrails.result import Finding, Guardrail, failed, passed, unverifiable
from lead_intel.guardrails.wire import ask
from lead_intel.settings import Settings
from lead_intel.vendors.segment_public import Source, Standing, read_source, region_of, source_request, standing

_TOKEN = "Set SEGMENT_PUBLIC_TOKEN (a workspace owner creates it) and SEGMENT_SOURCE_ID."  # noqa: S105  # a sentence
_ROTATE = "Copy a write key of the source into SEGMENT_WRITE_KEY, or enable the source; then resume."


def examine(inputs: Inputs) -> Finding:
    """Compare regions, then ask for the source and look for our key in it."""
    settings = inputs.settings
    if not _same_region(settings):
        return failed(
            "SEGMENT_TRACKING_URL and SEGMENT_PUBLIC_URL lie in different regions; events would vanish.",
            "Use both of the workspace's region.",
        )
    if settings.segment_public_token is None or settings.segment_source_id is None:
        return unverifiable("Without a Public API token and source id nobody can tell whether the key lives.", _TOKEN)
    token = settings.segment_public_token.get_secret_value()
    reply = ask(settings, source_request(settings.segment_public_url, token, settings.segment_source_id))
    if reply is None:
        return unverifiable("Segment's Public API does not answer.", "Check SEGMENT_PUBLIC_URL; try again later.")
    match standing(reply):
        case Standing.GONE:
            return failed("The source that should own the write key does not exist.", "Check SEGMENT_SOURCE_ID.")
        case Standing.REFUSED:
            return unverifiable(f"Segment's Public API refuses the token (status {reply.status}).", _TOKEN)
        case Standing.BUSY | Standing.UNREADABLE:
            return unverifiable(f"Segment's Public API answered {reply.status}.", "Try again in a moment.")
    source = read_source(reply)
    if source is None:
        return unverifiable("Segment's Public API gave an answer of an unknown shape.", "Try again later.")
    return _judge(source, settings.segment_write_key.get_secret_value())


def _judge(source: Source, key: str) -> Finding:
    figures: dict[str, float | str] = {"enabled": str(source.enabled), "write_keys": len(source.write_keys)}
    if not source.enabled:
        return failed(f"The source {source.name!r} is disabled; Segment drops its events.", _ROTATE, figures)
    if not source.write_keys:
        return unverifiable(
            "The Public API token may not see the source's write keys.",
            "Give the token the role Source Admin.",
            figures,
        )
    if not any(hmac.compare_digest(listed.encode(), key.encode()) for listed in source.write_keys):
        return failed(
            f"The source {source.name!r} does not list our write key: revoked, or another source's.", _ROTATE, figures
        )
    return passed(f"The enabled source {source.name!r} lists the write key.", figures)


def _same_region(settings: Settings) -> bool:
    tracking, public = region_of(settings.segment_tracking_url), region_of(settings.segment_public_url)
    return tracking is None or public is None or tracking == public


GUARDRAIL = Guardrail(
    number=7,
    name="write_key",
    title="Segment write key",
    blocks="Nothing is pushed to Segment.",
    rule_version="2026-11-24",
    about_upload=False,
    examine=examine,
)
