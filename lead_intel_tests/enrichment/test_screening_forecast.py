"""The forecast of a screening, against what the screening is then seen to ask and pay at the sandbox."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import psycopg
import pytest
import yaml

from lead_intel.enrichment.affordable import Demand, first_stop
from lead_intel.enrichment.forecast import forecast
from lead_intel.lookup.lookup import look_up
from lead_intel.policy import LineType, LookupPackage, Policy
from lead_intel.record.frames import write_frame
from lead_intel.record.spend import Left
from lead_intel.settings import REPOSITORY, Settings

UPLOAD = "upl_20261124_ffffffffff"
PHONES = [12125200000 + n for n in range(50)]
EVERY_TYPE = get_args(LineType)


@pytest.fixture
def upload(database: psycopg.Connection, settings: Settings) -> str:
    database.execute(
        "insert into lead_intel.lead_ingestions (upload, supplier, sha256) values (%s, 'acme', 'x')", (UPLOAD,)
    )
    write_frame(settings.frames_dir, "valid_leads", UPLOAD, pd.DataFrame({"phone": [*PHONES, PHONES[0]]}))
    return UPLOAD


def with_packages(policy: Policy, *, named: tuple[str, ...], in_service: tuple[str, ...]) -> Policy:
    """Both further packages, at prices that are not the line type's."""
    further = {
        "caller_name": LookupPackage(price_usd=Decimal("0.010"), cache_days=90, line_types=named),  # type: ignore[arg-type]
        "line_status": LookupPackage(price_usd=Decimal("0.005"), cache_days=1, line_types=in_service),  # type: ignore[arg-type]
    }
    return policy.model_copy(update={"lookup": policy.lookup.model_copy(update={"further_packages": further})})


@pytest.fixture
def ask(database: psycopg.Connection, settings: Settings, upload: str) -> Callable[[list[int], Policy], None]:
    def look(phones: list[int], policy: Policy) -> None:
        look_up(
            pd.Series(phones, dtype="int64"),
            database,
            settings=settings,
            policy=policy,
            upload=upload,
            supplier="acme",
            stop=threading.Event(),
            progress=lambda done, total: None,
            before_paying=lambda: None,
        )

    return look


def paid_by_package(sandbox: Any) -> Counter[str]:
    return Counter(call["note"]["fields"][0] for call in sandbox.calls("twilio_lookup") if call["paid"])


def settled(database: psycopg.Connection) -> Decimal:
    row: Any = database.execute("select settled from lead_intel.spend_budgets where scope = 'upload'").fetchone()
    return Decimal(row[0])


def test_every_package_that_policy_chooses_is_forecast_as_it_is_then_paid(
    upload: str, ask: Any, database: psycopg.Connection, settings: Settings, policy: Policy, sandbox: Any
) -> None:
    chosen = with_packages(policy, named=EVERY_TYPE, in_service=EVERY_TYPE)
    lookup = forecast(database, settings, chosen, upload, 100)["by_vendor"]["twilio_lookup"]

    ask(PHONES, chosen)

    assert lookup["calls"] == sandbox.ledger()["twilio_lookup"]["paid_calls"] == 3 * len(PHONES)
    assert {name: part["calls"] for name, part in lookup["packages"].items()} == paid_by_package(sandbox)
    assert lookup["cost"] == settled(database) == len(PHONES) * Decimal("0.023")
    after = forecast(database, settings, chosen, upload, 100)["by_vendor"]["twilio_lookup"]
    assert (after["calls"], after["cost"], after["cached"]) == (0, 0, 3 * len(PHONES))
    assert after["already_paid"] == settled(database)


def test_a_package_is_forecast_only_for_numbers_that_are_or_may_be_of_its_line_types(
    upload: str, ask: Any, database: psycopg.Connection, settings: Settings, policy: Policy, sandbox: Any
) -> None:
    """Line types that are known decide exactly; where nobody has told them, the forecast is the most it can cost."""
    chosen = with_packages(policy, named=("mobile", "landline"), in_service=("mobile",))
    unknown = forecast(database, settings, chosen, upload, 100)["by_vendor"]["twilio_lookup"]
    ask(PHONES, policy)
    line_types = paid_by_package(sandbox)
    lookup = forecast(database, settings, chosen, upload, 100)["by_vendor"]["twilio_lookup"]
    before = settled(database)

    ask(PHONES, chosen)

    asked = paid_by_package(sandbox) - line_types
    assert {name: part["calls"] for name, part in lookup["packages"].items()} == {
        "line_type_intelligence": 0,
        **asked,
    }
    assert 0 < asked["line_status"] < asked["caller_name"] < len(PHONES)
    assert lookup["calls"] == asked.total() < unknown["calls"] == 3 * len(PHONES)
    assert lookup["cost"] == settled(database) - before
    assert unknown["cost"] >= settled(database)


def test_stages_that_run_one_after_the_other_take_the_sum_of_their_seconds(
    upload: str, database: psycopg.Connection, settings: Settings, policy: Policy
) -> None:
    slow = {
        name: policy.limits_of(name).model_copy(update={"per_second": pace})
        for name, pace in (("twilio_lookup", 5.0), ("dncscrub", 0.001))
    }
    vendors = policy.vendors.model_copy(update={"vendors": {**policy.vendors.vendors, **slow}})
    chosen = with_packages(policy.model_copy(update={"vendors": vendors}), named=EVERY_TYPE, in_service=EVERY_TYPE)

    told = forecast(database, settings, chosen, upload, 100)

    # Three packages of fifty numbers at 5 a second, then fifty numbers at ten a second.
    assert [told["by_vendor"][name]["seconds"] for name in ("twilio_lookup", "dncscrub")] == [30.0, 5.0]
    assert told["seconds"] == 35.0


def test_money_that_runs_out_during_lookup_leaves_no_call_for_the_vendor_that_comes_after() -> None:
    lookup = Demand("lookup", 100, Decimal("0.01"), 10)
    scrub = Demand("scrub", 1000, Decimal("0.001"), 10_000, starts=lookup.ends)
    stop = first_stop([lookup, scrub], [Left("day", None, Decimal("0.50"), Decimal("0.50"))])
    assert stop is not None
    assert 50 <= stop["calls"] <= 51


def test_the_command_shows_each_package_with_its_price(
    upload: str, database: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: Any
) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    for file in (REPOSITORY / "data" / "policy").glob("*.yml"):
        (folder / file.name).write_text(file.read_text())
    asked = yaml.safe_load((folder / "lookup.yml").read_text())
    asked["further_packages"] = {"caller_name": {"price_usd": "0.011", "cache_days": 90, "line_types": ["mobile"]}}
    (folder / "lookup.yml").write_text(yaml.safe_dump(asked))
    monkeypatch.setenv("LEAD_INTEL_POLICY_DIR", str(folder))
    monkeypatch.setenv("COLUMNS", "200")

    command = [str(Path(sys.executable).with_name("lead-intel")), "forecast", upload, "--sample", "10"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert shown.returncode == 0, shown.stderr
    (row,) = [line for line in shown.stdout.splitlines() if "twilio_lookup caller_name" in line]
    assert "$0.011" in row
    assert "50" in row
