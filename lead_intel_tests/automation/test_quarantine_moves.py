"""A person's moves on quarantine, with the real intake, database and bucket: nothing is lost, nothing counted twice."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from supabase import create_client

from lead_intel.automation import jobs
from lead_intel.automation import quarantine as moves
from lead_intel.automation.desk import Desk
from lead_intel.automation.frame_io import FrameIO
from lead_intel.automation.journey import screen
from lead_intel.automation.receiving import receive, sha256_of
from lead_intel.automation.sweep import accept_new_objects
from lead_intel.errors import LeadIntelError, RejectedInput, UsageError
from lead_intel.intake import assets
from lead_intel.policy import ConsentSource, Policy
from lead_intel.record import bucket, evidence, quarantine
from lead_intel.record.account import account_of
from lead_intel.record.frames import read_frame
from lead_intel.settings import REPOSITORY, Settings
from lead_intel.surroundings import Surroundings

LIST = """\
Phone,E-mail,consent_source,note
2125550123,ann@example.com,web_form,accepted
2125550124,bob@@example.com,web_form,=1+1
555-0125,,web_form,"two
lines"
2125550126,dee@example.com,facebook,+1 plus
2.12555E+09,eve@example.com,web_form,
2125550129,gus@example.com,web_form,x,extra
(212) 555-0123,,phone_ivr,repeat
"""
BEFORE = {"file": 7, "accepted": 1, "quarantined": 5, "duplicate": 1}


def intake_alone() -> dg.Definitions:
    """The house with its first room only: what comes after needs no row of quarantine."""
    return dg.Definitions(
        assets=[assets.raw_upload, assets.validated],
        jobs=[dg.define_asset_job(jobs.SCREEN)],
        resources={"surroundings": Surroundings(), "io_manager": FrameIO()},
        executor=dg.in_process_executor,
    )


@pytest.fixture
def desk(database: psycopg.Connection, settings: Settings, policy: Policy) -> Iterator[Desk]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Desk(settings, policy, database, instance, intake_alone, lambda sentence: None)


@pytest.fixture
def upload(desk: Desk, tmp_path: Path) -> str:
    path = tmp_path / "leads.csv"
    path.write_text(LIST)
    key = receive(desk, path, "acme", None).upload
    screen(desk, key)
    assert rows_of(desk, key) == BEFORE
    return key


def rows_of(desk: Desk, upload: str) -> dict[str, int]:
    account = account_of(desk.connection, upload)
    rows = account["rows"]
    assert rows["file"] == rows["accepted"] + rows["quarantined"] + rows["duplicate"]
    assert rows["quarantined"] == sum(account["quarantine"].values())
    return rows


def exported(desk: Desk, upload: str, folder: Path) -> list[dict[str, str]]:
    target = folder / "export.csv"
    moves.write_export(desk.connection, desk.policy, upload, target)
    assert target.stat().st_mode & 0o077 == 0
    return list(csv.DictReader(io.StringIO(target.read_text("utf-8-sig"), newline="")))


def written(rows: list[dict[str, str]], path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def corrected(rows: list[dict[str, str]], line: str, **cells: str) -> list[dict[str, str]]:
    return [row | cells if row["quarantine_line"] == line else row for row in rows]


def occurrences(desk: Desk, upload: str) -> list[tuple[Any, ...]]:
    return desk.connection.execute(
        "select file_no, line, lead_id::text, duplicate, consent, attributes from lead_intel.upload_leads "
        "where upload = %s order by 1, 2",
        (upload,),
    ).fetchall()


def states(desk: Desk, upload: str) -> dict[str, str]:
    return {
        f"{file}:{line}": state
        for file, line, state in desk.connection.execute(
            "select file_no, line, state from lead_intel.quarantined_rows where upload = %s order by 1, 2", (upload,)
        )
    }


def test_a_corrected_export_joins_its_upload(desk: Desk, upload: str, tmp_path: Path) -> None:
    before = occurrences(desk, upload)
    rows = exported(desk, upload, tmp_path)
    rows = corrected(rows, "3", **{"E-mail": "bob@example.com"})
    rows = corrected(rows, "4", Phone="555-0000")
    rows = corrected(rows, "8", Phone="2125550129", consent_source="web_form", note="x")
    rows = [row for row in reversed(rows) if row["quarantine_line"] != "7"]

    done = moves.resubmit(desk, upload, written(rows, tmp_path / "corrected.csv"), "ann")

    assert (done.corrected, done.unchanged, done.set_aside) == (3, 1, {})
    assert rows_of(desk, upload) == {"file": 7, "accepted": 3, "quarantined": 3, "duplicate": 1}
    after = occurrences(desk, upload)
    assert [row for row in after if row[0] == 1] == before
    assert [row[5] for row in after if row[0] == 2] == [{"note": "x"}, {"note": "=1+1"}]
    assert states(desk, upload) == {
        "1:3": "corrected", "1:4": "corrected", "1:6": "open", "1:7": "open", "1:8": "corrected", "2:4": "open",
    }  # fmt: skip
    (kind, path, rows_counted) = (
        desk.connection.execute(
            "select kind, object_path, rows from lead_intel.upload_files where upload = %s and file_no = 2", (upload,)
        ).fetchone()
        or ()
    )
    assert (kind, path, rows_counted) == ("correction", f"acme/corrections/{upload}/corrected.csv", 4)


def test_the_same_file_again_is_nothing_to_do(desk: Desk, upload: str, tmp_path: Path) -> None:
    rows = corrected(exported(desk, upload, tmp_path), "3", **{"E-mail": "bob@example.com"})
    path = written(rows, tmp_path / "corrected.csv")
    moves.resubmit(desk, upload, path, "ann")
    before = (rows_of(desk, upload), occurrences(desk, upload), states(desk, upload))

    done = moves.resubmit(desk, upload, path, "ann")

    assert done == moves.Resubmitted()
    assert (rows_of(desk, upload), occurrences(desk, upload), states(desk, upload)) == before


@pytest.mark.slow
def test_one_export_may_be_corrected_in_several_goes(desk: Desk, upload: str, tmp_path: Path) -> None:
    rows = corrected(exported(desk, upload, tmp_path), "3", **{"E-mail": "bob@example.com"})
    moves.resubmit(desk, upload, written(rows, tmp_path / "first.csv"), "ann")
    rows = corrected(rows, "7", Phone="2125550127")

    done = moves.resubmit(desk, upload, written(rows, tmp_path / "second.csv"), "ann")

    assert (done.corrected, done.unchanged) == (1, 4)
    assert rows_of(desk, upload) == {"file": 7, "accepted": 3, "quarantined": 3, "duplicate": 1}


def test_an_untouched_export_stores_nothing(desk: Desk, upload: str, tmp_path: Path) -> None:
    exported(desk, upload, tmp_path)
    assert moves.resubmit(desk, upload, tmp_path / "export.csv", "ann").unchanged == 5
    assert rows_of(desk, upload) == BEFORE
    assert not quarantine.settled(desk.connection, upload).corrections


def test_rows_that_correct_nothing_are_set_aside_by_name(desk: Desk, upload: str, tmp_path: Path) -> None:
    rows = corrected(exported(desk, upload, tmp_path), "3", **{"E-mail": "bob@example.com"})
    good = {"Phone": "2125550199", "consent_source": "web_form", "E-mail": ""}
    accepted = rows[0] | good | {"quarantine_line": "2"}
    keyless = rows[0] | good | {"quarantine_file": "", "quarantine_line": ""}
    twice = rows[3] | good

    done = moves.resubmit(desk, upload, written([*rows, accepted, keyless, twice], tmp_path / "more.csv"), "ann")

    assert done.set_aside == {"correction_closed": 1, "correction_unknown": 1, "correction_repeated": 2}
    assert rows_of(desk, upload) == {"file": 11, "accepted": 2, "quarantined": 8, "duplicate": 1}
    assert account_of(desk.connection, upload)["quarantine"]["correction_closed"] == 1


def test_an_old_export_makes_no_second_lead_of_a_row_that_was_released(desk: Desk, upload: str, tmp_path: Path) -> None:
    rows = corrected(exported(desk, upload, tmp_path), "3", **{"E-mail": "bob@example.com"})
    moves.release(desk, upload, (1, 6), "maria", "Facebook lead form")
    changed = [row | {"E-mail": "other@example.com"} if row["quarantine_line"] == "6" else row for row in rows]

    done = moves.resubmit(desk, upload, written(changed, tmp_path / "old.csv"), "ann")

    assert done.set_aside == {"correction_closed": 1}
    assert states(desk, upload)["1:6"] == "released"
    assert rows_of(desk, upload)["accepted"] == 3


def test_a_file_that_corrects_no_row_is_refused_and_stored_nowhere(desk: Desk, upload: str, tmp_path: Path) -> None:
    rows = [row | {"quarantine_line": "99"} for row in exported(desk, upload, tmp_path)]
    for path in (written(rows, tmp_path / "foreign.csv"), tmp_path / "leads.csv"):
        with pytest.raises(RejectedInput) as refusal:
            moves.resubmit(desk, upload, path, "ann")
        assert refusal.value.code in ("correction_useless", "correction_keys")
    assert rows_of(desk, upload) == BEFORE
    assert len(desk.connection.execute("select 1 from lead_intel.upload_files").fetchall()) == 1


def test_no_sweep_takes_a_correction_for_a_list(
    database: psycopg.Connection, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "corrected.csv"
    path.write_text(LIST)
    bucket.put_correction(settings, path, "acme", "upl_20261124_0123456789", sha256_of(path))

    assert accept_new_objects(database, settings, 10) == []


def test_a_released_row_is_accepted_with_who_why_and_evidence(desk: Desk, upload: str) -> None:
    moves.release(desk, upload, (1, 6), "maria", "Facebook lead form, signed contract")

    assert rows_of(desk, upload) == {"file": 7, "accepted": 2, "quarantined": 4, "duplicate": 1}
    assert states(desk, upload)["1:6"] == "released"
    frame = read_frame(desk.settings.frames_dir, "valid_leads", upload)
    assert frame["consent_source"].tolist() == ["web_form", "facebook"]
    kept = desk.connection.execute(
        "select codes, released_by, why, released_at is not null from lead_intel.quarantine_releases"
    ).fetchall()
    assert kept == [(["consent_unknown"], "maria", "Facebook lead form, signed contract", True)]
    (entry,) = desk.connection.execute("select stage, body from lead_intel.evidence").fetchall()
    assert entry == ("release", {"file": 1, "line": 6, "codes": ["consent_unknown"]})
    assert evidence.first_break(desk.connection) is None

    moves.release(desk, upload, (1, 6), "maria", "again")
    screen(desk, upload)
    assert rows_of(desk, upload)["accepted"] == 2


@pytest.mark.parametrize(
    ("place", "code"),
    [((1, 4), "release_impossible"), ((1, 8), "release_impossible"), ((1, 2), "row_not_in_quarantine")],
)
def test_nobody_can_vouch_for_a_number_or_an_unread_row(
    desk: Desk, upload: str, place: tuple[int, int], code: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        moves.release(desk, upload, place, "maria", "I know")
    assert refusal.value.code == code
    with pytest.raises(UsageError):
        moves.release(desk, upload, (1, 6), " ", "no name")
    assert rows_of(desk, upload) == BEFORE
    assert quarantine.settled(desk.connection, upload).releases == {}


@pytest.fixture
def policy_that_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: Policy) -> Callable[[str], Policy]:
    """The policy with one more consent source, for this process and in the folder that the assets read."""

    def extend(word: str) -> Policy:
        folder = tmp_path / "policy"
        folder.mkdir()
        for path in (REPOSITORY / "data" / "policy").glob("*.yml"):
            text = path.read_text()
            if path.name == "consent.yml":
                text = text.replace("sources:\n", f"sources:\n  - {{source: {word}, channel: web}}\n", 1)
            (folder / path.name).write_text(text)
        monkeypatch.setenv("LEAD_INTEL_POLICY_DIR", str(folder))
        sources = (*policy.consent.sources, ConsentSource(source=word, channel="web"))
        return policy.model_copy(update={"consent": policy.consent.model_copy(update={"sources": sources})})

    return extend


def test_a_corrected_rule_is_replayed_without_the_original_file(
    desk: Desk, upload: str, settings: Settings, policy_that_knows: Callable[[str], Policy]
) -> None:
    assert moves.replay(desk, upload) == 0
    remove_objects(settings)
    wiser = Desk(settings, policy_that_knows("facebook"), desk.connection, desk.instance, desk.definitions, desk.say)

    assert moves.replay(wiser, upload) == 1

    assert rows_of(desk, upload) == {"file": 7, "accepted": 2, "quarantined": 4, "duplicate": 1}
    assert [row[1] for row in occurrences(desk, upload)] == [2, 6, 9]
    assert moves.replay(wiser, upload) == 0


def remove_objects(settings: Settings) -> None:
    client = create_client(settings.supabase_url, settings.supabase_service_key.get_secret_value())
    objects = client.storage.from_(settings.lead_intel_bucket)
    objects.remove([f"acme/{found['name']}" for found in objects.list("acme")])
    assert objects.list("acme") == []


def test_a_list_that_left_the_bucket_unread_is_not_made_up(desk: Desk, upload: str, settings: Settings) -> None:
    remove_objects(settings)
    desk.connection.execute("update lead_intel.upload_files set rows = rows + 1")
    with pytest.raises(RejectedInput) as refusal:
        screen(desk, upload)
    assert refusal.value.code == "object_missing"


def test_the_asset_fails_when_rows_at_hand_are_not_those_counted(desk: Desk, upload: str) -> None:
    """The frame of the list is there; the count at reading said something else."""
    desk.connection.execute("update lead_intel.upload_files set rows = rows + 1")

    result = dg.materialize(
        [assets.validated, assets.raw_upload.to_source_asset()],
        instance=desk.instance,
        partition_key=upload,
        resources={"surroundings": Surroundings(), "io_manager": FrameIO()},
        raise_on_error=False,
    )

    assert not result.success
    account = account_of(desk.connection, upload)
    assert (account["state"], account["state_reason"]) == ("failed", "balance_broken")
    assert "7 of 8" in str(account["state_message"])
    assert account["rows"] == BEFORE


def test_known_people_keep_every_record_of_consent(desk: Desk, upload: str, tmp_path: Path) -> None:
    path = tmp_path / "second.csv"
    path.write_text(
        "phone,email,consent_source,consent_at\n2125550123,ANN@example.com,jornaya,2026-05-01T10:00:00Z\n"
        "2125550123,,paper_card,\n2125550177,new@example.com,web_form,\n"
    )
    second = receive(desk, path, "other", None).upload
    screen(desk, second)

    assert rows_of(desk, second) == {"file": 3, "accepted": 2, "quarantined": 0, "duplicate": 1}
    kept = desk.connection.execute(
        "select upload = %s, known, duplicate, consent ->> 'consent_source' from lead_intel.upload_leads "
        "where lead_id = (select lead_id from lead_intel.leads where email = 'ann@example.com') order by 1 desc, line",
        (upload,),
    ).fetchall()
    assert kept == [
        (True, False, False, "web_form"),
        (True, False, True, "phone_ivr"),
        (False, True, False, "jornaya"),
        (False, True, True, "paper_card"),
    ]


KILLED = """
import sys
from pathlib import Path
import dagster as dg
from lead_intel.automation import quarantine as moves
from lead_intel.automation.desk import Desk
from lead_intel.policy import load_policy
from lead_intel.record.database import connect
from lead_intel.settings import load_settings

