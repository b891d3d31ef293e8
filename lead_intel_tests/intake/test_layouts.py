"""What a person says of an upload's columns is used, kept for the supplier's layout, and a changed layout is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from lead_intel.automation.desk import Desk
from lead_intel.automation.frame_io import FrameIO
from lead_intel.automation.receiving import receive, say_columns
from lead_intel.guardrails.evaluate import evaluate
from lead_intel.guardrails.inputs import gather
from lead_intel.intake import assets
from lead_intel.policy import Policy
from lead_intel.record import layouts
from lead_intel.record.account import account_of
from lead_intel.record.layouts import Said
from lead_intel.settings import Settings
from lead_intel.surroundings import Surroundings

ODD = ["Cell Number", "email", "consent_source"]


@pytest.fixture
def desk(database: psycopg.Connection, settings: Settings, policy: Policy) -> Iterator[Desk]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Desk(settings, policy, database, instance, dg.Definitions, lambda sentence: None)


@pytest.fixture
def upload_of(desk: Desk, tmp_path: Path) -> Callable[..., str]:
    """Receives a list of two leads with these headers, and reads and validates it."""
    number = iter(range(100))

    def upload(headers: Sequence[str], said: Said | None = None, above: str = "") -> str:
        path = tmp_path / f"list{next(number)}.csv"
        rows = [["2125550123", "ann@example.com", "web_form"], ["2125550124", path.name + "@example.com", "web_form"]]
        lines = [",".join([*row[: len(headers)], *["x"] * (len(headers) - 3)]) for row in rows]
        path.write_text(above + "\n".join([",".join(headers), *lines]) + "\n")
        key = receive(desk, path, "acme", None, said).upload
        screen(desk, key)
        return key

    return upload


def screen(desk: Desk, upload: str) -> bool:
    return dg.materialize(
        [assets.raw_upload, assets.validated],
        instance=desk.instance,
        partition_key=upload,
        resources={"surroundings": Surroundings(), "io_manager": FrameIO()},
        raise_on_error=False,
    ).success


def account(desk: Desk, upload: str) -> dict[str, Any]:
    return account_of(desk.connection, upload)


def test_a_rejected_list_is_mended_by_saying_which_column_is_meant(desk: Desk, upload_of: Callable[..., str]) -> None:
    upload = upload_of(ODD)
    before = account(desk, upload)
    assert (before["state"], before["state_reason"]) == ("rejected", "column_missing")
    assert before["suggestions"] == {"phone": ["Cell Number"]}
    assert '--map phone="Cell Number"' in before["state_remedy"]

    say_columns(desk, upload, Said({"phone": "Cell Number"}))

    assert layouts.is_unused(desk.connection, upload)
    assert screen(desk, upload)
    assert not layouts.is_unused(desk.connection, upload)
    assert account(desk, upload)["rows"]["accepted"] == 2
    (schema,) = evaluate([2], gather(desk.settings, desk.policy, desk.connection, upload))
    assert schema.state == "passed"


def test_the_next_list_of_that_layout_follows_without_a_word(desk: Desk, upload_of: Callable[..., str]) -> None:
    upload_of(ODD, Said({"phone": "#1"}))

    following = account(desk, upload_of(ODD))
    elsewhere = account(desk, upload_of([*ODD, "score"]))

    assert following["rows"]["accepted"] == 2
    assert "layout_changed" not in following
    # Another layout is another question: what was meant before is offered, not taken.
    assert elsewhere["state_reason"] == "column_missing"
    assert elsewhere["suggestions"] == {"phone": ["Cell Number"]}
    assert elsewhere["layout_changed"]["added"] == ["score"]


def test_a_changed_layout_is_shown_and_a_known_one_is_not(desk: Desk, upload_of: Callable[..., str]) -> None:
    first = ["phone", "email", "consent_source", "Opt-in Date"]
    upload_of(first)

    changed = upload_of(["phone", "email", "consent_source", "notes", "score"])
    again = upload_of(first)

    assert account(desk, changed)["rows"]["accepted"] == 2
    assert account(desk, changed)["layout_changed"] == {
        "added": ["notes", "score"],
        "removed": ["Opt-in Date"],
        "renamed": {},
        "reordered": False,
        "meaning": {"consent_at": ["Opt-in Date", ""]},
    }
    assert "layout_changed" not in account(desk, again)
    # Screened once more, it still is what it was when it came.
    assert screen(desk, changed)
    assert "layout_changed" in account(desk, changed)


def test_where_the_header_stands_is_said_of_one_upload(desk: Desk, upload_of: Callable[..., str]) -> None:
    upload = upload_of(["phone", "email", "consent_source"], Said(header_row=2), above="Leads of May\n")

    assert account(desk, upload)["rows"]["file"] == 2
    assert upload_of(["phone", "email", "consent_source"], above="Leads of June\n") != upload


def test_of_a_list_without_header_no_word_is_kept(desk: Desk, upload_of: Callable[..., str]) -> None:
    upload = upload_of(["2125550199", "carla@example.com", "web_form"])

    kept = desk.connection.execute("select mapping::text, suggestions::text from lead_intel.upload_layouts").fetchall()
    assert kept == [("{}", "{}")]
    assert account(desk, upload)["state_reason"] == "no_header"
    assert "carla" not in str(account(desk, upload))
