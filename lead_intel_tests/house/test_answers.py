"""However a command ends: one JSON object or one sentence, an exit code, and never a traceback."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from supabase import create_client

from lead_intel.settings import REPOSITORY, Settings
from lead_intel.terminal import live_progress

SAMPLE = REPOSITORY / "data" / "samples" / "leads.csv"


@pytest.fixture(scope="module")
def environment(house: Any) -> dict[str, str]:
    return house.answer("env")


@contextmanager
def without_uploads(environment: dict[str, str]) -> Iterator[None]:
    """A database that answers every question about uploads with an error."""
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("alter table lead_intel.lead_ingestions rename to hidden")
        try:
            yield
        finally:
            connection.execute("alter table lead_intel.hidden rename to lead_ingestions")


def test_what_nobody_foresaw_is_one_object_with_an_error(house: Any, environment: dict[str, str]) -> None:
    with without_uploads(environment):
        done = house.command("uploads", "--json")

    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert answer["error"]["code"] == "unforeseen"
    assert "UndefinedTable" in answer["error"]["message"]
    assert "Traceback" not in done.stderr
    places = (house.home / "unforeseen.log").read_text()
    assert "ingestions.py" in places
    assert "relation" not in places


def test_with_the_account_unreadable_the_error_still_comes_alone(house: Any, environment: dict[str, str]) -> None:
    with without_uploads(environment):
        done = house.command("run", str(SAMPLE), "--json")

    assert done.returncode == 1
    assert set(json.loads(done.stdout)) == {"error"}
    assert "Traceback" not in done.stderr


def test_places_that_cannot_be_kept_do_not_hide_the_error(house: Any, environment: dict[str, str]) -> None:
    log = house.home / "unforeseen.log"
    log.unlink(missing_ok=True)
    log.mkdir()
    try:
        with without_uploads(environment):
            done = house.command("uploads", "--json")
            told = house.command("uploads")
    finally:
        log.rmdir()

    assert json.loads(done.stdout)["error"]["code"] == "unforeseen"
    assert done.returncode == told.returncode == 1
    assert "could not be kept" in told.stderr
    assert "Traceback" not in done.stderr + told.stderr


@pytest.mark.parametrize("words", [("sample", "U", "200"), ("sampl",), ("run",), ("status", "--nonsense")])
def test_a_command_line_that_is_refused_is_one_object_too(house: Any, words: tuple[str, ...]) -> None:
    done = house.command(*words, "--json")

    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "usage"


def test_a_usage_error_of_the_command_line_is_2(house: Any) -> None:
    assert house.command("run").returncode == 2
    assert house.command("nonsense").returncode == 2


@pytest.mark.parametrize("options", ["{", "[1]", "three"])
def test_fault_options_that_are_no_object_are_a_usage_error(house: Any, options: str) -> None:
    done = house.command("sandbox", "fault", "trestle", "slow", "--options", options)
    assert done.returncode == 2
    assert "JSON object" in done.stderr


def test_a_list_that_was_rejected_as_gone_is_screened_when_given_again(
    house: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "gone.csv"
    file.write_text(SAMPLE.read_text())
    upload = house.answer("upload", str(file), "--supplier", "gone")["upload"]
    client = create_client(environment["SUPABASE_URL"], environment["SUPABASE_SERVICE_KEY"])
    client.storage.from_(environment["LEAD_INTEL_BUCKET"]).remove(["gone/gone.csv"])
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "update lead_intel.lead_ingestions set state = 'rejected', state_reason = 'object_missing' "
            "where upload = %s",
            (upload,),
        )

    again = house.answer("upload", str(file), "--supplier", "gone")

    assert (again["upload"], again["state"]) == (upload, "screened")


def test_people_see_the_targets_beside_the_times(house: Any, tmp_path: Path) -> None:
    done = house.command("upload", str(SAMPLE), "--supplier", "targets")
    assert done.returncode == 0, done.stderr
    assert "(target 15 for 1,000,000 rows)" in done.stdout


def test_ctrl_c_ends_with_one_line_and_the_same_command_goes_on(
    house: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "long.csv"
    rows = "".join(f"+1212555{n:04d},p{n}@example.com,web_form\n" for n in range(300))
    file.write_text("phone,email,consent_source\n" + rows)
    arguments = ["upload", str(file), "--supplier", "long", "--json"]
    house.command("sandbox", "fault", "twilio_lookup", "slow", "--options", '{"seconds": 2}')
    with (
        psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection,
        subprocess.Popen(
            [str(Path(sys.executable).with_name("lead-intel")), *arguments],
            env=house.environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        while process.poll() is None and not _is_at_work_in_lookup(connection):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 130, err + out
    assert err.count("Interrupted.") == 1
    assert "Traceback" not in err
    house.command("sandbox", "fault", "twilio_lookup", "off")
    assert house.answer(*arguments[:-1])["state"] == "screened"


def _is_at_work_in_lookup(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "select 1 from lead_intel.lead_ingestions where supplier = 'long' and state = 'screening' and stage = 'lookup'"
    ).fetchone()
    return row is not None


def test_a_picture_of_the_work_ends_quietly_when_the_database_does(settings: Settings) -> None:
    gone = settings.model_copy(update={"database_url": SecretStr("postgresql://nobody@127.0.0.1:1/none")})
    # A thread that ends with an exception is an error of the test run.
    with live_progress(gone, "upl_20261124_0000000001"):
        time.sleep(0.3)
