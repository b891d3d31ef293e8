"""The house: shared by commands, ended with its last holder however that ends, silent about secrets."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import psycopg
import pytest

from lead_intel.errors import SetupError
from lead_intel.local.home import Home
from lead_intel.local.leftovers import STATE
from lead_intel.local.processes import wait_until
from lead_intel.local.supervisor import down, environment_of, local_house

SECONDS_TO_VANISH = 5.0


def _vanish(processes: list[psutil.Process]) -> bool:
    def gone(process: psutil.Process) -> bool:
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return wait_until(lambda: all(gone(process) for process in processes), SECONDS_TO_VANISH, step=0.05)


def _database_answers(environment: dict[str, str]) -> bool:
    try:
        with psycopg.connect(environment["DATABASE_URL"], connect_timeout=5) as connection:
            return connection.execute("select 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def _sandbox_answers(ports: dict[str, int]) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['sandbox']}/control/health", timeout=5) as answer:
        return answer.status == 200


def test_postgres_and_the_sandbox_answer_while_a_command_works(home, open_command):
    command = open_command(home, "everything")
    assert _database_answers(command.environment)
    assert _sandbox_answers(command.ports)
    everything = command.processes()
    assert len(everything) >= 3
    command.end()
    assert _vanish(everything)


@pytest.mark.parametrize("victim", ["command", "guardian"])
def test_after_kill_9_nothing_is_left(home, open_command, victim):
    command = open_command(home, "everything")
    everything = command.processes()
    if victim == "command":
        command.kill()
    else:
        everything[0].kill()
    assert _vanish(everything)


def test_after_kill_9_the_next_start_is_clean(home, open_command):
    first = open_command(home, "everything")
    first.kill()
    second = open_command(home, "everything")
    assert _database_answers(second.environment)
    assert _sandbox_answers(second.ports)
    assert second.ports == first.ports
    second.end()


def test_two_commands_share_one_house_and_the_first_to_end_stops_nothing(home, open_command):
    first = open_command(home)
    second = open_command(home)
    assert second.ports == first.ports
    first.end()
    assert _database_answers(second.environment)
    everything = second.processes()
    second.end()
    assert _vanish(everything)


def test_what_only_the_first_command_wanted_ends_with_it(home, open_command):
    everything = open_command(home, "everything")
    database = open_command(home)
    everything.end()
    assert set(Home(home).read(STATE)["programs"]) == {"postgres"}
    assert _database_answers(database.environment)
    database.end()


@pytest.mark.slow
def test_commands_that_start_at_once_do_not_race(folder, open_command, plain_environment):
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; from pathlib import Path; from lead_intel.local.supervisor import local_house\n"
                "with local_house(Path(sys.argv[1])) as house: print(house.ports)",
                str(folder),
            ],
            env=plain_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], answers
    assert len({out for out, _ in answers}) == 1


def test_two_homes_do_not_disturb_each_other(folder, open_command):
    first, second = open_command(folder / "first", "everything"), open_command(folder / "second", "everything")
    assert set(first.ports.values()).isdisjoint(second.ports.values())
    for name in ("DATABASE_URL", "LEAD_INTEL_IDENTITY_KEY", "SUPABASE_URL", "DAGSTER_HOME"):
        assert first.environment[name] != second.environment[name]
    first.end()
    assert _database_answers(second.environment)
    assert _sandbox_answers(second.ports)
    second.end()


def test_no_secret_stands_on_a_command_line(home, open_command):
    command = open_command(home, "everything")
    secrets = {
        value
        for name, value in command.environment.items()
        if name.endswith(("_KEY", "_TOKEN", "_URL")) and not value.startswith("http")
    } | {json.loads((home / "postgres.json").read_text())["password"]}
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert any("lead_intel.sandbox" in line for line in lines)
    assert not [name for name in secrets for line in lines if name in line]
    command.end()


def test_a_program_that_dies_is_started_again(home, open_command):
    command = open_command(home, "everything")
    program = Home(home).read(STATE)["programs"]["sandbox"]
    os.kill(program["pid"], signal.SIGKILL)
    assert wait_until(
        lambda: Home(home).read(STATE)["programs"]["sandbox"]["pid"] not in (0, program["pid"]), 10, step=0.05
    )
    assert wait_until(lambda: _answers_at(command.ports["sandbox"]), 10, step=0.1)
    command.end()


def _answers_at(port: int) -> bool:
    try:
        return _sandbox_answers({"sandbox": port})
    except OSError:
        return False


@pytest.mark.slow
def test_a_program_that_dies_again_and_again_is_given_up(home, open_command):
    command = open_command(home, "everything")

    def state() -> dict:
        return Home(home).read(STATE)["programs"]["sandbox"]

    deadline = time.monotonic() + 30
    while state()["state"] != "failed":
        assert time.monotonic() < deadline
        if state()["pid"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(state()["pid"], signal.SIGKILL)
        time.sleep(0.05)
    assert _database_answers(command.environment)
    command.end()


def test_a_database_of_the_persons_own_is_used_and_none_started(folder, cluster, plain_environment):
    brought = plain_environment | {"DATABASE_URL": cluster.url}
    with local_house(folder, environ=brought) as house:
        assert house.environment["DATABASE_URL"] == cluster.url
        assert set(house.ports) == {"sandbox"}
    assert not (folder / "postgres").exists()


def test_with_everything_brought_nothing_is_started(folder, cluster, database_only):
    with local_house(folder, environ=database_only | {"DATABASE_URL": cluster.url}) as house:
        assert house.ports == {}
        assert house.environment["SUPABASE_URL"] == "unused"
        assert not (folder / STATE).exists()


def test_an_unreachable_database_is_said_in_one_sentence(folder, plain_environment):
    brought = plain_environment | {"DATABASE_URL": "postgresql://me:hidden-word@127.0.0.1:1/nothing"}
    with pytest.raises(SetupError) as caught, local_house(folder, environ=brought):
        pass
    assert caught.value.code == "database_unusable"
    assert "hidden-word" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_env_names_what_is_up_and_refuses_when_nothing_is(home, open_command, monkeypatch, plain_environment):
    for name in set(os.environ) - set(plain_environment):
        monkeypatch.delenv(name)
    with pytest.raises(SetupError) as caught:
        environment_of(home)
    assert caught.value.code == "not_up"
    command = open_command(home, "everything")
    assert environment_of(home) == command.environment
    # A shell that has evaluated it means the same house, not a database of its own.
    for name, value in command.environment.items():
        monkeypatch.setenv(name, value)
    assert environment_of(home) == command.environment
    command.end()
    with local_house(home) as house:
        assert house.environment == command.environment
        assert set(house.ports) == {"postgres", "sandbox"}


def test_down_ends_everything_whoever_started_it(home, open_command):
    command = open_command(home, "everything")
    everything = command.processes()
    down(home)
    assert _vanish(everything)
    command.kill()


def test_a_home_that_cannot_be_written_is_said_in_one_sentence(folder):
    (folder / "file").write_text("")
    with pytest.raises(SetupError) as caught, local_house(Path(folder / "file" / "home")):
        pass
    assert caught.value.code == "home_unusable"


def test_a_home_with_a_long_path_works(folder, database_house):
    home = folder / ("long" * 30) / "home"
    with database_house(home) as house:
        assert _database_answers(house.environment)
        socket_path = Path(Home(home).read(STATE)["socket"])
        assert home not in socket_path.parents
    assert not socket_path.parent.exists()
