"""The exceptions of the product: few, typed, and carrying what the person needs to act.

    LeadIntelError
    ├── UsageError        the request itself is wrong (unknown upload, bad option)           exit 2
    ├── RejectedInput     a file cannot be processed; nothing was paid                        exit 3
    ├── GuardrailFailed   a pre-flight check said no                                          exit 4
    ├── Paused            work is parked and resumes without paying again                     exit 5
    ├── SetupError        a setting, binary, port or disk is missing                          exit 1
    └── TransientError    somebody else's server or the database is unwell; a retry may help  exit 1

No personal data and no secret may enter a message.
How these become Dagster failures is `lead_intel.stage`'s business.
"""

from __future__ import annotations

from typing import Self


class LeadIntelError(Exception):
    """An error that a person is told about: a stable `code`, one sentence, and what to do."""

    exit_code = 1

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.code = code
        self.message = message
        self.remedy = remedy

    def as_json(self) -> dict[str, str]:
        """The `error` object of every `--json` answer."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}

    def as_reason(self) -> dict[str, str]:
        """What an upload's row says about it, by the names of `record.ingestions`."""
        return {"reason": self.code, "message": self.message, "remedy": self.remedy}


class UsageError(LeadIntelError):
    """The request is wrong: unknown upload or plan, impossible option."""

    exit_code = 2


class RejectedInput(LeadIntelError):
    """A file that cannot be processed. Raised before anything is paid."""

    exit_code = 3


class GuardrailFailed(LeadIntelError):
    """A pre-flight check stopped the work; `code` is `guardrail:N`."""

    exit_code = 4


class Paused(LeadIntelError):
    """Parked with a reason (`budget`, `credentials`, `dnc`, `approval`); resumes without paying again."""

    exit_code = 5


class Stopped(Paused):
    """A person asked to stop; the upload waits for `resume`."""

    @classmethod
    def by_person(cls) -> Self:
        """The one sentence for it."""
        return cls("stopped", "Stopped by a person.", "`lead-intel resume` goes on without paying again.")


class SetupError(LeadIntelError):
    """The surroundings lack something: a setting, a binary, a free port, disk space."""


class TransientError(LeadIntelError):
    """A failure that may pass by itself; Dagster's retry policy tries again."""
