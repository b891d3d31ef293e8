"""DNCScrub's shape: rows, codes, limits, all or nothing."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import Any

import httpx
import pytest

from lead_intel.sandbox.client import Control

COLUMNS = {
    "Phone", "ResultCode", "Reserved", "Reason", "RegionAbbrev", "Country", "Locale", "CarrierInfo",
    "NewReassignedAreaCode", "TZCode", "CallingWindow", "UTCOffset", "DoNotCallToday", "CallingTimeRestrictions",
    "EBRType", "IsWirelessOrVoIP", "LineType",
}  # fmt: skip


@pytest.fixture
def scrub(http: httpx.Client, vendor: dict[str, str]) -> Any:
    def ask(phones: list[str], **params: str) -> httpx.Response:
        return http.post(
            f"{vendor['DNCSCRUB_URL']}/app/main/rpc/scrub",
            data={"phoneList": ",".join(phones), "version": "5", "output": "json", **params},
            headers={"loginId": vendor["DNCSCRUB_LOGIN_ID"]},
        )

    return ask


def test_ten_thousand_numbers_come_back_in_order_with_their_shares(scrub: Any, control: Control) -> None:
    phones = [f"212{2000000 + index}" for index in range(10_000)]
    rows = scrub(phones).json()
    assert [row["Phone"] for row in rows] == phones
    assert all(set(row) == COLUMNS for row in rows)
    codes = Counter(row["ResultCode"] for row in rows)
    assert 0.82 < codes["C"] / 10_000 < 0.89
    assert 0.05 < codes["D"] / 10_000 < 0.08
    assert set(codes) >= set("CDPBWYEOFGHVXS")
    listed = [row["Reason"] for row in rows if row["ResultCode"] == "D"]
    assert "Litigator" in listed
    assert sum(reason.startswith("National (USA) ") and reason.count(";") == 3 for reason in listed) > len(listed) / 2
    assert control.ledger()["dncscrub"] == {"calls": 1, "distinct_keys": 10_000, "paid_calls": 1}


def test_wireless_numbers_of_states_with_limits_get_l(scrub: Any) -> None:
    codes = Counter(row["ResultCode"] for row in scrub([f"713{2000000 + index}" for index in range(3000)]).json())
    assert codes["L"] > 20
    assert codes["W"] == 0


def test_one_bad_number_fails_the_whole_scrub_unless_it_is_to_be_ignored(scrub: Any, control: Control) -> None:
    assert scrub(["2125550123", "12345"]).status_code == 400
    assert control.ledger()["dncscrub"]["paid_calls"] == 0
    rows = scrub(["2125550123|lead-7", "12345", "9995550123"], ignoreInvalid="1").json()
    assert [row["ResultCode"] for row in rows][1:] == ["M", "I"]
    assert rows[0]["Reserved"] == "lead-7"


def test_limits_of_a_scrub(scrub: Any, http: httpx.Client, vendor: dict[str, str]) -> None:
    assert scrub(["2125550123"] * 10_001).status_code == 400
    url, headers = f"{vendor['DNCSCRUB_URL']}/app/main/rpc/scrub", {"loginId": vendor["DNCSCRUB_LOGIN_ID"]}
    for count, status in ((10, 200), (11, 400)):
        phones = ",".join(f"21255501{index:02d}" for index in range(count))
        assert http.get(url, params={"phoneList": phones}, headers=headers).status_code == status


def test_a_wrong_login_is_refused(http: httpx.Client, vendor: dict[str, str]) -> None:
    url = f"{vendor['DNCSCRUB_URL']}/app/main/rpc/scrub"
    assert http.post(url, data={"phoneList": "2125550123"}, headers={"loginId": "wrong"}).status_code == 401


def test_csv_on_request(scrub: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(scrub(["2125550123"], output="csv").text)))
    assert set(rows[0]) == COLUMNS


def test_unknown_codes_and_missing_rows(scrub: Any, control: Control) -> None:
    control.fault("dncscrub", "unknown_code")
    assert scrub(["2125550123"]).json()[0]["ResultCode"] == "Z"
    control.clear_fault("dncscrub")
    control.fault("dncscrub", "missing_rows")
    assert len(scrub(["2125550123", "2125550124"]).json()) == 1


def test_a_rate_limit_says_when_it_is_over(scrub: Any, control: Control) -> None:
    control.trip(4)
    answer = scrub(["2125550123"])
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
    control.clear_trip(4)
    assert scrub(["2125550123"]).status_code == 200
