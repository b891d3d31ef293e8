"""What an operator has to arrange with Twilio, said once a run: from the codes of all its answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping

_SENTENCES = {
    60601: "{count} Canadian numbers were not answered (60601): Lookup of Canada needs NPAC approval from Twilio.",
    60614: "{count} numbers must be asked in another Twilio region (60614): set TWILIO_LOOKUP_URL to it.",
    60619: "{count} numbers cannot be asked in this Twilio region (60619): set TWILIO_LOOKUP_URL to another.",
    20404: "{count} questions went to a path that Twilio does not know (20404): check TWILIO_LOOKUP_URL.",
}


def alerts(codes: Mapping[int, int]) -> list[str]:
    """One sentence for each code of `codes` (code -> numbers) that is somebody's to mend, however many rows it met."""
    return [sentence.format(count=f"{codes[code]:,}") for code, sentence in _SENTENCES.items() if codes.get(code)]
