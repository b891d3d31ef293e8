"""The export of quarantine: safe in a spreadsheet, exact on its way back, and a suggestion for every reason."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lead_intel.errors import RejectedInput
from lead_intel.intake import quarantine
from lead_intel.intake.corrections import correction_frame, is_correction, layout_of, settle
from lead_intel.intake.quarantine import WORDS, export, guarded, suggestion, unguarded
from lead_intel.intake.reading import Reading
from lead_intel.record.quarantine import Column, CorrectionRow, OpenRow, Settled

UPLOAD = "upl_20261124_0123456789"
LAYOUT = [Column("Phone", "Phone"), Column("note\x1f2", "note (2)"), Column("quarantine_line", "quarantine_line")]
MAPPING = {"Phone": "phone"}
FORMULAS = [
    "a;=1+1",
    "Smith, @SUM(A1)",
    "=1+1",
    "+1 212 555 0123",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\uff1d1+1",
    "'quoted",
]
ALTERED = [
    "Mar 5",
    "5-Mar-2026",
    "07302",
    "2.12555E+09",
    "2125550123.0",
    "2026-10-01",
    "10/11/26",
    "10:30",
    "123456789012",
]


def exported(rows: list[OpenRow], layout: list[Column] = LAYOUT) -> bytes:
    return b"".join(export(UPLOAD, rows, layout, MAPPING, ["web_form"]))


def cells_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def row(place: tuple[int, int], **original: str) -> OpenRow:
    return OpenRow(place, ("phone_invalid",), {label.replace("_2", " (2)"): text for label, text in original.items()})


@pytest.mark.parametrize("cell", [*FORMULAS, *ALTERED])
def test_a_cell_that_a_spreadsheet_would_run_or_rewrite_is_guarded(cell: str) -> None:
    assert guarded(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "Ann", "212-555-0123", "2125550123", "12 Main St", "a@example.com", "(212) 555"])
def test_an_ordinary_cell_is_left_as_it_is(cell: str) -> None:
    assert guarded(cell) == cell


@settings(deadline=None)
@given(st.text())
def test_what_was_guarded_comes_back(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell
    assert not guarded(cell).startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\x00"))


def test_the_export_opens_in_excel_and_gives_the_reason_beside_the_row() -> None:
    content = exported([row((1, 27), Phone="555-0125")])

    assert content.startswith(b"\xef\xbb\xbf")
    assert content.count(b"\r\n") == 2
    header, only = cells_of(content)
    assert header[:3] == ["quarantine_upload", "quarantine_file", "quarantine_line"]
    assert header[-3:] == ["Phone", "note (2)", "quarantine_line (list)"]
    assert only[:7] == [
        UPLOAD, "1", "27", "phone_invalid", WORDS["phone_invalid"], "Phone",
        "The area code is missing: write all ten digits.",
    ]  # fmt: skip


@pytest.mark.parametrize("code", WORDS)
def test_every_reason_has_a_suggestion_that_repeats_nothing_of_the_row(code: str) -> None:
    values = {"phone": "ZZ21255501", "email": "zz top", "consent_source": "zz"}
    said = suggestion([code], values, ["web_form"])
    assert said.endswith(".")
    assert "zz" not in said.casefold()


@pytest.mark.parametrize(
    ("code", "value", "said"),
    [
        ("phone_damaged", "2.12E+09", "Write all ten digits; a spreadsheet lost some."),
        ("phone_several", "2125550123/2125550124", "Two numbers in the cell: keep one."),
        ("phone_invalid", "1-800-FLOWERS", "Write digits in place of the letters."),
        ("phone_invalid", "21255", "5 digits are too few: write all ten."),
        ("phone_invalid", "21255501234", "11 digits: write ten, or + and the country code."),
        ("phone_invalid", "11255501234", "No such number exists: ask the source for the right one."),
        ("email_invalid", "a@x.com b@x.com", "Two addresses in the cell: keep one."),
        ("email_invalid", "a.x.com", "There is no @: write the whole address, or leave the cell blank."),
    ],
)
def test_suggestions_are_derived_from_the_cell(code: str, value: str, said: str) -> None:
    assert suggestion([code], {"phone": value, "email": value}, []) == said


READABLE = st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffd")
TEXTS = st.text(READABLE | st.sampled_from("\n\r\t"), max_size=20)


@settings(max_examples=40, deadline=None)
@given(cells=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6))
def test_an_export_that_nobody_touched_changes_nothing(
    parse_bytes: Callable[[bytes], Reading], cells: list[tuple[str, str]]
) -> None:
    rows = [row((1, line), Phone=phone, note_2=note) for line, (phone, note) in enumerate(cells, start=2)]
    outcomes = settled(parse_bytes(exported(rows)), rows)
    assert {each.outcome for each in outcomes} == {"unchanged"}


def settled(reading: Reading, rows: list[OpenRow], said: Settled | None = None) -> list[CorrectionRow]:
    layout = layout_of(reading.headers, LAYOUT)
    return settle(reading, layout, LAYOUT, UPLOAD, 3, rows, said or Settled())


def correction(*lines: str) -> bytes:
    return "\n".join(["quarantine_file,quarantine_line,note (2),Phone,quarantine_line (list)", *lines]).encode()


def test_rows_are_found_by_their_place_however_they_stand(parse: Callable[[bytes], Reading]) -> None:
    rows = [row((1, 4), Phone="x"), row((1, 9), Phone="y"), row((2, 9), Phone="z")]

    outcomes = settled(parse(correction("2,9,,z,", "1,9,,2125550123,", "1,7,,2125550123,", ",,,2125550124,")), rows)

    assert [(each.place[1], each.outcome, each.of) for each in outcomes] == [
        (2, "unchanged", (2, 9)),
        (3, "corrects", (1, 9)),
        (4, "correction_unknown", None),
        (5, "correction_unknown", None),
    ]


def test_two_rows_for_one_are_never_chosen_between(parse: Callable[[bytes], Reading]) -> None:
    outcomes = settled(parse(correction("1,4,,a,", "1,4,,b,")), [row((1, 4), Phone="x")])
    assert [each.outcome for each in outcomes] == ["correction_repeated", "correction_repeated"]


def test_an_old_export_corrects_what_stands_for_its_row_now(parse: Callable[[bytes], Reading]) -> None:
    """1:4 was corrected by 2:2, which is still wrong; 1:5 by 2:3, which was accepted."""
    (first,) = settled(parse(correction("1,5,,2125550123,")), [row((1, 5), Phone="x")])
    said = Settled(
        (
            CorrectionRow((2, 2), "corrects", (1, 4), b""),
            CorrectionRow((2, 3), "corrects", (1, 5), first.content),
        )
    )
    still_wrong = [row((2, 2), Phone="still wrong")]

    again = settled(parse(correction("1,4,,2125550123,", "1,5,,2125550123,")), still_wrong, said)
    other = settled(parse(correction("1,4,,still wrong,", "1,5,,2125550199,")), still_wrong, said)

    assert [(each.outcome, each.of) for each in again] == [("corrects", (2, 2)), ("unchanged", (2, 3))]
    assert [(each.outcome, each.of) for each in other] == [("unchanged", (2, 2)), ("correction_closed", None)]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("quarantine_file,Phone,note (2),quarantine_line (list)", "correction_keys"),
        ("quarantine_file,quarantine_line,quarantine_line,Phone,note (2),quarantine_line (list)", "correction_keys"),
        ("quarantine_file,quarantine_line,Phone,quarantine_line (list)", "correction_columns"),
        ("quarantine_file,quarantine_line,Phone,note (2),quarantine_line (list),mine", "correction_columns"),
        ("quarantine_file,quarantine_line,Phone,Phone,note (2),quarantine_line (list)", "correction_columns"),
    ],
)
def test_a_file_without_the_columns_of_the_export_is_refused(
    parse: Callable[[bytes], Reading], header: str, code: str
) -> None:
    reading = parse(f"{header}\n{','.join('1' * len(header.split(',')))}\n".encode())
    with pytest.raises(RejectedInput) as refusal:
        settled(reading, [])
    assert refusal.value.code == code


def test_an_export_of_another_upload_is_refused(parse: Callable[[bytes], Reading]) -> None:
    content = exported([row((1, 4), Phone="x")]).replace(UPLOAD.encode(), b"upl_20261124_9999999999")
    with pytest.raises(RejectedInput) as refusal:
        settled(parse(content), [row((1, 4), Phone="y")])
    assert refusal.value.code == "correction_elsewhere"


def test_a_workbook_made_of_the_export_is_understood(
    workbook: Callable[..., Path], read: Callable[..., Reading]
) -> None:
    """A spreadsheet keeps apostrophes that came from a file as text, and numbers as numbers."""
    header = ["quarantine_upload", "quarantine_file", "quarantine_line", "Phone", "note (2)", "quarantine_line (list)"]
    sheet = [header, [UPLOAD, 1, 9, 2125550123, "'=1+1", None], [UPLOAD, 1, 4, "'07302", "kept", None]]
    reading = read(workbook({"Sheet1": sheet}))
    rows = [row((1, 4), Phone="07302", note_2="kept"), row((1, 9), Phone="2.12E+09", note_2="=1+1")]

    assert [(each.outcome, each.of) for each in settled(reading, rows)] == [
        ("corrects", (1, 9)),
        ("unchanged", (1, 4)),
    ]
    columns = layout_of(reading.headers, LAYOUT).columns
    frame = correction_frame(2, reading, columns)
    assert frame[["file_no", "line", "Phone", "note\x1f2"]].values.tolist() == [
        [2, 2, "2125550123", "=1+1"],
        [2, 3, "07302", "kept"],
    ]


def test_a_spreadsheet_may_write_the_columns_in_another_case() -> None:
    assert is_correction(["Quarantine File", "QUARANTINE_LINE", "phone"])
    assert not is_correction(["file", "line", "phone"])
    assert set(quarantine.KEYS) <= quarantine.RESERVED
