"""The channel as docs/channel.asyncapi.yml writes it down, against the bytes that really were on the socket."""

from __future__ import annotations

import json
import random
import re
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import jsonschema
import pytest
import yaml
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import OP_TEXT, Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from lead_intel.settings import REPOSITORY

LIST = b"phone,email,consent_source\n2125550123,a@example.com,web_form\n"
DOCUMENT = REPOSITORY / "docs" / "channel.asyncapi.yml"
META = REPOSITORY / "lead_intel_tests" / "data" / "specs" / "asyncapi_3.0.0.schema.json"


class Wire:
    """A cable with a tap: everything that clients send to the cloud, by connection."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._sent: list[bytearray] = []
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            cloud = socket.create_connection(("127.0.0.1", self._to))
            self._open += [client, cloud]
            self._sent.append(bytearray())
            threading.Thread(target=self._relay, args=(client, cloud, self._sent[-1]), daemon=True).start()

    def _relay(self, client: socket.socket, cloud: socket.socket, sent: bytearray) -> None:
        other = {client: cloud, cloud: client}
        with client, cloud:
            while True:
                try:
                    for ready in select.select([client, cloud], [], [])[0]:
                        data = ready.recv(65536)
                        if not data:
                            return
                        if ready is client:
                            sent += data
                        other[ready].sendall(data)
                except (OSError, ValueError):
                    return

    def cut(self) -> None:
        """Every connection breaks."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self._server.close()
        self.cut()

    def frames(self) -> list[dict[str, Any]]:
        """The channel's frames, oldest first in each connection."""
        return [frame for sent in self._sent if b"/realtime/v1/websocket" in sent[:200] for frame in _frames(sent)]


def _frames(sent: bytearray) -> Iterator[dict[str, Any]]:
    protocol = ServerProtocol(extensions=[ServerPerMessageDeflateFactory()])
    handshake, end, rest = bytes(sent).partition(b"\r\n\r\n")
    protocol.receive_data(handshake + end)
    (request,) = protocol.events_received()
    assert isinstance(request, Request)
    protocol.send_response(protocol.accept(request))
    protocol.receive_data(rest)
    for frame in protocol.events_received():
        if isinstance(frame, Frame) and frame.opcode is OP_TEXT:
            yield json.loads(frame.data)


@pytest.fixture
def wire(cloud: Any) -> Iterator[Wire]:
    wire = Wire(cloud.port)
    yield wire
    wire.close()


@pytest.fixture
def tapped(companion: Any, cloud: Any, wire: Wire) -> Any:
    """The companion, behind the tap."""
    url = cloud.settings["SUPABASE_URL"].replace(str(cloud.port), str(wire.port))
    companion.more = {"SUPABASE_URL": url}
    return companion


def test_the_document_is_asyncapi() -> None:
    document = yaml.safe_load(DOCUMENT.read_text())
    jsonschema.Draft7Validator(json.loads(META.read_text())).validate(document)
    listed = set(document["channels"]["leadIngestion"]["messages"]) | set(document["channels"]["phoenix"]["messages"])
    assert listed == set(document["components"]["messages"])
    used = {
        reference["$ref"].rpartition("/")[2]
        for operation in document["operations"].values()
        for part in (operation, operation.get("reply", {}))
        for reference in part.get("messages", ())
    }
    assert used == listed
    for name, message in document["components"]["messages"].items():
        jsonschema.Draft7Validator.check_schema(message["payload"])
        assert name in json.dumps(message["payload"])


def test_the_product_says_nothing_that_the_document_does_not_know() -> None:
    """Events are written out in the code: each is in the document, and each of the document is in the code."""
    document = yaml.safe_load(DOCUMENT.read_text())
    ours = {name for name in document["components"]["messages"] if "." in name}
    code = "".join(
        path.read_text() for room in ("record", "companion") for path in (REPOSITORY / "lead_intel" / room).glob("*.py")
    )
    assert set(re.findall(r'"((?:upload|list|companion)\.[a-z]+)"', code)) == ours


def test_every_frame_of_a_companion_is_as_written_down(
    tapped: Any, cloud: Any, wire: Wire, eventually: Any, channel_problems: Any
) -> None:
    content = LIST + random.Random(3).randbytes(7_000_000)
    tapped.put("acme/list.csv", content)
    tapped.put("picture.png", b"x")
    cloud.control.fault("supabase_storage", "slow", {"seconds": 0.6, "count": 1, "match": "tus_append"})
    cloud.control.fault("supabase_storage", "server_error", {"count": 1, "match": "tus_create"})
    watching = tapped.start()
    eventually(lambda: cloud.uploads()[1:])
    # While the answer to the first chunk is awaited, the file changes.
    eventually(lambda: "list.progress" in cloud.events())
    (tapped.folder / "acme" / "list.csv").write_bytes(content + b"\n")
    eventually(lambda: "list.uploaded" in cloud.events())
    cloud.control.fault("supabase_storage", "cut", {"bytes": 1_000_000, "count": 1, "match": "tus_append"})
    tapped.put("beta/list.csv", content)
    tapped.put("acme/again.csv", content + b"\n")
    publish(cloud, "upload.sample", PRODUCT_SAMPLE)
    eventually(lambda: cloud.events().count("list.uploaded") == 2)
    eventually(lambda: "list.known" in cloud.events())
    watching.send_signal(signal.SIGTERM)
    _, told = watching.communicate(timeout=15)

    frames = wire.frames()
    assert [problem for frame in frames for problem in channel_problems(frame)] == []
    said = [frame["payload"] for frame in frames if frame["event"] == "broadcast"]
    assert {payload["event"] for payload in said} >= {
        "companion.started", "companion.telemetry", "companion.stopped", "list.found", "list.known", "list.started",
        "list.progress", "list.resumed", "list.changed", "list.delayed", "list.uploaded", "list.refused",
    }  # fmt: skip
    assert [frame["event"] for frame in frames][:: len(frames) - 1] == ["phx_join", "phx_leave"]
    numbers = [payload["payload"]["sequence"] for payload in said]
    assert numbers == list(range(1, len(said) + 1))
    telemetry = [payload["payload"]["data"] for payload in said if payload["event"] == "companion.telemetry"][-1]
    assert telemetry["samples"][0] == {
        "upload": PRODUCT_SAMPLE["upload"], "list": PRODUCT_SAMPLE["list"], "percent": 25, "leads": 7,
        "delay_ms": telemetry["samples"][0]["delay_ms"],
    }  # fmt: skip
    assert "a sample of 25 % was chosen, 7 leads drawn" in told


