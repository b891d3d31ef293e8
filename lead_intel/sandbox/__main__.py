"""`python -m lead_intel.sandbox --home DIR [--port N]`: one process, one loopback port, one ready line."""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from lead_intel.sandbox.delivery import DroppableProtocol
from lead_intel.sandbox.memory import HomeInUse, Memory
from lead_intel.sandbox.server import application


class _Server(uvicorn.Server):
    """uvicorn, which says on stdout where it listens as soon as it does."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the server and nothing else: what comes after it still runs, and the exit is 0."""
        for end in (signal.SIGINT, signal.SIGTERM):
            signal.signal(end, self.handle_exit)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the ready line."""
        await super().startup(sockets)
        if sockets and not self.should_exit:
            port = sockets[0].getsockname()[1]
            sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{port}"}) + "\n")
            sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Exit 1 with one sentence when the home or the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m lead_intel.sandbox", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="where the ledger, the switches and the bucket live")
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0 takes a free one")
    options = parser.parse_args(arguments)
    try:
        memory = Memory(options.home)
        listener = _listener(options.port)
    except (HomeInUse, OSError) as error:
        sys.stderr.write(f"The sandbox cannot start: {error}\n")
        return 1
    config = uvicorn.Config(
        application(options.home, memory),
        http=DroppableProtocol,
        access_log=False,  # paths and queries hold personal data
        log_level="warning",
        server_header=False,
        headers=[("X-Lead-Intel-Sandbox", "1")],
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
        ws="websockets-sansio",
    )
    try:
        _Server(config).run(sockets=[listener])
    finally:
        memory.close()
    return 0


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(2048)
    return listener


if __name__ == "__main__":
    sys.exit(main())
