"""Which setting comes from whom: what the person has set wins, the house fills the rest.

Settings of one vendor belong together: who sets one key of a vendor means that vendor, and gets nothing of the
sandbox's for it. Values that the house itself gave out (`eval "$(lead-intel env)"`) are not the person's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lead_intel.local.home import Home
from lead_intel.local.postgres import has_cluster, recorded_cluster
from lead_intel.sandbox.settings import environment as sandbox_settings
from lead_intel.settings import Settings, dagster_storage_in

VENDOR_GROUPS = (
    "SUPABASE_", "TWILIO_", "DNCSCRUB_", "PEOPLE_DATA_LABS_", "ZEROBOUNCE_", "NEVER_BOUNCE_", "TRESTLE_", "SEGMENT_",
)  # fmt: skip
_DAGSTER_FOLDERS = ("DAGSTER_HOME", "LEAD_INTEL_DAGSTER_DIR")
# The home is resolved by whoever calls; a relative path would mean something else to every program.
_NAMES = {name.upper() for name in Settings.model_fields} - {"LEAD_INTEL_HOME"} | set(_DAGSTER_FOLDERS)
SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the person has set themselves."""

    settings: Mapping[str, str]

    @property
    def has_database(self) -> bool:
        """True when the person brings a database: no PostgreSQL is started."""
        return "DATABASE_URL" in self.settings

    def has_vendor(self, group: str) -> bool:
        """True when the person brings the vendor whose settings begin with `group`."""
        return any(name.startswith(group) for name in self.settings)

    @property
    def vendors(self) -> list[str]:
        """The vendors that the person brings, in words."""
        return [group.strip("_").replace("_", " ").title() for group in VENDOR_GROUPS if self.has_vendor(group)]

    @property
    def needs_sandbox(self) -> bool:
        """True unless every vendor is the person's own."""
        return not all(self.has_vendor(group) for group in VENDOR_GROUPS)


def chosen_settings(home: Home, environ: Mapping[str, str]) -> Chosen:
    """What in `environ` is the person's: everything that is neither blank nor given out by this home."""
    given_out = _given_out(home)
    chosen = {
        name: value for name, value in environ.items() if name in _NAMES and value and value != given_out.get(name)
    }
    if "DATABASE_URL" not in chosen:
        # Another project's Dagster must not get our runs.
        for name in _DAGSTER_FOLDERS:
            chosen.pop(name, None)
    return Chosen(chosen)


def house_environment(
    home: Home, chosen: Chosen, *, database_url: str | None, sandbox_url: str | None
) -> dict[str, str]:
    """Every setting that the house adds to the person's, Dagster's included."""
    environment = {"LEAD_INTEL_HOME": str(home.folder)}
    if chosen.needs_sandbox and sandbox_url is not None:
        brought = tuple(group for group in VENDOR_GROUPS if chosen.has_vendor(group))
        environment |= {
            name: value for name, value in sandbox_settings(sandbox_url).items() if not name.startswith(brought)
        }
        # A key made here would be lost with this machine: only the embedded default may have one.
        environment["LEAD_INTEL_ENVIRONMENT"] = "embedded"
        environment["LEAD_INTEL_IDENTITY_KEY"] = home.identity_key()
    url = chosen.settings.get("DATABASE_URL", database_url)
    if url is not None:
        environment["DATABASE_URL"] = url
        environment["DAGSTER_PG_URL"] = dagster_storage_in(url)
    environment["DAGSTER_HOME"] = str(home.dagster)
    environment["LEAD_INTEL_DAGSTER_DIR"] = str(home.dagster)
    return environment | dict(chosen.settings)


def _given_out(home: Home) -> dict[str, str]:
    """What `lead-intel env` printed for this home the last time, by name."""
    given_out = {"DAGSTER_HOME": str(home.dagster), "LEAD_INTEL_DAGSTER_DIR": str(home.dagster)}
    port = home.recorded_port(SANDBOX)
    if port is not None:
        given_out |= sandbox_settings(loopback(port))
        given_out["LEAD_INTEL_ENVIRONMENT"] = "embedded"
        given_out["LEAD_INTEL_IDENTITY_KEY"] = home.identity_key()
    if has_cluster(home):
        url = recorded_cluster(home).url
        given_out |= {"DATABASE_URL": url, "DAGSTER_PG_URL": dagster_storage_in(url)}
    return given_out


def loopback(port: int) -> str:
    """The address of a program of the house."""
    return f"http://127.0.0.1:{port}"
