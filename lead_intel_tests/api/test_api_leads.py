"""`POST /v1/leads` over HTTP: who may post, what is taken, what is refused, and that a retry adds nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import psycopg
import pytest

from lead_intel.record import api_keys

Lead = Callable[..., dict[str, Any]]


def rows_in(database: psycopg.Connection) -> int:
    row = database.execute("select coalesce(sum(rows), 0) from lead_intel.api_uploads").fetchone()
    assert row is not None
    return int(row[0])


def problem(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), reply.text
    content: dict[str, Any] = reply.json()
    assert (content["status"], content["code"]) == (status, code)
    assert content["type"] == f"urn:lead-intel:problem:{code}"
    return content


def test_rows_are_taken_and_the_answer_says_where(acme: Any, make_lead: Lead, database: psycopg.Connection) -> None:
    reply = acme.post([make_lead(1), make_lead(2)])

    assert reply.status_code == 202, reply.text
    answer = reply.json()
    assert (answer["rows"], answer["first_row"], answer["last_row"], answer["missing"]) == (2, 1, 2, [])
    assert reply.headers["location"] == answer["status"] == f"/v1/uploads/{answer['upload']}"
    assert acme.get(answer["status"]).json()["posted"]["rows"] == 2
    assert rows_in(database) == 2


def test_lines_of_json_are_taken_too(acme: Any, make_lead: Lead) -> None:
    text = "\n".join(json.dumps(make_lead(n)) for n in range(3)) + "\n\n"
    reply = acme.post(text, content_type="application/x-ndjson; charset=utf-8")
    assert (reply.status_code, reply.json()["rows"]) == (202, 3)


def test_posts_of_one_supplier_collect_in_one_upload_and_other_suppliers_have_their_own(
    acme: Any, new_key: Callable[..., str], make_lead: Lead
) -> None:
    first, second = acme.post([make_lead(1)]).json(), acme.post([make_lead(2)]).json()
    assert first["upload"] == second["upload"]
    assert second["first_row"] == 2
    acme.key = new_key("globex")
    other = acme.post([make_lead(3)]).json()
    assert other["upload"] != first["upload"]
    assert acme.get(first["status"]).status_code == 404
    assert acme.get("/v1/uploads/upl_20260101_0000000000").status_code == 404
    assert acme.get("/v1/uploads/%27;drop").status_code == 404


def test_without_a_good_key_nothing_is_taken(acme: Any, make_lead: Lead) -> None:
    for authorization in ("", "Bearer", "Bearer x", "Basic eDp5", "Bearer li_0123456789_" + "A" * 43):
        reply = acme.post([make_lead()], authorization=authorization)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert reply.headers["content-type"] == "application/problem+json"


def test_a_key_that_is_revoked_or_expired_is_refused_at_once(
    acme: Any, new_key: Callable[..., str], make_lead: Lead, database: psycopg.Connection
) -> None:
    assert acme.post([make_lead()]).status_code == 202
    api_keys.revoke(database, acme.key.split("_")[1])
    problem(acme.post([make_lead()]), 401, "key_invalid")
    acme.key = new_key(days=0)
    problem(acme.post([make_lead()]), 401, "key_invalid")
    problem(acme.get("/v1/leads/status"), 401, "key_invalid")


def test_keys_rest_as_digests_only(acme: Any, database: psycopg.Connection) -> None:
    secret = acme.key.split("_", 2)[2]
    (stored,) = database.execute("select row_to_json(k)::text from lead_intel.api_keys k").fetchall()
    assert secret not in stored[0]
    assert secret.encode().hex() not in stored[0]


def test_a_suspended_supplier_is_forbidden(
    with_limits: Callable[..., None],
    server: Callable[[], AbstractContextManager[str]],
    new_key: Callable[..., str],
    make_lead: Lead,
) -> None:
    with_limits(suspended=["acme"])
    with server() as url:
        reply = httpx.post(f"{url}/v1/leads", json=[make_lead()], headers={"authorization": f"Bearer {new_key()}"})
    problem(reply, 403, "supplier_suspended")


def test_any_name_serves_a_key_and_no_origin_is_ever_allowed(acme: Any, make_lead: Lead) -> None:
    reply = acme.post([make_lead()], host="leads.example.com", origin="https://evil.example")
    assert reply.status_code == 202
    assert not [name for name in reply.headers if name.startswith("access-control")]
    asked = httpx.options(f"{acme.url}/v1/leads", headers={"origin": "https://evil.example"})
    assert asked.status_code in (404, 405)
    assert not [name for name in asked.headers if name.startswith("access-control")]


REFUSED: list[tuple[bytes, int, str]] = [
    (b"", 400, "json_invalid"),
    (b"{}", 400, "json_invalid"),
    (b"[", 400, "json_invalid"),
    (b'[{"phone":"1"}', 400, "json_invalid"),
    (b'[{"phone":"1"},]', 400, "json_invalid"),
    (b'[{"phone":"1"}{"phone":"2"}]', 400, "json_invalid"),
    (b'[{"phone":"1"}] x', 400, "json_invalid"),
    (b'[{"phone":NaN}]', 400, "json_not_strict"),
    (b'[{"phone":-Infinity}]', 400, "json_not_strict"),
    (b'[{"phone":"1","phone":"2"}]', 400, "json_not_strict"),
    (b'[{"phone":"1","x":{"a":1,"a":2}}]', 400, "json_not_strict"),
    (b'[{"phone":"\xff"}]', 400, "not_utf8"),
    (b"[]", 422, "no_rows"),
    (b'["phone"]', 422, "row_not_object"),
    (b"[{}]", 422, "row_blank"),
    (b'[{"phone":" ","email":null}]', 422, "row_blank"),
    (b'[{"phone":"1\\u0000"}]', 422, "control_character"),
    (b'[{"phone":"\\ud800"}]', 422, "control_character"),
    (b'[{"a,b":"1"}]', 422, "field_name"),
    (b'[{" ":"1"}]', 422, "field_name"),
    (b'[{"phone":"1","Phone ":"2"}]', 422, "column_ambiguous"),
    (b'[{"phone":"1"},{"mobile":"2"}]', 422, "column_ambiguous"),
    ('[{"ph\u043ene":"1"}]'.encode(), 422, "column_lookalike"),
    (b'[{"phone":"1","x":' + b"[" * 20 + b"]" * 20 + b"}]", 422, "nested_too_deep"),
    (b'[{"phone":"1","x":' + b"[" * 30000 + b"]" * 30000 + b"}]", 422, "nested_too_deep"),
    (b'[{"phone":"' + b"1" * 70_000 + b'"}]', 413, "row_too_large"),
    (b'[{"phone":"' + b"1" * 200_000, 413, "row_too_large"),
    (b"[" + b",".join([b'{"phone":"1"}'] * 5001) + b"]", 413, "too_many_rows"),
    (json.dumps([{f"f{n}": "1" for n in range(101)}]).encode(), 422, "too_many_fields"),
]


def test_a_body_that_is_not_whole_and_strict_is_refused_whole(acme: Any, database: psycopg.Connection) -> None:
    for body, status, code in REFUSED:
        reply = acme.post(body)
        assert (reply.status_code, reply.json()["code"]) == (status, code), body[:60]
        problem(reply, status, code)
    assert rows_in(database) == 0


def test_one_bad_line_refuses_the_whole_request(acme: Any, make_lead: Lead, database: psycopg.Connection) -> None:
    text = json.dumps(make_lead(1)) + '\n{"phone":"1"} {"phone":"2"}\n'
    problem(acme.post(text, content_type="application/x-ndjson"), 400, "json_invalid")
    problem(acme.post('{"phone":\n"1"}\n', content_type="application/x-ndjson"), 400, "json_invalid")
    assert rows_in(database) == 0


def test_a_body_beyond_the_cap_is_refused_before_and_while_it_comes(acme: Any, make_lead: Lead) -> None:
    problem(acme.post(b" " * 8_388_609), 413, "body_too_large")

    def endless():  # type: ignore[no-untyped-def]
        yield b"["
        for _ in range(200):
            yield b" " * 65_536
        yield b"]"

    reply = httpx.post(f"{acme.url}/v1/leads", content=endless(), headers=acme.headers(), timeout=30)
    problem(reply, 413, "body_too_large")


def test_other_types_and_codings_are_refused(acme: Any, make_lead: Lead) -> None:
    for headers, answered in (
        ({"content_encoding": "gzip"}, "accept-encoding"),
        ({"content_type": "text/csv"}, "accept-post"),
        ({"content_type": "application/json; charset=latin-1"}, "accept-post"),
    ):
        reply = acme.post([make_lead()], **headers)
        assert reply.status_code == 415
        assert answered in reply.headers


def test_a_retry_gets_the_same_answer_and_adds_nothing(
    acme: Any, make_lead: Lead, database: psycopg.Connection
) -> None:
    first = acme.post([make_lead()], idempotency_key='"one"')
    again = acme.post([make_lead()], idempotency_key="one")
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert rows_in(database) == 1


def test_a_key_of_another_content_is_refused_and_one_of_another_supplier_is_not(
    acme: Any, new_key: Callable[..., str], make_lead: Lead, database: psycopg.Connection
) -> None:
    acme.post([make_lead(1)], idempotency_key="one")
    problem(acme.post([make_lead(2)], idempotency_key="one"), 422, "idempotency_key_reused")
    acme.key = new_key("globex")
    assert acme.post([make_lead(2)], idempotency_key="one").status_code == 202
    assert rows_in(database) == 2


def test_a_retry_with_a_new_api_key_of_the_supplier_is_known(
    acme: Any, new_key: Callable[..., str], make_lead: Lead
) -> None:
    first = acme.post([make_lead(1)], idempotency_key="one")
    acme.key = new_key("acme")
    assert acme.post([make_lead(1)], idempotency_key="one").json() == first.json()


def test_a_refused_request_does_not_use_up_its_key(acme: Any, make_lead: Lead) -> None:
    assert acme.post(b"[", idempotency_key="one").status_code == 400
    assert acme.post([make_lead()], idempotency_key="one").status_code == 202


def test_an_impossible_idempotency_key_is_refused(acme: Any, make_lead: Lead) -> None:
    for key in ('"', '""', "a b", "é", "x" * 256):
        headers = {**acme.headers(), "idempotency-key": key}
        reply = acme.client.post(
            f"{acme.url}/v1/leads",
            content=json.dumps([make_lead()]),
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
        )
        problem(reply, 400, "idempotency_key_invalid")


def test_a_request_under_the_key_of_one_that_is_still_coming_in_conflicts(acme: Any, make_lead: Lead) -> None:
    body = json.dumps([make_lead()]).encode()
    begun, go_on = threading.Event(), threading.Event()

    def slowly():  # type: ignore[no-untyped-def]
        yield body[:5]
        begun.set()
        go_on.wait(10)
        yield body[5:]

    replies: list[httpx.Response] = []
    headers = acme.headers(idempotency_key="one")
    thread = threading.Thread(
        target=lambda: replies.append(httpx.post(f"{acme.url}/v1/leads", content=slowly(), headers=headers))
    )
    thread.start()
    begun.wait(10)
    time.sleep(0.2)
    conflict = acme.post(body, idempotency_key="one")
    go_on.set()
    thread.join(10)

    assert problem(conflict, 409, "idempotency_key_in_flight")
    assert conflict.headers["retry-after"] == "1"
    assert replies[0].status_code == 202
    assert acme.post(body, idempotency_key="one").json() == replies[0].json()


def test_another_server_at_work_on_the_key_conflicts_too(
    acme: Any, make_lead: Lead, database: psycopg.Connection
) -> None:
    with database.transaction():
        database.execute("select pg_advisory_xact_lock(hashtextextended('acme' || encode(sha256('one'), 'hex'), 0))")
        problem(acme.post([make_lead()], idempotency_key="one"), 409, "idempotency_key_in_flight")
    assert acme.post([make_lead()], idempotency_key="one").status_code == 202


def test_a_key_that_asks_too_fast_is_told_when_to_come_back(
    with_limits: Callable[..., None],
    server: Callable[[], AbstractContextManager[str]],
    new_key: Callable[..., str],
    make_lead: Lead,
) -> None:
    with_limits(requests_per_second=0.5, burst=2)
    key, other = new_key(), new_key()
    with server() as url:

        def post(key: str) -> httpx.Response:
            return httpx.post(f"{url}/v1/leads", json=[make_lead()], headers={"authorization": f"Bearer {key}"})

        assert [post(key).status_code for _ in range(2)] == [202, 202]
        refused = post(key)
        assert post(other).status_code == 202
    problem(refused, 429, "too_many_requests")
    assert 1 <= int(refused.headers["retry-after"]) <= 2


def test_a_body_that_trickles_is_cut_off(
    with_limits: Callable[..., None], server: Callable[[], AbstractContextManager[str]], new_key: Callable[..., str]
) -> None:
    with_limits(body_seconds=0.3)

    def trickle():  # type: ignore[no-untyped-def]
        for _ in range(20):
            yield b" "
            time.sleep(0.1)

    with server() as url:
        headers = {"authorization": f"Bearer {new_key()}", "content-type": "application/json"}
        try:
            reply = httpx.post(f"{url}/v1/leads", content=trickle(), headers=headers)
        except httpx.WriteError:
            return  # the server had closed the connection already
    problem(reply, 408, "body_too_slow")


def test_the_status_shows_traffic_errors_and_the_open_upload(
    acme: Any, new_key: Callable[..., str], make_lead: Lead
) -> None:
    acme.post([make_lead(n) for n in range(7)], idempotency_key="one")
    acme.post([make_lead(n) for n in range(7)], idempotency_key="one")
    upload = acme.post([make_lead(9)]).json()["upload"]
    acme.post(b"[")
    acme.post([{"a,b": 1}])

    status = acme.get("/v1/leads/status").json()

    assert (status["supplier"], status["requests"], status["rows"]) == ("acme", 5, 8)
    assert status["errors"] == {"field_name": 1, "json_invalid": 1}
    assert 0 < status["p95_ms"] < 5000
    assert sum(minute["rows"] for minute in status["per_minute"]) == 8
    assert status["last_event"]["outcome"] == "field_name"
    assert (status["open_upload"]["upload"], status["open_upload"]["rows"]) == (upload, 8)
    acme.key = new_key("globex")
    assert acme.get("/v1/leads/status").json()["requests"] == 0


def test_a_database_that_is_down_is_said_and_can_be_retried(
    settings: Any, server: Callable[[], AbstractContextManager[str]], monkeypatch: pytest.MonkeyPatch, make_lead: Lead
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret-word@127.0.0.1:1/none")
    with server() as url:
        reply = httpx.post(
            f"{url}/v1/leads",
            json=[make_lead()],
            headers={"authorization": "Bearer li_0123456789_" + "A" * 43},
            timeout=30,
        )
    problem(reply, 503, "unavailable")
    assert "retry-after" in reply.headers
    assert "secret-word" not in reply.text


def test_what_is_not_served_is_said_in_the_same_form(acme: Any) -> None:
    problem(acme.get("/v1/nothing"), 404, "not_found")
