"""`python -m lead_intel.hub --port N`: serves the hub on loopback until it is told to end.

Prints one line `{"url": "http://127.0.0.1:PORT"}` on stdout once it answers.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys

import uvicorn

from lead_intel.hub.app import create_app

LOOPBACK = "127.0.0.1"
_CLOSE_SECONDS = 2


class _Announced(uvicorn.Server):
    """A server that says where it is once it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and sockets:
            port = sockets[0].getsockname()[1]
            sys.stdout.write(json.dumps({"url": f"http://{LOOPBACK}:{port}"}) + "\n")
            sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, listen, serve."""
    parser = argparse.ArgumentParser(prog="python -m lead_intel.hub", description="Lead Intel's hub, on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--dagster-url", default=None, help="Dagster's webserver, started with --path-prefix /dagster")
    options = parser.parse_args(arguments)
    try:
        listening = socket.create_server((LOOPBACK, options.port), backlog=512)
    except OSError as error:
        sys.stderr.write(
            f"Port {options.port} cannot be used: {os.strerror(error.errno or 0)}. Choose another with --port.\n"
        )
        return 1
    config = uvicorn.Config(
        create_app(options.dagster_url),
        # Loopback only: neither Dagster's web UI nor this page has a login yet.
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        timeout_graceful_shutdown=_CLOSE_SECONDS,
        ws_max_size=16 * 1024 * 1024,
    )
    _Announced(config).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
