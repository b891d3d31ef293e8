"""Settings: each is explained in .env.example, and a missing one names itself."""

from __future__ import annotations

import re

import pytest

from lead_intel.errors import SetupError
from lead_intel.sandbox.settings import environment as sandbox_settings
from lead_intel.settings import REPOSITORY, Settings, dagster_storage_in, load_settings

# Read by Dagster itself, through dagster.yaml.
_OF_DAGSTER = {"DAGSTER_HOME", "LEAD_INTEL_DAGSTER_DIR", "LEAD_INTEL_BROKER_URL", "LEAD_INTEL_RUNS_AT_ONCE"}
_DAGSTER_YAML = [REPOSITORY / "dagster.yaml", REPOSITORY / "deploy" / "scale-out" / "dagster.yaml"]
_FIELDS = {name.upper(): field for name, field in Settings.model_fields.items()}
_REQUIRED = sorted(name for name, field in _FIELDS.items() if field.is_required())


def _example() -> str:
    return (REPOSITORY / ".env.example").read_text(encoding="utf-8")


@pytest.fixture
def complete(monkeypatch, plain_environment, tmp_path):
    """An environment in which every required setting is given."""
    for name in _FIELDS:
        monkeypatch.delenv(name, raising=False)
    for name in _REQUIRED:
        monkeypatch.setenv(name, "postgresql://me:secret@127.0.0.1/somewhere" if name == "DATABASE_URL" else "given")
    return monkeypatch


def test_env_example_documents_every_setting_and_no_other():
    documented = re.findall(r"^([A-Z][A-Z0-9_]*)=", _example(), flags=re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == set(_FIELDS) | _OF_DAGSTER


def test_every_setting_of_env_example_is_explained_and_left_blank():
    explained = False
    for line in _example().splitlines():
        if re.match(r"[A-Z]", line):
            assert explained, line
            assert line.endswith("="), "an example holds no value"
        else:
            explained = line.startswith("#") and not line.startswith("# ---")


def test_every_default_address_stands_in_env_example():
    for name, field in _FIELDS.items():
        if isinstance(field.default, str) and field.default.startswith("https://"):
            assert field.default in _example(), name


@pytest.mark.parametrize("path", _DAGSTER_YAML, ids=["one machine", "scale-out"])
def test_what_dagster_yaml_takes_from_the_environment_is_documented(path):
    wanted = re.findall(r"env: ([A-Z_]+)", path.read_text(encoding="utf-8"))
    assert wanted
    assert set(wanted) <= set(re.findall(r"^([A-Z_]+)=", _example(), flags=re.MULTILINE))


@pytest.mark.parametrize("name", _REQUIRED)
def test_a_missing_setting_names_itself_and_where_it_is_explained(complete, name):
    complete.delenv(name)
    with pytest.raises(SetupError) as caught:
        load_settings()
    assert name in caught.value.message
    assert ".env.example" in caught.value.remedy
    assert not [other for other in _REQUIRED if other != name and other in caught.value.message]


def test_a_blank_setting_is_a_missing_one(complete):
    complete.setenv("DATABASE_URL", "")
    with pytest.raises(SetupError, match="DATABASE_URL"):
        load_settings()


def test_no_secret_is_printed_with_the_settings(complete):
    complete.setenv("SEGMENT_WRITE_KEY", "canary-write-key")
    complete.setenv("DATABASE_URL", "postgresql://me:canary-password@127.0.0.1/x")
    assert "canary" not in repr(load_settings()) + str(load_settings())


def test_the_sandbox_answers_for_every_required_setting_but_those_of_the_house():
    assert set(sandbox_settings("http://127.0.0.1:1")) <= set(_FIELDS)
    assert set(_REQUIRED) - set(sandbox_settings("http://127.0.0.1:1")) == {"DATABASE_URL", "LEAD_INTEL_IDENTITY_KEY"}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("postgresql://a:b@h:5432/d", "postgresql+psycopg2://a:b@h:5432/d?options=-csearch_path%3Ddagster"),
        ("postgres://a:b@h/d?sslmode=require", "postgresql+psycopg2://a:b@h/d?sslmode=require&options=-csearch_path%3Ddagster"),
    ],
)  # fmt: skip
def test_dagsters_storage_is_a_schema_of_the_record(given, wanted):
    assert dagster_storage_in(given) == wanted
