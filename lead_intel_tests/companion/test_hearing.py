"""Whatever is said on a public channel: it never breaks the listener, and never reaches the terminal raw."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lead_intel.companion.hearing import sample_of, sentence_of
from lead_intel.record.channel_delays import delay_ms

UPLOAD = "upl_20261124_abcdefghjk"
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
fields = ("list", "supplier", "state", "reason", "stage", "rows", "done", "total", "percent", "leads")
events = st.sampled_from(["upload.state", "upload.progress", "upload.sample", "list.found"])


@given(events, st.fixed_dictionaries({"upload": st.just(UPLOAD) | anything}, optional=dict.fromkeys(fields, anything)))
def test_nothing_that_is_said_breaks_the_listener(event: str, data: dict[str, Any]) -> None:
    sentence = sentence_of(event, data, {})
    assert sentence is None or sentence.isprintable()
    sample_of(data)


@given(st.text())
def test_a_reason_is_shown_without_what_a_terminal_obeys(reason: str) -> None:
    said = sentence_of("upload.state", {"upload": UPLOAD, "state": "failed", "reason": reason}, {})
    assert said is not None
    assert said.isprintable()
    assert len(said) < 140


@given(anything)
def test_no_clock_breaks_the_count_of_delays(at: Any) -> None:
    late = delay_ms(at)
    assert late is None or late >= 0
