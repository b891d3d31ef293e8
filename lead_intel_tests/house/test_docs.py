"""Every command in the README and the docs runs as written, in reading order, in one fresh house."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lead_intel.sandbox.faults import DELIVERIES, REFUSALS
from lead_intel.settings import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
# What the whole suite does already: it was installed by this command and is running.
INSTALLS = ("pip install",)
FENCE = re.compile(r"^```sh\n(.*?)^```", re.M | re.S)


def commands_of(page: Path) -> list[str]:
    lines = [line for block in FENCE.findall(page.read_text()) for line in block.splitlines() if line.strip()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if not part.startswith(INSTALLS) and part != "pytest"]


@pytest.fixture(autouse=True)
def repository_as_it_was() -> Iterator[None]:
    """Files that a page's commands write are gone afterwards."""
    before = set(REPOSITORY.iterdir())
    yield
    for written in set(REPOSITORY.iterdir()) - before:
        if written.is_file():
            written.unlink()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_page_runs(house: Any, page: Path, tmp_path: Path) -> None:
    upload = plan = ""
    shutil.copy(REPOSITORY / "data" / "samples" / "three_columns.csv", tmp_path)
    for command in commands_of(page):
        program, *arguments = shlex.split(command)
        assert program == "lead-intel", command
        if {"UPLOAD", "PLAN"} & set(arguments) and not upload:
            upload = house.answer("uploads")["uploads"][0]["upload"]
        if "PLAN" in arguments and not plan:
            plan = house.answer("status", upload)["plan"]
        given = {"UPLOAD": upload, "PLAN": plan, "FOLDER": str(tmp_path)}
        words = [given.get(word, word) for word in arguments]

        done = house.command(*words)

        if words[0] == "approve":
            # The page says when it is needed; here the plan is activated already, and it says so.
            assert done.returncode in (0, 2), done.stderr
        elif words[0] == "stop":
            assert done.returncode in (0, 2), done.stderr
        else:
            assert done.returncode == 0, f"{command}: {done.stderr[-1500:]}"
        if words[0] == "down":
            assert house.command("up", "--without-dagster", "--detach").returncode == 0


def test_every_page_is_linked_from_the_readme() -> None:
    readme = PAGES[0].read_text()
    assert [page.name for page in PAGES[1:] if f"docs/{page.name}" not in readme] == []


def test_the_sandbox_page_explains_every_common_fault() -> None:
    page = (REPOSITORY / "docs" / "sandbox.md").read_text()
    assert [kind for kind in (*REFUSALS, *DELIVERIES) if f"`{kind}`" not in page] == []
