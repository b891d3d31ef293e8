"""Whose setting counts: the person's wins, vendor by vendor; the house fills the rest and knows its own again."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
import yaml

from lead_intel.local.environment import VENDOR_GROUPS, chosen_settings, house_environment
from lead_intel.local.home import Home
from lead_intel.local.services import LOCATION, prepare_dagster_home
from lead_intel.sandbox.settings import environment as sandbox_settings
from lead_intel.settings import REPOSITORY, dagster_storage_in

SANDBOX_URL = "http://127.0.0.1:4444"
OURS = "postgresql://lead_intel:ours@127.0.0.1:5555/lead_intel"


@pytest.fixture
def new_home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


def _environment(home: Home, given: dict[str, str]) -> dict[str, str]:
    return house_environment(home, chosen_settings(home, given), database_url=OURS, sandbox_url=SANDBOX_URL)


def test_without_any_setting_the_house_gives_all(new_home):
    environment = _environment(new_home, {"PATH": "/bin"})
    assert environment.items() >= sandbox_settings(SANDBOX_URL).items()
    assert environment["LEAD_INTEL_ENVIRONMENT"] == "embedded"
    assert environment["DATABASE_URL"] == OURS
    assert environment["DAGSTER_PG_URL"] == dagster_storage_in(OURS)
    assert environment["DAGSTER_HOME"] == str(new_home.dagster)
    assert "PATH" not in environment


def test_one_key_of_a_vendor_keeps_the_sandbox_away_from_that_vendor(new_home):
    environment = _environment(new_home, {"TWILIO_AUTH_TOKEN": "real", "TWILIO_ACCOUNT_SID": "ACreal"})
    assert environment["TWILIO_AUTH_TOKEN"] == "real"
    assert "TWILIO_LOOKUP_URL" not in environment, "a real token never goes to the sandbox, nor its key to Twilio"
    assert environment["TRESTLE_URL"].startswith(SANDBOX_URL)


def test_a_blank_setting_is_not_the_persons(new_home):
    assert _environment(new_home, {"TRESTLE_API_KEY": ""})["TRESTLE_URL"].startswith(SANDBOX_URL)


def test_with_every_vendor_brought_the_house_is_production_and_makes_no_key(new_home):
    brought = dict.fromkeys(sandbox_settings(SANDBOX_URL), "real")
    chosen = chosen_settings(new_home, brought)
    assert not chosen.needs_sandbox
    environment = _environment(new_home, brought)
    assert "LEAD_INTEL_ENVIRONMENT" not in environment
    assert "LEAD_INTEL_IDENTITY_KEY" not in environment
    assert not (new_home.folder / "identity.key").exists()


def test_every_vendor_setting_belongs_to_a_group():
    vendor_settings = set(sandbox_settings(SANDBOX_URL)) - {"LEAD_INTEL_BUCKET"}
    assert all(name.startswith(VENDOR_GROUPS) for name in vendor_settings)


def test_what_the_house_gave_out_is_not_taken_for_the_persons(new_home):
    new_home.write("ports.json", {"sandbox": 4444, "postgres": 5555})
    new_home.write("postgres.json", {"place": "/nowhere", "password": "ours", "superuser_password": "s"})
    given_out = _environment(new_home, {})
    assert not chosen_settings(new_home, given_out).settings.keys() - {"LEAD_INTEL_BUCKET"}
    other = Home.at(new_home.folder.parent / "other")
    assert chosen_settings(other, given_out).has_database


def test_dagsters_folders_of_another_project_are_left_alone(new_home):
    given = {"DAGSTER_HOME": "/home/me/other-project"}
    assert _environment(new_home, given)["DAGSTER_HOME"] == str(new_home.dagster)
    with_database = given | {"DATABASE_URL": "postgresql://me@db/prod"}
    assert _environment(new_home, with_database)["DAGSTER_HOME"] == "/home/me/other-project"


def test_the_identity_key_is_made_once(new_home):
    assert new_home.identity_key() == new_home.identity_key() == Home.at(new_home.folder).identity_key()
    assert (new_home.folder / "identity.key").stat().st_mode & 0o077 == 0


def test_dagster_yaml_holds_no_value_that_could_be_a_secret():
    storage = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text(encoding="utf-8"))["storage"]
    assert storage == {"postgres": {"postgres_url": {"env": "DAGSTER_PG_URL"}}}


def test_workspace_yaml_names_the_location_that_callers_use():
    (entry,) = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    assert entry["python_module"] == {"module_name": "lead_intel.definitions", "location_name": LOCATION}


def test_dagsters_instance_rests_in_the_database_and_the_repository_stays_clean(database, new_home, monkeypatch):
    before = sorted(REPOSITORY.iterdir())
    prepare_dagster_home(new_home)
    url = f"postgresql://{database.info.user}:{database.info.password}@127.0.0.1:{database.info.port}/"
    monkeypatch.setenv("DAGSTER_HOME", str(new_home.dagster))
    monkeypatch.setenv("LEAD_INTEL_DAGSTER_DIR", str(new_home.dagster))
    monkeypatch.setenv("DAGSTER_PG_URL", dagster_storage_in(url + database.info.dbname))
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("uploads", ["upl_20261124_0123456789"])
        assert instance.run_retries_enabled
        assert not instance.telemetry_enabled
    rows = database.execute("select partition from dagster.dynamic_partitions").fetchall()
    assert rows == [("upl_20261124_0123456789",)]
    assert sorted(REPOSITORY.iterdir()) == before
