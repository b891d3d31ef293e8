"""The gateway on one loopback port: who is let in, and what reaches Dagster's webserver behind it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp
import httpx
import psutil
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket


async def _echo(request: Request) -> Response:
    body = await request.body()
    return JSONResponse(
        {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.url.query,
            "headers": dict(request.headers),
            "body": body.decode(),
        }
    )


async def _slow_stream(_request: Request) -> Response:
    async def parts():  # type: ignore[no-untyped-def]
        yield b"first"
        await asyncio.sleep(30)
        yield b"last"

    return StreamingResponse(parts(), media_type="text/plain")


async def _elsewhere(request: Request) -> Response:
    return RedirectResponse(f"http://{request.headers['host']}/dagster/runs?x=1")


async def _subscriptions(socket: WebSocket) -> None:
    assert "graphql-ws" in socket.scope["subprotocols"]
    await socket.accept("graphql-ws")
    async for text in socket.iter_text():
        if json.loads(text)["type"] == "connection_terminate":
            await socket.close(4400)
            return
        await socket.send_text(json.dumps({"type": "connection_ack", "echo": json.loads(text)}))
        await socket.send_bytes(b"\x00\x01")


@contextmanager
def _served(app: Starlette) -> Iterator[str]:
    """`app` on a free loopback port, as Dagster's webserver would be."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = server.force_exit = True
    thread.join(5)
    listening.close()


@pytest.fixture(scope="module")
def webserver() -> Iterator[str]:
    app = Starlette(
        routes=[
            Route("/dagster/stream", _slow_stream),
            Route("/dagster/elsewhere", _elsewhere),
            WebSocketRoute("/dagster/graphql", _subscriptions),
            Route("/dagster/{path:path}", _echo, methods=["GET", "POST", "OPTIONS"]),
        ]
    )
    with _served(app) as url:
        yield url