PRODUCT_SAMPLE = {"upload": "upl_20261124_abcdefghjk", "list": "0123456789abcdef", "percent": 25, "leads": 7}


def publish(cloud: Any, event: str, data: dict[str, Any], **envelope: Any) -> None:
    message = {
        "v": 1,
        "id": "11111111-1111-4111-8111-111111111111",
        "at": "2026-11-24T10:00:00.000Z",
        "source": "product",
        "instance": "22222222-2222-4222-8222-222222222222",
        "sequence": 1,
        "data": data,
        **envelope,
    }
    reply = httpx.post(
        f"{cloud.settings['SUPABASE_URL']}/realtime/v1/api/broadcast",
        headers={"apikey": cloud.settings["SUPABASE_SERVICE_KEY"]},
        json={"messages": [{"topic": "lead-ingestion", "event": event, "payload": message}]},
    )
    assert reply.status_code == 202


@pytest.mark.slow
def test_a_broken_line_is_mended_and_losses_are_counted(tapped: Any, cloud: Any, wire: Wire, eventually: Any) -> None:
    watching = tapped.start()
    eventually(lambda: "companion.started" in cloud.events())
    publish(cloud, "upload.sample", PRODUCT_SAMPLE, sequence=1)
    publish(cloud, "upload.sample", PRODUCT_SAMPLE, sequence=4)
    time.sleep(0.5)
    wire.cut()
    tapped.put("list.csv", LIST)
    eventually(lambda: "list.uploaded" in cloud.events())
    assert cloud.objects() == {"default/list.csv": LIST}
    watching.send_signal(signal.SIGTERM)
    watching.communicate(timeout=15)
    (telemetry,) = [payload["data"]["channel"] for event, payload in cloud.said() if event == "companion.telemetry"]
    assert (telemetry["connections"], telemetry["missed"], telemetry["dropped"]) == (2, 2, 0)


@pytest.mark.slow
def test_a_server_that_hangs_is_noticed_by_its_silence(
    own_cloud: Any, companion_of: Any, eventually: Any, channel_problems: Any
) -> None:
    wire = Wire(own_cloud.port)
    companion = companion_of(own_cloud)
    companion.more = {"SUPABASE_URL": own_cloud.settings["SUPABASE_URL"].replace(str(own_cloud.port), str(wire.port))}
    watching = companion.start()
    eventually(lambda: "companion.started" in own_cloud.events())
    own_cloud.process.send_signal(signal.SIGSTOP)
    # The heartbeat's interval, the wait for its answer, and some.
    time.sleep(33)
    own_cloud.process.send_signal(signal.SIGCONT)
    connects = lambda: [call for call in own_cloud.control.calls("supabase_realtime") if call["operation"] == "connect"]  # noqa: E731
    eventually(lambda: connects()[1:], 60)
    companion.put("list.csv", LIST)
    eventually(lambda: "list.uploaded" in own_cloud.events(), 60)
    watching.send_signal(signal.SIGTERM)
    watching.communicate(timeout=15)
    wire.close()
    frames = wire.frames()
    assert "heartbeat" in {frame["event"] for frame in frames}
    assert [problem for frame in frames for problem in channel_problems(frame)] == []


def test_what_strangers_say_moves_and_shows_nothing(tapped: Any, cloud: Any, eventually: Any) -> None:
    watching = tapped.start()
    eventually(lambda: "companion.started" in cloud.events())
    state = {"upload": PRODUCT_SAMPLE["upload"], "list": None, "state": "screening", "reason": None, "rows": None}
    for wrong in (
        {"data": {**state, "upload": "\x1b[2J"}},
        {"data": {**state, "state": "[bold]delivered"}},
        {"data": {**state, "state": ["screening"]}},
        {"data": None},
        {"data": state, "v": 2},
        {"data": state, "source": "companion"},
    ):
        publish(cloud, "upload.state", wrong.pop("data"), **wrong)
    publish(cloud, "upload.state", {**state, "state": "rejected", "reason": "\x1b]0;no\x07missing"})
    time.sleep(0.5)
    watching.send_signal(signal.SIGTERM)
    _, told = watching.communicate(timeout=15)
    assert watching.returncode == 0
    shown = [line for line in told.splitlines() if line.startswith("upl_")]
    assert shown == [f"{state['upload']}: rejected (]0;nomissing)."]


@pytest.mark.slow
def test_a_hung_channel_stops_no_upload(companion: Any, cloud: Any) -> None:
    cloud.control.fault("supabase_realtime", "hung", {})
    companion.put("list.csv", LIST)
    assert len(companion.once()["uploaded"]) == 1


def test_a_channel_that_refuses_stops_no_upload(companion: Any, cloud: Any) -> None:
    cloud.control.fault("supabase_realtime", "reject_join", {})
    companion.put("list.csv", LIST)
    assert len(companion.once()["uploaded"]) == 1
