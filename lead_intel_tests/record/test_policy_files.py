"""Policy files that ship are valid, and a wrong one is refused with its file and place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from lead_intel.errors import SetupError
from lead_intel.policy import load_policy, write_schemas
from lead_intel.settings import REPOSITORY

SHIPPED = REPOSITORY / "data" / "policy"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(SHIPPED, tmp_path / "policy")
    return tmp_path / "policy"


def test_the_shipped_policy_loads() -> None:
    assert load_policy(SHIPPED).dnc.fresh_days == 31


def test_the_schemas_beside_the_files_are_those_of_the_models(folder: Path) -> None:
    write_schemas(folder)

    for shipped in sorted((SHIPPED / "schema").iterdir()):
        assert (folder / "schema" / shipped.name).read_text() == shipped.read_text()


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yml")), ids=lambda path: path.stem)
def test_each_shipped_file_satisfies_its_json_schema(path: Path) -> None:
    schema = json.loads((SHIPPED / "schema" / f"{path.stem}.schema.json").read_text())
    content = yaml.safe_load(path.read_text())
    content["effective"] = str(content["effective"])
    content = json.loads(json.dumps(content))

    Draft202012Validator(schema).validate(content)


def test_an_unknown_key_is_refused_by_file_and_place(folder: Path) -> None:
    path = folder / "dnc.yml"
    path.write_text(path.read_text() + "fresh_day: 40\n")

    with pytest.raises(SetupError, match=r"dnc\.yml: fresh_day"):
        load_policy(folder)


def test_a_freshness_beyond_the_law_is_refused(folder: Path) -> None:
    path = folder / "dnc.yml"
    path.write_text(path.read_text().replace("fresh_days: 31", "fresh_days: 32"))

    with pytest.raises(SetupError, match=r"dnc\.yml: fresh_days"):
        load_policy(folder)


def test_vendor_answers_that_hold_for_no_day_are_refused(folder: Path) -> None:
    path = folder / "dnc.yml"
    path.write_text(path.read_text().replace("vendor_answer_days: 7", "vendor_answer_days: 0"))

    with pytest.raises(SetupError, match=r"dnc\.yml: vendor_answer_days"):
        load_policy(folder)


def test_a_deadline_beyond_the_promise_is_refused_for_lookup_and_enrichment_only(folder: Path) -> None:
    path = folder / "vendors.yml"
    shipped = yaml.safe_load(path.read_text())
    assert shipped["vendors"]["dncscrub"]["deadline_seconds"] == 20.0
    shipped["vendors"]["trestle"]["deadline_seconds"] = 5.5
    path.write_text(yaml.safe_dump(shipped))

    with pytest.raises(SetupError, match="trestle: deadline_seconds"):
        load_policy(folder)

    shipped["vendors"]["trestle"] |= {"deadline_seconds": 5.0, "patience_seconds": 1.0}
    path.write_text(yaml.safe_dump(shipped))

    with pytest.raises(SetupError, match="trestle: patience_seconds"):
        load_policy(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "sla.yml").unlink()

    with pytest.raises(SetupError, match=r"sla\.yml"):
        load_policy(folder)
