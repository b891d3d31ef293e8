"""What the product says on the channel, as a sentence for the terminal. Pure.

Anybody who has the project's public key can speak there: nothing that is heard moves anything, and only plain,
printable values of the kinds that the protocol names are shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lead_intel.uploads import STAGE_LABELS, State

_STATES = frozenset(State)
_LONGEST = 80
_UPLOAD = re.compile(r"upl_[0-9]{8}_[0-9a-z]{10}")
_LIST = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class HeardSample:
    """A sample that somebody chose for an upload, or that was drawn."""

    upload: str
    list: str | None
    percent: float
    leads: int | None


def sentence_of(event: str, data: Mapping[str, Any], names: Mapping[str, str]) -> str | None:
    """What to show, or None when there is nothing to. `names` are the file names of lists by their digest."""
    subject = _subject(data, names)
    if subject is None:
        return None
    match event:
        case "upload.state":
            return _state(subject, data)
        case "upload.progress":
            stage, done, total = STAGE_LABELS.get(str(data.get("stage"))), data.get("done"), data.get("total")
            if stage is None or not _is_count(done) or not _is_count(total):
                return None
            return f"{subject}: {stage} {done:,} of {total:,}."
        case "upload.sample":
            sample = sample_of(data)
            if sample is None:
                return None
            drawn = "" if sample.leads is None else f", {sample.leads:,} leads drawn"
            return f"{subject}: a sample of {sample.percent:g} % was chosen{drawn}."
    return None


def sample_of(data: Mapping[str, Any]) -> HeardSample | None:
    """The sample in an `upload.sample`, or None when it is none."""
    upload, digest, percent, leads = (data.get(name) for name in ("upload", "list", "percent", "leads"))
    if not isinstance(percent, int | float) or not 0 <= percent <= 100 or isinstance(percent, bool):
        return None
    if not isinstance(upload, str) or not (leads is None or _is_count(leads)):
        return None
    if not _UPLOAD.fullmatch(upload) or not (digest is None or (isinstance(digest, str) and _LIST.fullmatch(digest))):
        return None
    return HeardSample(upload, digest, float(percent), leads)


def _state(subject: str, data: Mapping[str, Any]) -> str | None:
    state, reason, rows = data.get("state"), data.get("reason"), data.get("rows")
    if not isinstance(state, str) or state not in _STATES:
        return None
    because = f" ({_plain(reason)})" if isinstance(reason, str) and reason else ""
    counts = ""
    if isinstance(rows, dict) and all(_is_count(rows.get(part)) for part in _ROWS):
        file, accepted, quarantined, duplicate = (rows[part] for part in _ROWS)
        counts = f"; {file:,} rows = {accepted:,} accepted + {quarantined:,} quarantined + {duplicate:,} duplicate"
    return f"{subject}: {state}{because}{counts}."


_ROWS = ("file", "accepted", "quarantined", "duplicate")


def _subject(data: Mapping[str, Any], names: Mapping[str, str]) -> str | None:
    upload = data.get("upload")
    if not isinstance(upload, str) or not _UPLOAD.fullmatch(upload):
        return None
    name = names.get(str(data.get("list")))
    return upload if name is None else f"{name} ({upload})"


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
