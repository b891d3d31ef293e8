"""What an HTTP status means at any vendor, before its own words are read. Pure."""

from __future__ import annotations

from http import HTTPStatus

from lead_intel.calls.ports import Outcome, Reply, Verdict

ANOTHER_SUBJECT = Verdict(Outcome.VENDOR_ERROR, "unknown", detail="the answer is about somebody else")
"""An answer that names another number or address than the one asked about: refused, whatever it says."""

UNKNOWN_SHAPE = Verdict(Outcome.VENDOR_ERROR, "unknown", detail="an answer of a shape that we do not know")
"""A success whose body cannot be read: it may have been billed, so it is not asked again in this round."""


def verdict_of_status(reply: Reply) -> Verdict | None:
    """The verdict that the status alone gives; None for 200, which the vendor's own classifier reads."""
    status = reply.status
    if status == HTTPStatus.OK:
        return None
    detail = f"status {status}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Verdict(Outcome.AUTH, "no", detail=detail)
    if status == HTTPStatus.PAYMENT_REQUIRED:
        return Verdict(Outcome.QUOTA, "no", detail=detail)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Verdict(Outcome.RATE_LIMITED, "no", detail=detail)
    return Verdict(Outcome.VENDOR_ERROR, "no", detail=detail)