settings = load_settings()

def never():
    print("joined", flush=True)
    sys.stdin.read()

with dg.DagsterInstance.ephemeral() as instance:
    desk = Desk(settings, load_policy(settings.lead_intel_policy_dir), connect(settings), instance, never, print)
    moves.resubmit(desk, sys.argv[1], Path(sys.argv[2]), "ann")
"""


@pytest.mark.slow
def test_killed_between_joining_and_screening_the_correction_is_screened_by_whoever_comes_next(
    desk: Desk, upload: str, tmp_path: Path
) -> None:
    rows = corrected(exported(desk, upload, tmp_path), "3", **{"E-mail": "bob@example.com"})
    path = written(rows, tmp_path / "corrected.csv")
    killed = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), upload, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ.copy(),
    )  # fmt: skip
    assert killed.stdin is not None
    assert killed.stdout is not None
    with killed:
        assert killed.stdout.readline() == "joined\n"
        killed.send_signal(signal.SIGKILL)
    assert quarantine.has_unscreened(desk.connection, upload)
    assert rows_of(desk, upload) == BEFORE

    moves.resubmit(desk, upload, path, "ann")

    assert rows_of(desk, upload) == {"file": 7, "accepted": 2, "quarantined": 4, "duplicate": 1}


@pytest.mark.slow
def test_two_people_at_once_correct_a_row_once(desk: Desk, upload: str, settings: Settings, tmp_path: Path) -> None:
    from lead_intel.record.database import connected

    rows = exported(desk, upload, tmp_path)
    paths = [
        written(corrected(rows, "3", **{"E-mail": f"{who}@example.com"}), tmp_path / f"{who}.csv")
        for who in ("bob", "rob")
    ]
    ended: list[moves.Resubmitted | LeadIntelError] = []

    def correct(path: Path) -> None:
        with connected(settings) as connection:
            own = Desk(settings, desk.policy, connection, desk.instance, intake_alone, lambda sentence: None)
            try:
                ended.append(moves.resubmit(own, upload, path, "ann"))
            except LeadIntelError as error:
                ended.append(error)

    threads = [threading.Thread(target=correct, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    first, second = ended
    assert isinstance(first, moves.Resubmitted)
    assert first.corrected == 1
    assert isinstance(second, RejectedInput)
    assert second.code == "correction_useless"
    assert rows_of(desk, upload) == {"file": 7, "accepted": 2, "quarantined": 4, "duplicate": 1}
