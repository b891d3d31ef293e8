"""A bar chart small enough to stand in Dagster's asset page: SVG in a markdown data URI below 1,000 characters. Pure.

Longer markdown is folded behind a link there, and metadata stay in the event log for ever.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from xml.sax.saxutils import escape

INLINE_CHARACTERS = 1000
_BARS = 6
_WIDTH = 150
_STEP = 18
_LABEL = 14


def bars(shares: Sequence[tuple[str, float]]) -> str:
    """The largest of `shares` (label, 0 to 1; largest first) as a markdown picture."""
    shown = shares[:_BARS]
    longest = max((share for _, share in shown), default=0.0)
    scale = _WIDTH / longest if longest > 0 else 0.0
    shapes = "".join(f"M0 {row * _STEP + 3}h{share * scale:.0f}v12H0z" for row, (_, share) in enumerate(shown))
    texts = "".join(
        f"<text x='{_WIDTH + 5}' y='{row * _STEP + 13}'>{escape(label[:_LABEL])} {share:.0%}</text>"
        for row, (label, share) in enumerate(shown)
    )
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='300' height='{max(len(shown), 1) * _STEP}' font-size='11' "
        f"fill='#57a'><path d='{shapes}'/>{texts}</svg>"
    )
    return f"![shares](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"
