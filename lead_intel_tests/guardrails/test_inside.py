"""Guardrails that look into the record: rows in, verdicts out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest

from lead_intel.columns import header_fingerprint
from lead_intel.guardrails.evaluate import evaluate
from lead_intel.guardrails.inputs import Inputs, gather
from lead_intel.guardrails.result import GuardrailResult
from lead_intel.policy import Policy
from lead_intel.record import dnc, ingestions, layouts, upload_files
from lead_intel.record.upload_files import StoredObject
from lead_intel.settings import Settings, load_settings
from lead_intel.uploads import State


@pytest.fixture
def inputs(settings: Settings, policy: Policy) -> Inputs:
    return Inputs(settings, policy)


@pytest.fixture
def upload(database: psycopg.Connection) -> str:
    stored = StoredObject("lead-uploads", "acme/list.csv", "v1", "list.csv", 10, "sha")
    return upload_files.accept(database, stored, "acme").upload


def _one(number: int, inputs: Inputs) -> GuardrailResult:
    (result,) = evaluate([number], inputs)
    return result


def _about(
    upload: str, number: int, settings: Settings, policy: Policy, connection: psycopg.Connection
) -> GuardrailResult:
    return _one(number, gather(settings, policy, connection, upload))


def _call(
    connection: psycopg.Connection,
    vendor: str,
    outcome: str,
    *,
    seconds: float = 0.1,
    age: float = 0,
    upload: str = "-",
) -> None:
    connection.execute(
        "insert into lead_intel.vendor_calls (vendor, package, subject, upload, supplier, price, outcome, billed, "
        "seconds, answered_at) values (%s, 'p', 's', %s, 'acme', 0.01, %s, 'no', %s, "
        "now() - make_interval(secs => %s))",
        (vendor, upload, outcome, seconds, age),
    )


def _snapshot(connection: psycopg.Connection, age_days: int, area_codes: Sequence[int] = (212, 415)) -> None:
    dnc.add_snapshot(
        connection,
        digest=uuid4().hex,
        source="test",
        jurisdiction="US",
        version_date=dnc.today(connection) - timedelta(days=age_days),
        numbers=10,
        area_codes=list(area_codes),
        path="dnc/x",
    )


def _lead(connection: psycopg.Connection, upload: str, phone: int, line: int) -> None:
    lead = uuid4()
    connection.execute(
        "insert into lead_intel.leads (lead_id, phone, first_upload) values (%s, %s, %s)", (lead, phone, upload)
    )
    connection.execute(
        "insert into lead_intel.upload_leads (upload, file_no, line, lead_id, duplicate, known, shared_phone, "
        "consent, attributes) values (%s, 1, %s, %s, false, false, false, '{}', '{}')",
        (upload, line, lead),
    )


def _looked_up(connection: psycopg.Connection, phone: int, line_type: str, carrier: str | None) -> None:
    connection.execute(
        "insert into lead_intel.phone_lookups (phone, package, outcome, valid, line_type, carrier_name) "
        "values (%s, 'line_type_intelligence', 'ok', true, %s, %s)",
        (phone, line_type, carrier),
    )


# 3: what paid calls were told about the package ---------------------------------------------------


def test_a_package_that_was_just_refused_stops_lookup(database: psycopg.Connection, inputs: Inputs) -> None:
    for outcome in ("auth", "quota"):
        _call(database, "twilio_lookup", outcome)
        result = _one(3, inputs)
        assert result.state == "failed"
        assert outcome in result.seen
        assert "15 s after the refusal" in result.remedy


def test_a_refusal_does_not_block_the_call_that_would_find_it_lifted(
    database: psycopg.Connection, inputs: Inputs
) -> None:
    _call(database, "twilio_lookup", "quota", age=60)
    result = _one(3, inputs)
    assert result.state == "passed"
    assert "refused 1 times in the last hour" in result.seen


def test_a_later_answer_outweighs_a_refusal(database: psycopg.Connection, inputs: Inputs) -> None:
    _call(database, "twilio_lookup", "quota", age=2)
    _call(database, "twilio_lookup", "ok", age=1)
    assert _one(3, inputs).state == "passed"


# 4: do-not-call answers ---------------------------------------------------------------------------


def test_without_a_list_nothing_is_cleared(inputs: Inputs) -> None:
    assert _one(4, inputs).state == "failed"


def test_a_list_is_fresh_for_31_days_of_its_own_date(database: psycopg.Connection, inputs: Inputs) -> None:
    for age, state in ((32, "failed"), (31, "passed"), (0, "passed")):
        _snapshot(database, age)
        result = _one(4, inputs)
        assert result.state == state
        assert result.figures["list_age_days"] == age


def test_a_newer_import_of_an_older_list_does_not_count(database: psycopg.Connection, inputs: Inputs) -> None:
    _snapshot(database, 3)
    _snapshot(database, 40)
    assert _one(4, inputs).state == "passed"


def test_a_list_that_covers_nothing_fails(database: psycopg.Connection, inputs: Inputs) -> None:
    _snapshot(database, 0, ())
    assert _one(4, inputs).state == "failed"


def test_leads_outside_the_lists_area_codes_are_counted(
    database: psycopg.Connection, settings: Settings, policy: Policy, upload: str
) -> None:
    _snapshot(database, 0)
    for line, phone in enumerate((12125550100, 14155550100, 13035550100, 13035550101, 442071234567), start=1):
        _lead(database, upload, phone, line)
    result = _about(upload, 4, settings, policy, database)
    assert result.state == "passed"
    assert result.figures["leads_not_covered"] == 2


def test_the_vendors_rate_limit_holds_and_passes_by_itself(database: psycopg.Connection, inputs: Inputs) -> None:
    _snapshot(database, 0)
    _call(database, "dncscrub", "rate_limited", age=60)
    assert _one(4, inputs).state == "passed"
    _call(database, "dncscrub", "rate_limited", age=1)
    result = _one(4, inputs)
    assert result.state == "failed"
    assert result.figures["rate_limited_last_hour"] == 2


# 5: enrichment times ------------------------------------------------------------------------------


def test_without_calls_there_is_no_time_to_judge(inputs: Inputs) -> None:
    assert _one(5, inputs).state == "not_applicable"


def test_a_slow_vendor_is_named_with_its_figures_and_the_others_are_not(
    database: psycopg.Connection, settings: Settings, policy: Policy, upload: str
) -> None:
    for index in range(20):
        _call(database, "zerobounce", "ok", seconds=0.1 + index / 100, upload=upload)
        _call(database, "trestle", "timeout" if index < 4 else "ok", seconds=5.0 if index < 4 else 0.2, upload=upload)
    _call(database, "people_data_labs", "timeout", seconds=5.0, upload="another")
    result = _about(upload, 5, settings, policy, database)
    assert result.state == "failed"
    assert "trestle: 4 of 20 calls late" in result.seen
    assert "zerobounce" not in result.seen
    assert "people_data_labs" not in result.seen
    assert (result.figures["trestle_p95_s"], result.figures["trestle_p100_s"]) == (5.0, 5.0)
    assert result.figures["zerobounce_p50_s"] == pytest.approx(0.19)


def test_one_late_call_in_many_keeps_the_limit(database: psycopg.Connection, inputs: Inputs) -> None:
    for index in range(40):
        _call(database, "trestle", "ok", seconds=6 if index == 0 else 0.2)
    assert _one(5, inputs).state == "passed"


# 6: carriers --------------------------------------------------------------------------------------


def test_only_line_types_that_have_carriers_are_counted(
    database: psycopg.Connection, settings: Settings, policy: Policy, upload: str
) -> None:
    for index in range(20):
        phone = 12125550100 + index
        _lead(database, upload, phone, index + 1)
        _looked_up(database, phone, "tollFree" if index < 15 else "mobile", None if index < 15 else "A carrier")
    result = _about(upload, 6, settings, policy, database)
    assert result.state == "passed"
    assert (result.figures["numbers"], result.figures["unknown"]) == (5, 0)


def test_past_policys_share_of_unknown_carriers_it_fails(
    database: psycopg.Connection, settings: Settings, policy: Policy, upload: str
) -> None:
    for index in range(10):
        phone = 12125550100 + index
        _lead(database, upload, phone, index + 1)
        _looked_up(database, phone, "mobile", (None, "", "unknown")[index % 3] if index < 7 else "A carrier")
    _looked_up(database, 13035550100, "mobile", "another upload's")
    result = _about(upload, 6, settings, policy, database)
    assert result.state == "failed"
    assert result.figures["unknown_share"] == 0.7


def test_a_short_list_with_few_unknown_carriers_says_nothing(database: psycopg.Connection, inputs: Inputs) -> None:
    for index in range(4):
        _looked_up(database, 12125550100 + index, "mobile", None)
    assert _one(6, inputs).state == "passed"


# 9: the sample ------------------------------------------------------------------------------------


def test_a_sample_of_nothing_cannot_be_activated(
    database: psycopg.Connection, settings: Settings, policy: Policy, upload: str
) -> None:
    for percent, ready, state in (
        (None, False, "not_applicable"),
        (None, True, "failed"),
        ("0", False, "not_applicable"),
        ("0", True, "failed"),
        ("0.01", True, "passed"),
        ("25", False, "passed"),
    ):
        if percent is not None:
            ingestions.set_sample_percent(database, upload, Decimal(percent))
        ingestions.set_activation_ready(database, upload, ready=ready)
        assert (percent, ready, _about(upload, 9, settings, policy, database).state) == (percent, ready, state)


def test_without_an_upload_they_are_not_applicable(inputs: Inputs) -> None:
    assert {result.state for result in evaluate([2, 9], inputs)} == {"not_applicable"}


# 2: columns ---------------------------------------------------------------------------------------


def _with_headers(
    upload: str, headers: tuple[str, ...] | None, settings: Settings, policy: Policy, connection: psycopg.Connection
) -> GuardrailResult:
    return _one(2, Inputs(settings, policy, ingestions.find(connection, upload), headers))


def test_columns_under_other_names_are_found(
    database: psycopg.Connection, settings: Settings, policy: Policy, upload: str
) -> None:
    headers = ("file_no", "line", "Mobile Phone", "E-Mail", "consent_source", "pet")
    result = _with_headers(upload, headers, settings, policy, database)
    assert result.state == "passed"
    assert (result.figures["mapped"], result.figures["attributes"]) == (3, 1)


def test_missing_columns_are_named(
    database: psycopg.Connection, settings: Settings, policy: Policy, upload: str
) -> None:
    result = _with_headers(upload, ("phone", "name"), settings, policy, database)
    assert result.state == "failed"
    assert "email, consent_source" in result.seen
    assert result.figures["code"] == "column_missing"


def test_ambiguous_columns_are_named(
    database: psycopg.Connection, settings: Settings, policy: Policy, upload: str
) -> None:
    headers = ("tel", "mobile", "email", "consent_source")
    result = _with_headers(upload, headers, settings, policy, database)
    assert result.state == "failed"
    assert "phone: tel, mobile" in result.seen


def test_a_mapping_that_a_person_confirmed_for_the_layout_counts(
    database: psycopg.Connection, settings: Settings, policy: Policy, upload: str
) -> None:
    headers = ("Rufnummer", "email", "consent_source")
    assert _with_headers(upload, headers, settings, policy, database).state == "failed"
    layouts.remember_mapping(
        database,
        "acme",
        header_fingerprint(headers),
        {"rufnummer": "phone", "email": "email", "consentsource": "consent_source"},
        confirmed_by="ann",
    )
    assert _with_headers(upload, headers, settings, policy, database).state == "passed"


def test_a_list_not_read_yet_is_not_applicable_but_one_that_should_be_there_fails(
    database: psycopg.Connection, settings: Settings, policy: Policy, upload: str
) -> None:
    assert _with_headers(upload, None, settings, policy, database).state == "not_applicable"
    ingestions.set_state(database, upload, State.SCREENING)
    result = _with_headers(upload, None, settings, policy, database)
    assert result.state == "failed"
    assert "code" not in result.figures


# 10: the replica ----------------------------------------------------------------------------------


def test_without_a_replica_there_is_no_lag_to_speak_of(inputs: Inputs) -> None:
    result = _one(10, inputs)
    assert result.state == "not_applicable"
    assert not any("lag" in figure for figure in result.figures)


def test_a_replica_that_shows_the_heartbeat_passes(
    database: psycopg.Connection, policy: Policy, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAD_INTEL_REPLICA_URL", settings.database_url.get_secret_value())
    result = _one(10, Inputs(load_settings(), policy))
    assert result.state == "passed"
    assert float(result.figures["lag_s"]) < 2


def test_a_replica_that_does_not_answer_fails(
    policy: Policy, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAD_INTEL_REPLICA_URL", "postgresql://nobody:secret-word@127.0.0.1:1/none")
    result = _one(10, Inputs(load_settings(), policy))
    assert result.state == "failed"
    assert "secret-word" not in str(result)


@pytest.fixture
def frozen_replica(
    database: psycopg.Connection, cluster: object, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> psycopg.Connection:
    """A second database that shows what the first held once, and nothing since: a replica whose link is cut."""
    name = settings.database_url.get_secret_value().rsplit("/", 1)[1].split("?")[0]
    url = settings.database_url.get_secret_value().replace(name, f"{name}_replica")
    with psycopg.connect(cluster.url_of("postgres"), autocommit=True) as maintenance:  # type: ignore[attr-defined]
        maintenance.execute(f'create database "{name}_replica" template lead_intel_template strategy wal_log')
    monkeypatch.setenv("LEAD_INTEL_REPLICA_URL", url)
    return psycopg.connect(url, autocommit=True)


def _beat(connection: psycopg.Connection, age: float) -> None:
    connection.execute(
        "insert into lead_intel.replication_heartbeats values (now() - make_interval(secs => %s))", (age,)
    )


def test_a_cut_replica_with_a_heartbeat_unseen_for_too_long_fails_with_a_lower_bound(
    database: psycopg.Connection, frozen_replica: psycopg.Connection, policy: Policy
) -> None:
    _beat(database, 300)
    _beat(frozen_replica, 600)
    result = _one(10, Inputs(load_settings(), policy))
    frozen_replica.close()
    assert result.state == "failed"
    assert "lags at least 30" in result.seen
    assert float(result.figures["lag_at_most_s"]) == pytest.approx(602, abs=3)


def test_a_replica_that_shows_nothing_while_no_standby_is_connected_fails(
    frozen_replica: psycopg.Connection, policy: Policy
) -> None:
    result = _one(10, Inputs(load_settings(), policy))
    frozen_replica.close()
    assert result.state == "failed"
    assert "no standby" in result.seen
    assert result.figures["standbys"] == 0
