"""A companion beside the house: what the product says reaches it, and every frame on the socket is as written down."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from lead_intel.settings import REPOSITORY

SAMPLE_LIST = REPOSITORY / "data" / "samples" / "three_columns.csv"


class Listener:
    """Joins the channel as docs/channel.md says, and keeps every frame."""

    def __init__(self, environment: dict[str, str]) -> None:
        base = environment["SUPABASE_URL"].replace("http", "ws", 1)
        key = environment["SUPABASE_SERVICE_KEY"]
        self.frames: list[dict[str, Any]] = []
        self._socket = connect(f"{base}/realtime/v1/websocket?apikey={key}&vsn=1.0.0")
        config = {"broadcast": {"ack": False, "self": False}, "presence": {}, "postgres_changes": [], "private": False}
        join = {"topic": "realtime:lead-ingestion", "event": "phx_join", "payload": {"config": config}}
        self._socket.send(json.dumps({**join, "ref": "1", "join_ref": "1"}))
        self.frames.append(json.loads(self._socket.recv(timeout=10)))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for text in self._socket:
                self.frames.append(json.loads(text))
        except ConnectionClosed:
            return

    def close(self) -> None:
        self._socket.close()
        self._thread.join(5)

    def said(self, event: str) -> list[dict[str, Any]]:
        return [
            frame["payload"]["payload"]["data"]
            for frame in self.frames
            if frame["event"] == "broadcast" and frame["payload"]["event"] == event
        ]


@pytest.fixture
def listener(house: Any) -> Iterator[Listener]:
    listener = Listener(house.answer("env"))
    yield listener
    listener.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_directions_of_a_days_work(
    house: Any, listener: Listener, tmp_path: Path, channel_problems: Callable[[dict[str, Any]], list[str]]
) -> None:
    watching = subprocess.Popen(
        [str(Path(sys.executable).with_name("lead-intel")), "watch", str(tmp_path), "--settle", "0.3"],
        stderr=subprocess.PIPE,
        text=True,
        env=house.environment,
        cwd=REPOSITORY,
    )
    told: list[str] = []
    assert watching.stderr is not None
    reading = threading.Thread(target=lambda: told.extend(watching.stderr or ()), daemon=True)
    reading.start()
    (tmp_path / "acme").mkdir()
    shutil.copy(SAMPLE_LIST, tmp_path / "acme" / "list.csv")
    for _ in range(600):
        if listener.said("list.uploaded"):
            break
        reading.join(0.1)
    (uploaded,) = listener.said("list.uploaded")

    # The house has no daemon here: a person's command takes the same bytes from the same supplier.
    house.answer("run", str(SAMPLE_LIST), "--supplier", "acme", "--profile", "lenient", "--sample", "50")
    upload = house.answer("uploads")["uploads"][0]["upload"]
    house.command("stop", upload)
    watching.send_signal(signal.SIGTERM)
    watching.wait(15)
    reading.join(5)

    assert [problem for frame in listener.frames for problem in channel_problems(frame)] == []
    states = listener.said("upload.state")
    assert {state["list"] for state in states} == {uploaded["list"]}
    assert [states[0]["state"], states[-1]["state"]] == ["received", "stopped"]
    assert {"screening", "screened", "enriching", "planned"} <= {state["state"] for state in states}
    rows = states[-1]["rows"]
    assert rows["file"] == rows["accepted"] + rows["quarantined"] + rows["duplicate"] > 0
    chosen, *drawn = listener.said("upload.sample")
    assert (chosen["percent"], chosen["leads"]) == (50, None)
    assert drawn[-1]["leads"] == house.answer("status", upload)["sample"]["leads"]
    assert listener.said("upload.progress")
    shown = "".join(told)
    assert f"list.csv ({upload}): screened" in shown
    assert f"list.csv ({upload}): a sample of 50 % was chosen." in shown
    (telemetry, *_) = reversed(listener.said("companion.telemetry"))
    assert telemetry["samples"][0]["upload"] == upload
