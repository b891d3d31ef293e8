"""How errors become Dagster failures. Dagster keeps them for ever, so no text of a foreign exception gets in.

psycopg quotes rows and pandas quotes cells: of an error that is not ours, only its type and the places in the code.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg
import psycopg

from lead_intel.errors import LeadIntelError, TransientError

FINAL = frozenset({"lost_hold"})
"""Transient codes that another attempt of the same run cannot mend."""

ELSEWHERE = ("already_running", "lost_hold")
"""Codes of a run that ended because another has the upload: not the upload's failure."""

_REMEDY = "`lead-intel resume` tries again; done work is not paid again."


@contextmanager
def without_personal_data() -> Iterator[None]:
    """Let nothing but a `dg.Failure` with sentences of ours leave the body (interrupts pass)."""
    try:
        yield
    except dg.Failure:
        raise
    except Exception as error:  # noqa: BLE001  # the boundary to Dagster's event log: every text ends here
        raise failure_of(error) from None


def failure_of(error: Exception) -> dg.Failure:
    """What Dagster is told about `error`."""
    ours = as_ours(error)
    places = "".join(traceback.format_tb(error.__traceback__)[-6:])
    return dg.Failure(
        description=f"{ours.message} {ours.remedy}".strip(),
        metadata={
            "code": ours.code,
            "message": ours.message,
            "remedy": ours.remedy or "-",
            "places": dg.MetadataValue.text(places or "-"),
        },
        allow_retries=isinstance(ours, TransientError) and ours.code not in FINAL,
    )


def as_ours(error: Exception) -> LeadIntelError:
    """`error` itself where it is one of ours; else one that names its type, never its text."""
    if isinstance(error, LeadIntelError):
        return error
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return TransientError("database_down", "PostgreSQL went away during the work.", _REMEDY)
    return LeadIntelError("unforeseen", f"Unforeseen: {type(error).__name__}.", _REMEDY)


def reason_of(events: Sequence[dg.DagsterEvent], run_id: str) -> LeadIntelError:
    """Why a run failed, from the first of its failed steps that says so."""
    for event in events:
        failure = event.step_failure_data.user_failure_data if event.is_step_failure else None
        if failure is not None:
            said = {name: str(value.value) for name, value in failure.metadata.items() if name in _SAID}
            if said.keys() == _SAID:
                return LeadIntelError(said["code"], said["message"], said["remedy"].strip("-"))
            return LeadIntelError("unforeseen", failure.description or "A step failed.", _details(run_id))
    return LeadIntelError("unforeseen", "The run ended in a way that no stage foresaw.", _details(run_id))


_SAID = {"code", "message", "remedy"}


def _details(run_id: str) -> str:
    return f"Dagster's run {run_id} has the details; `lead-intel resume` tries again."
