"""The control endpoint: the ledger, faults, trips of guardrails, reset. For people and tests, never the product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from lead_intel.sandbox.faults import DELIVERIES, REFUSALS, Switches
from lead_intel.sandbox.ledger import Ledger
from lead_intel.sandbox.memory import Memory
from lead_intel.sandbox.service import Service

TRIPS: dict[int, tuple[tuple[str, str, dict[str, Any]], ...]] = {
    1: (("supabase_storage", "bucket_gone", {}),),
    3: (("twilio_lookup", "unauthorized", {}),),
    4: (("dncscrub", "rate_limited", {"retry_after": 30}),),
    5: (("trestle", "slow", {"seconds": 8}),),
    6: (("twilio_lookup", "no_carrier", {}),),
    7: (("segment_public", "source_disabled", {}),),
    8: (("segment_public", "audience_deleted", {}),),
}
"""What trips each guardrail that watches something outside."""

_NOT_OUTSIDE = {
    2: "upload a list whose columns do not fit the contract",
    9: "mark an upload ready for activation with a sample of 0 %",
    10: "needs a read replica: LEAD_INTEL_REPLICA_URL",
}


class Control:
    """GET health, ledger, faults; POST fault, trip, clear, reset."""

    def __init__(self, memory: Memory, ledger: Ledger, switches: Switches, services: Sequence[Service]) -> None:
        self._memory = memory
        self._ledger = ledger
        self._switches = switches
        self._services = {service.name: service for service in services}

    def routes(self) -> list[BaseRoute]:
        """The paths under /control."""
        return [
            Route("/health", self._health),
            Route("/ledger", self._summary),
            Route("/ledger/{service}", self._entries),
            Route("/ledger/{service}/keys", self._keys),
            Route("/ledger/{service}/events", self._events),
            Route("/faults", self._faults),
            Route("/fault", self._fault, methods=["POST"]),
            Route("/trip", self._trip, methods=["POST"]),
            Route("/clear", self._clear, methods=["POST"]),
            Route("/reset", self._reset, methods=["POST"]),
        ]

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "services": sorted(self._services)})

    async def _summary(self, _request: Request) -> Response:
        counted = self._ledger.summary()
        nothing = {"calls": 0, "distinct_keys": 0, "paid_calls": 0}
        return JSONResponse(
            {name: {**counted.get(name, nothing), **service.counts()} for name, service in self._services.items()}
        )

    async def _entries(self, request: Request) -> Response:
        after, limit = _page(request, "0")
        entries = self._ledger.entries(request.path_params["service"], int(after), limit)
        return JSONResponse({"calls": entries, "next": entries[-1]["id"] if len(entries) == limit else None})

    async def _keys(self, request: Request) -> Response:
        after, limit = _page(request, "")
        more_than = int(request.query_params.get("more_than", "0"))
        keys = self._ledger.keys(request.path_params["service"], after, limit, more_than)
        return JSONResponse({"keys": keys, "next": keys[-1]["key"] if len(keys) == limit else None})

    async def _events(self, request: Request) -> Response:
        after, limit = _page(request, "0")
        service = self._services.get(request.path_params["service"])
        events = service.events(int(after), limit) if service else []
        return JSONResponse({"events": events, "next": events[-1]["id"] if len(events) == limit else None})

    async def _faults(self, _request: Request) -> Response:
        kinds = {name: {**REFUSALS, **DELIVERIES, **service.kinds} for name, service in self._services.items()}
        return JSONResponse({"on": [fault.as_json() for fault in self._switches.all()], "kinds": kinds})

    async def _fault(self, request: Request) -> Response:
        order = await request.json()
        name, kind = order.pop("service", None), order.pop("kind", None)
        # Options stand under `options`, or beside service and kind.
        options = {**order.pop("options", {}), **order}
        service = self._services.get(name)
        if service is None:
            return _refused(f"No service {name!r}; there are {', '.join(self._services)}.")
        known = {*REFUSALS, *DELIVERIES, *service.kinds}
        if kind not in known:
            return _refused(f"{name} has no fault {kind!r}; it has {', '.join(sorted(known))}.")
        self._switches.switch_on(name, kind, options)
        return JSONResponse({"on": [fault.as_json() for fault in self._switches.all()]})

    async def _trip(self, request: Request) -> Response:
        order = await request.json()
        number = int(order.get("number", 0))
        if number not in TRIPS:
            hint = _NOT_OUTSIDE.get(number, "guardrails have the numbers 1 to 10")
            return _refused(f"Guardrail {number} does not watch a service of the sandbox: {hint}.")
        for service, kind, options in TRIPS[number]:
            self._switches.switch_on(
                order.get("service", service), order.get("kind", kind), {**options, **order.get("options", {})}, number
            )
        return JSONResponse({"on": [fault.as_json() for fault in self._switches.all()]})

    async def _clear(self, request: Request) -> Response:
        order = await request.json() if await request.body() else {}
        number = order.get("number")
        self._switches.switch_off(order.get("service"), None if number is None else int(number))
        return JSONResponse({"on": [fault.as_json() for fault in self._switches.all()]})

    async def _reset(self, _request: Request) -> Response:
        self._memory.wipe()
        self._switches.load()
        for service in self._services.values():
            service.reset()
        self._memory.commit()
        return JSONResponse({"status": "ok"})


def _page(request: Request, first: str) -> tuple[str, int]:
    after = request.query_params.get("after", first)
    return after, min(int(request.query_params.get("limit", "1000")), 10_000)


def _refused(message: str) -> Response:
    return JSONResponse({"error": {"code": "sandbox_order", "message": message}}, 422)
