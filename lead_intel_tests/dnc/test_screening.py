"""Screening against the sandbox's DNC vendor: what is asked, what is paid, and that silence never clears a lead."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import psycopg
import pytest

from lead_intel.contract import DncVerdicts, checked
from lead_intel.dnc.screening import Screening, screen
from lead_intel.dnc.snapshots import ensure_snapshot
from lead_intel.dnc.suppression import suppress_contacts
from lead_intel.errors import Paused, Stopped, UsageError
from lead_intel.policy import Policy
from lead_intel.record import dnc as record
from lead_intel.record.database import connected
from lead_intel.settings import Settings

UPLOAD = "upl_20261124_0123456789"


@dataclass
class Work:
    settings: Settings
    policy: Policy
    connection: psycopg.Connection
    upload: str = UPLOAD
    stop: threading.Event = field(default_factory=threading.Event)
    asked_before_paying: int = 0

    def before_paying(self) -> None:
        self.asked_before_paying += 1

    def progress(self, done: int, total: int) -> None:
        pass


@pytest.fixture
def work(database: psycopg.Connection, settings: Settings, policy: Policy) -> Work:
    ensure_snapshot(database, settings)
    return Work(settings, policy, database)


def leads_of(phones: list[int], **columns: Any) -> pd.DataFrame:
    count = len(phones)
    values: dict[str, Any] = {
        "lead_id": [f"00000000-0000-0000-0000-{number:012d}" for number in range(count)],
        "phone": phones,
        "region": "US",
        "email": [f"person{number}@example.com" for number in range(count)],
        "consent_source": "web_form",
        "consent_at": "2026-10-01T10:00:00Z",
        "consent_url": "https://example.com/form",
        "consent_text": "",
        "consent_ip": "",
        "consent_seller": "Example Inc.",
        "consent_channel": "phone",
        "consent_purpose": "",
    }
    return pd.DataFrame(values | columns)


def lookups_of(phones: list[int], **columns: Any) -> pd.DataFrame:
    values: dict[str, Any] = {
        "phone": sorted(set(phones)),
        "outcome": "ok",
        "valid": True,
        "line_type": "mobile",
        "carrier_name": "Carrier",
        "error_code": 0,
    }
    return pd.DataFrame(values | columns)


def screened(work: Work, leads: pd.DataFrame, profile: str = "strict") -> Screening:
    lookups = lookups_of(leads["phone"].tolist())
    screening = screen(
        work,
        leads,
        lookups,
        profile=profile,  # type: ignore[arg-type]
        supplier="acme",
        before_paying=work.before_paying,
    )
    checked(screening.frame, DncVerdicts)
    return screening


def reasons(screening: Screening) -> set[str]:
    return {reason for text in screening.frame["reasons"] for reason in text.split("|") if reason}


def kept_verdicts(connection: psycopg.Connection) -> dict[str, int]:
    return dict(
        connection.execute(
            "select verdict, count(*) from lead_intel.dnc_verdicts where upload = %s group by verdict", (UPLOAD,)
        ).fetchall()
    )


PHONES = [1_212_555_0100 + number for number in range(60)]


def test_every_lead_gets_a_verdict_that_is_kept(work: Work, sandbox: Any) -> None:
    screening = screened(work, leads_of(PHONES))
    counts = kept_verdicts(work.connection)
    assert counts == screening.frame["verdict"].value_counts().to_dict()
    assert counts["send"] > 40
    listed = screening.frame["reasons"].str.contains("dnc_registry")
    assert listed.sum() >= 1
    assert (screening.frame.loc[listed, "verdict"] == "block").all()
    kept = work.connection.execute(
        "select count(*) from lead_intel.dnc_verdicts where upload = %s and 'dnc_registry' = any(reasons)", (UPLOAD,)
    ).fetchone()
    assert kept == (listed.sum(),)
    assert sandbox.ledger()["dncscrub"]["distinct_keys"] == len(PHONES) - listed.sum()


def test_screening_again_pays_nothing_and_changes_nothing(work: Work, sandbox: Any) -> None:
    first = screened(work, leads_of(PHONES))
    calls = sandbox.ledger()["dncscrub"]["calls"]
    again = screened(work, leads_of(PHONES))
    assert sandbox.ledger()["dncscrub"]["calls"] == calls
    assert (again.asked, again.cached) == (0, first.asked)
    pd.testing.assert_frame_equal(first.frame, again.frame)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("rate_limited", {}),
        ("rate_limited", {"retry_after": 300}),
        ("server_error", {}),
        ("garbage", {}),
        ("empty", {}),
        ("truncated", {}),
        ("drop_after", {}),
    ],
)
def test_a_vendor_that_fails_leaves_its_leads_on_hold(
    work: Work, sandbox: Any, kind: str, options: dict[str, Any]
) -> None:
    vendors = work.policy.vendors
    brief = vendors.vendors["dncscrub"].model_copy(
        update={"deadline_seconds": 1.0, "patience_seconds": 0, "attempts": 2}
    )
    work.policy = work.policy.model_copy(
        update={"vendors": vendors.model_copy(update={"vendors": vendors.vendors | {"dncscrub": brief}})}
    )
    sandbox.fault("dncscrub", kind, **options)
    failed = screened(work, leads_of(PHONES))
    assert "send" not in set(failed.frame["verdict"])
    assert "dnc_no_answer" in reasons(failed)
    sandbox.clear()
    work.upload = "upl_20261124_9876543210"
    assert (screened(work, leads_of(PHONES)).frame["verdict"] == "send").sum() > 40


def test_a_batch_that_takes_longer_than_five_seconds_is_answered_and_paid_once(work: Work, sandbox: Any) -> None:
    sandbox.fault("dncscrub", "slow", seconds=6)
    assert (screened(work, leads_of(PHONES)).frame["verdict"] == "send").sum() > 40
    sandbox.clear()
    work.upload = "upl_20261124_9876543210"
    again = screened(work, leads_of(PHONES))
    assert (again.frame["verdict"] == "send").sum() > 40
    ledger = sandbox.ledger()["dncscrub"]
    assert (again.asked, ledger["paid_calls"]) == (0, 1)


def test_a_number_without_a_row_in_the_answer_is_held(work: Work, sandbox: Any) -> None:
    sandbox.fault("dncscrub", "missing_rows", every_row=2)
    screening = screened(work, leads_of(PHONES))
    held = screening.frame["reasons"] == "dnc_no_answer"
    assert 20 < held.sum() < 40
    assert (screening.frame.loc[held, "verdict"] == "hold").all()


def test_an_unknown_code_blocks(work: Work, sandbox: Any) -> None:
    sandbox.fault("dncscrub", "unknown_code")
    screening = screened(work, leads_of(PHONES))
    assert set(screening.frame["verdict"]) == {"block"}
    assert "dnc_vendor_unknown_code" in reasons(screening)


def test_refused_credentials_pause_and_keep_the_verdicts_of_before(work: Work, sandbox: Any) -> None:
    sandbox.fault("dncscrub", "unauthorized")
    with pytest.raises(Paused) as paused:
        screened(work, leads_of(PHONES))
    assert paused.value.code == "credentials"
    assert kept_verdicts(work.connection) == {}


def test_leads_that_no_answer_could_free_are_not_asked_about(work: Work, sandbox: Any) -> None:
    bare = leads_of(PHONES, consent_at="", consent_url="", consent_seller="", consent_channel="")
    screening = screened(work, bare)
    assert reasons(screening) <= {"consent_evidence_missing", "dnc_registry"}
    assert sandbox.ledger()["dncscrub"]["calls"] == 0
    assert (screened(work, bare, "lenient").frame["verdict"] == "send").sum() > 40


def test_an_opt_out_blocks_at_once_in_whatever_form_it_came(work: Work, sandbox: Any, tmp_path: Any) -> None:
    opt_outs = tmp_path / "stop.txt"
    opt_outs.write_text("(212) 555-0101\n\nPERSON2@Example.com\n+1 212 555 0103\n")
    assert suppress_contacts(work.connection, work.settings, str(opt_outs), "stop", "sms") == 3
    assert suppress_contacts(work.connection, work.settings, "2125550101", "stop", "sms") == 0
    frame = screened(work, leads_of(PHONES[:6])).frame
    assert frame["reasons"].str.contains("suppressed_phone").tolist() == [False, True, False, True, False, False]
    assert frame["reasons"].str.contains("suppressed_email").tolist() == [False, False, True, False, False, False]
    assert set(frame["verdict"][1:4]) == {"block"}


def test_opt_outs_that_cannot_be_read_are_named_by_line_and_the_others_count(work: Work, tmp_path: Any) -> None:
    opt_outs = tmp_path / "stop.txt"
    opt_outs.write_text("2125550101\nnobody\n2125550103\n")
    with pytest.raises(UsageError) as strange:
        suppress_contacts(work.connection, work.settings, str(opt_outs), "stop", "sms")
    assert "Line 2 " in strange.value.message
    assert "nobody" not in str(strange.value)
    assert suppress_contacts(work.connection, work.settings, "212-555-0103", "stop", "sms") == 0


def test_without_any_list_everybody_is_held(database: psycopg.Connection, settings: Settings, policy: Policy) -> None:
    work = Work(settings, policy, database)
    screening = screened(work, leads_of(PHONES))
    assert set(screening.frame["verdict"]) == {"hold"}
    assert reasons(screening) == {"dnc_list_missing"}


def test_an_answer_found_again_in_the_call_ledger_does_not_become_younger(work: Work, sandbox: Any) -> None:
    screened(work, leads_of(PHONES))
    work.connection.execute("update lead_intel.vendor_calls set answered_at = now() - interval '3 days'")
    work.connection.execute("delete from lead_intel.dnc_answers")
    again = screened(work, leads_of(PHONES))
    assert sandbox.ledger()["dncscrub"]["calls"] == 1
    left = again.frame.loc[again.frame["verdict"] == "send", "fresh_until"] - pd.Timestamp.now("UTC")
    assert left.max() < pd.Timedelta(days=4)


def test_the_guardrail_is_asked_once_and_only_when_an_answer_is_to_be_bought(work: Work) -> None:
    screened(work, leads_of(PHONES, consent_at="", consent_url="", consent_seller="", consent_channel=""))
    assert work.asked_before_paying == 0
    screened(work, leads_of(PHONES))
    screened(work, leads_of(PHONES))
    assert work.asked_before_paying == 1


def test_two_uploads_that_lack_the_same_answers_at_the_same_time_buy_them_once(work: Work, sandbox: Any) -> None:
    sandbox.fault("dncscrub", "slow", seconds=0.5)
    # They share forty numbers, in batches that differ.
    lists = [leads_of(PHONES[:50]), leads_of(PHONES[10:])]
    with connected(work.settings) as one, connected(work.settings) as another, ThreadPoolExecutor() as threads:
        uploads = [
            Work(work.settings, work.policy, one),
            Work(work.settings, work.policy, another, upload="upl_20261124_9876543210"),
        ]
        first, second = threads.map(screened, uploads, lists)
    numbers = sandbox.ledger()["dncscrub"]["distinct_keys"]
    assert first.asked + second.asked == numbers
    paid = work.connection.execute("select sum(price) from lead_intel.vendor_calls").fetchone()
    assert paid == (numbers * work.policy.limits_of("dncscrub").price_usd,)
    assert sum(1 for screening in (first, second) if screening.cached) == 1
    assert "dnc_no_answer" not in reasons(first) | reasons(second)


def test_a_stop_is_obeyed_while_another_upload_buys(work: Work) -> None:
    with record.buying_alone(work.settings, threading.Event()):
        threading.Timer(0.3, work.stop.set).start()
        with pytest.raises(Stopped):
            screened(work, leads_of(PHONES))
    work.stop.clear()
    assert (screened(work, leads_of(PHONES)).frame["verdict"] == "send").any()


def test_verdicts_and_the_profile_they_were_given_under_are_kept_together(work: Work) -> None:
    work.connection.execute(
        "insert into lead_intel.lead_ingestions (upload, supplier, sha256, profile) "
        "values (%s, 'acme', 'x', 'lenient')",
        (UPLOAD,),
    )
    sent = screened(work, leads_of(PHONES), "lenient").frame.query("verdict == 'send'")
    row = work.connection.execute("select profile_screened from lead_intel.lead_ingestions").fetchone()
    assert row == ("lenient",)
    assert set(record.sendable(work.connection, UPLOAD)) == set(sent["lead_id"])
    # Another profile is chosen, and nobody has screened since.
    work.connection.execute("update lead_intel.lead_ingestions set profile = 'strict'")
    assert record.sendable(work.connection, UPLOAD).empty


def test_a_verdict_that_ran_out_counts_no_more(work: Work) -> None:
    work.connection.execute(
        "insert into lead_intel.lead_ingestions (upload, supplier, sha256) values (%s, 'acme', 'x')", (UPLOAD,)
    )
    screened(work, leads_of(PHONES))
    assert not record.has_stale_send(work.connection, UPLOAD)
    work.connection.execute("update lead_intel.dnc_verdicts set fresh_until = now() - interval '1 second'")
    assert record.has_stale_send(work.connection, UPLOAD)
    assert record.sendable(work.connection, UPLOAD).empty