@contextmanager
def hub_process(*arguments: str) -> Iterator[str]:
    """The hub as it is started for real; yields its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lead_intel.hub", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read().decode()
        yield json.loads(line)["url"]
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.fixture(scope="module")
def hub(webserver: str) -> Iterator[str]:
    with hub_process("--dagster-url", webserver) as url:
        yield url


def test_a_request_reaches_dagster_with_path_query_and_body_unchanged(hub: str) -> None:
    reply = httpx.post(f"{hub}/dagster/a%2Fb?x=%20y&z=1", content=b'{"query": "{version}"}')
    seen = reply.json()
    assert reply.status_code == 200
    assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/dagster/a%2Fb", "x=%20y&z=1")
    assert seen["body"] == '{"query": "{version}"}'
    assert seen["headers"]["host"] != httpx.URL(hub).netloc.decode()


def test_an_answer_is_passed_on_while_it_is_still_being_made(hub: str) -> None:
    began = time.monotonic()
    with httpx.stream("GET", f"{hub}/dagster/stream", timeout=10) as reply:
        assert next(reply.iter_raw()) == b"first"
    assert time.monotonic() - began < 5


def test_a_redirect_to_the_webservers_own_port_stays_at_the_hub(hub: str) -> None:
    assert httpx.get(f"{hub}/dagster/elsewhere").headers["location"] == "/dagster/runs?x=1"
    assert httpx.get(f"{hub}/dagster").headers["location"] == "/dagster/"


def test_dagsters_pages_cannot_be_framed_by_another_site(hub: str) -> None:
    assert httpx.get(f"{hub}/dagster/").headers["x-frame-options"] == "SAMEORIGIN"


def test_graphql_subscriptions_pass_both_ways_with_their_subprotocol(hub: str) -> None:
    async def talk() -> None:
        async with aiohttp.ClientSession() as session:
            url = f"{hub}/dagster/graphql"
            async with session.ws_connect(url, protocols=["graphql-ws"], headers={"Origin": hub}) as ws:
                assert ws.protocol == "graphql-ws"
                await ws.send_str(json.dumps({"type": "connection_init"}))
                assert (await ws.receive_json())["echo"] == {"type": "connection_init"}
                assert await ws.receive_bytes() == b"\x00\x01"
                await ws.send_str(json.dumps({"type": "connection_terminate"}))
                assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
                assert ws.close_code == 4400

    asyncio.run(talk())


def _socket_status(hub: str, headers: dict[str, str]) -> int:
    async def knock() -> int:
        async with aiohttp.ClientSession() as session:
            try:
                url = f"{hub}/dagster/graphql"
                async with session.ws_connect(url, protocols=["graphql-ws"], headers=headers):
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    return asyncio.run(knock())


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
def test_a_socket_of_a_foreign_origin_is_refused_at_the_handshake(hub: str, origin: str) -> None:
    assert _socket_status(hub, {"Origin": origin}) == 403


def test_a_client_that_is_no_browser_may_open_a_socket(hub: str) -> None:
    assert _socket_status(hub, {}) == 101


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_an_act_from_a_foreign_page_is_refused(hub: str, headers: dict[str, str]) -> None:
    assert httpx.post(f"{hub}/dagster/graphql", json={"query": "{version}"}, headers=headers).status_code == 403


def test_an_act_from_our_own_page_is_passed_on(hub: str) -> None:
    headers = {"Origin": hub, "Sec-Fetch-Site": "same-origin"}
    assert httpx.post(f"{hub}/dagster/graphql", json={}, headers=headers).status_code == 200


def test_graphql_by_get_is_refused_because_an_image_tag_could_send_a_mutation(hub: str) -> None:
    query = {"query": "mutation { reloadWorkspace { __typename } }"}
    assert httpx.get(f"{hub}/dagster/graphql", params=query).status_code == 403
    assert httpx.get(f"{hub}/dagster/graphql/", params=query).status_code == 403
    assert httpx.get(f"{hub}/dagster/graphql").status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/dagster/runs", "/static/hub.css"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "[::1"])
def test_a_name_that_is_not_loopback_is_refused_everywhere(hub: str, path: str, host: str) -> None:
    assert httpx.get(hub + path, headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:80"])
def test_loopback_names_are_served(hub: str, host: str) -> None:
    assert httpx.get(f"{hub}/healthz", headers={"Host": host}).json() == {"status": "ok"}


def test_it_listens_on_loopback_only(hub: str) -> None:
    port = httpx.URL(hub).port
    listening = [each.laddr for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening if address.port == port} == {"127.0.0.1"}


def test_while_dagster_is_not_up_a_page_says_so_and_looks_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with hub_process("--dagster-url", f"http://127.0.0.1:{port}") as hub:
        reply = httpx.get(f"{hub}/dagster/runs")
        assert reply.status_code == 503
        assert "Dagster is not up yet" in reply.text
        assert reply.headers["retry-after"]
        assert _socket_status(hub, {"Origin": hub}) == 403


def test_a_port_in_use_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "lead_intel.hub", "--port", str(port)], capture_output=True, timeout=30, text=True
        )
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"Port {port} cannot be used: Address already in use. Choose another with --port."
    ]


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_dagsters_own_webserver_works_behind_it(tmp_path: pytest.TempPathFactory) -> None:
    """Page, assets, GraphQL by POST and a subscription, through the gateway, on the real thing."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    command = ["-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "--path-prefix", "/dagster"]
    process = subprocess.Popen(
        [sys.executable, *command, "--empty-workspace"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with hub_process("--dagster-url", f"http://127.0.0.1:{port}") as hub:
            _until(lambda: httpx.get(f"{hub}/dagster/server_info").status_code == 200, 60)
            page = httpx.get(f"{hub}/dagster/")
            script = page.text.split('src="')[1].split('"')[0]
            assert httpx.get(hub + script).status_code == 200
            answer = httpx.post(f"{hub}/dagster/graphql", json={"query": "{version}"}).json()
            assert answer["data"]["version"]

            async def subscribe() -> str:
                async with aiohttp.ClientSession() as session:
                    url = f"{hub}/dagster/graphql"
                    async with session.ws_connect(url, protocols=["graphql-ws"]) as ws:
                        await ws.send_json({"type": "connection_init", "payload": {}})
                        return str((await ws.receive_json())["type"])

            assert asyncio.run(subscribe()) == "connection_ack"
    finally:
        process.terminate()
        process.wait(20)
