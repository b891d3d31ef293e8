"""Quarantine on the command line: rows go out, come back in, and nothing is paid twice or contacted without proof."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

LIST = """\
phone,email,consent_source
2125550123,ann@example.com,web_form
2125550124,bob@@example.com,web_form
2125550126,dee@example.com,facebook
555-0127,eve@example.com,web_form
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rows_go_out_and_come_back_in(house: Any, tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    path.write_text(LIST)
    before = house.answer("upload", str(path))
    upload = before["upload"]
    assert before["rows"] == {"file": 4, "accepted": 1, "quarantined": 3, "duplicate": 0}
    paid = house.paid()

    listed = house.answer("quarantine", "list", upload)
    assert [(row["file"], row["line"], row["column"]) for row in listed["rows"]] == [
        (1, 3, "email"), (1, 4, "consent_source"), (1, 5, "phone"),
    ]  # fmt: skip
    assert "bob" not in str(listed)
    export = tmp_path / "rejected.csv"
    assert house.answer("quarantine", "export", upload, "--out", str(export))["rows"] == 3
    rows = list(csv.reader(io.StringIO(export.read_text("utf-8-sig"), newline="")))
    rows[1][rows[0].index("email")] = "bob@example.com"
    with export.open("w", newline="") as file:
        csv.writer(file).writerows(rows)

    after = house.answer("quarantine", "resubmit", upload, str(export))

    assert after["resubmitted"] == {"corrected": 1, "unchanged": 2, "set_aside": {}}
    assert after["rows"] == {"file": 4, "accepted": 2, "quarantined": 2, "duplicate": 0}
    assert sum(after["verdicts"].values()) == 2
    assert house.paid()["twilio_lookup"] == paid["twilio_lookup"] + 1

    released = house.answer("quarantine", "release", upload, "1:4", "--by", "maria", "--why", "their own form")

    assert released["rows"] == {"file": 4, "accepted": 3, "quarantined": 1, "duplicate": 0}
    # A person's word is no evidence of consent.
    assert released["verdicts"] == {"send": 0, "hold": 3, "block": 0}
    assert released["reasons"]["consent_evidence_missing"] == 3

    refused = house.answer(
        "quarantine", "release", upload, "1:5", "--by", "maria", "--why", "I know the number", exit_code=2
    )
    assert refused["error"]["code"] == "release_impossible"
    assert house.answer("quarantine", "resubmit", upload, str(path), exit_code=3)["error"]["code"] == "correction_keys"
    assert house.answer("quarantine", "replay") == {"replayed": {upload: 0}}
