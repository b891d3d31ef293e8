"""The application: every service under its prefix, the control endpoint beside them, one memory for all."""

from __future__ import annotations

from pathlib import Path

from starlette.routing import Mount, Router

from lead_intel.sandbox.control import Control
from lead_intel.sandbox.dncscrub import DncScrub
from lead_intel.sandbox.faults import Switches
from lead_intel.sandbox.ledger import Ledger
from lead_intel.sandbox.memory import Memory
from lead_intel.sandbox.never_bounce import NeverBounce
from lead_intel.sandbox.people_data_labs import PeopleDataLabs
from lead_intel.sandbox.realtime import SupabaseRealtime
from lead_intel.sandbox.segment_profile import SegmentProfile
from lead_intel.sandbox.segment_public import SegmentPublic
from lead_intel.sandbox.segment_tracking import SegmentTracking
from lead_intel.sandbox.service import Service
from lead_intel.sandbox.storage import SupabaseStorage
from lead_intel.sandbox.trestle import Trestle
from lead_intel.sandbox.twilio import TwilioLookup
from lead_intel.sandbox.zerobounce import ZeroBounce

SERVICES: tuple[type[Service], ...] = (
    TwilioLookup,
    DncScrub,
    PeopleDataLabs,
    ZeroBounce,
    NeverBounce,
    Trestle,
    SegmentTracking,
    SegmentProfile,
    SegmentPublic,
    SupabaseStorage,
    SupabaseRealtime,
)


def application(home: Path, memory: Memory) -> Router:
    """The sandbox on `home`."""
    ledger, switches = Ledger(memory), Switches(memory)
    services = [service(home, memory, ledger, switches) for service in SERVICES]
    memory.commit()
    control = Control(memory, ledger, switches, services)
    mounts = [Mount(service.prefix, routes=service.routes()) for service in services]
    # A bare router: an application's middleware costs more than the answers do.
    return Router(routes=[*mounts, Mount("/control", routes=control.routes())], redirect_slashes=False)
