"""Environment -> typed settings, read lazily. The only reader of the environment in the product.

Every name here is documented in `.env.example` (a test holds the two together). The embedded default
fills them from what `local` started; production sets them in the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lead_intel.errors import SetupError

REPOSITORY = Path(__file__).resolve().parent.parent


class StorageSettings(BaseSettings):
    """What a program needs that only puts lists into the bucket and speaks on the channel: the companion."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    lead_intel_home: Path = Field(default=REPOSITORY / ".lead-intel", description="where all local state lives")
    supabase_url: str = Field(description="Storage and Realtime")
    supabase_service_key: SecretStr = Field(description="service-role key of the Supabase project")
    lead_intel_bucket: str = Field(default="lead-uploads", description="the storage bucket that receives lists")


class Settings(StorageSettings):
    """All settings. Required ones have no default; `load_settings` names what is missing."""

    lead_intel_environment: Literal["embedded", "production"] = Field(
        default="production",
        description="which entry of data/policy/guardrails.yml applies; `lead-intel` sets `embedded`",
    )
    lead_intel_policy_dir: Path = Field(default=REPOSITORY / "data" / "policy", description="the dated policy files")
    lead_intel_identity_key: SecretStr = Field(description="key of the sample order and of suppression digests")

    database_url: SecretStr = Field(description="PostgreSQL 15 to 18: the system of record")
    dagster_pg_url: SecretStr | None = Field(default=None, description="Dagster's storage")
    lead_intel_replica_url: SecretStr | None = Field(default=None, description="a read replica, for guardrail 10")

    twilio_account_sid: str = Field(description="account of the Lookup calls")
    twilio_auth_token: SecretStr = Field(description="its token")
    twilio_lookup_url: str = "https://lookups.twilio.com"

    dncscrub_url: str = "https://www.dncscrub.com"
    dncscrub_login_id: SecretStr = Field(description="loginId of the DNC vendor")

    people_data_labs_url: str = "https://api.peopledatalabs.com"
    people_data_labs_api_key: SecretStr = Field(description="X-Api-Key of People Data Labs")
    zerobounce_url: str = "https://api.zerobounce.net"
    zerobounce_api_key: SecretStr = Field(description="api_key of ZeroBounce")
    never_bounce_url: str = "https://api.neverbounce.com"
    never_bounce_api_key: SecretStr | None = Field(default=None, description="key of NeverBounce, where policy asks it")
    trestle_url: str = "https://api.trestleiq.com"
    trestle_api_key: SecretStr = Field(description="x-api-key of Trestle")

    segment_tracking_url: str = "https://api.segment.io"
    segment_write_key: SecretStr = Field(description="write key of the source that receives leads")
    segment_public_url: str = "https://api.segmentapis.com"
    segment_public_token: SecretStr | None = Field(default=None, description="Public API token, for guardrails 7, 8")
    segment_source_id: str | None = Field(default=None, description="id of the source that owns the write key")
    segment_space_id: str | None = Field(default=None, description="Unify space, for guardrail 8")

    @property
    def frames_dir(self) -> Path:
        """Where frames rest between stages, as Parquet."""
        return self.lead_intel_home / "frames"

    @property
    def dagster_storage_url(self) -> str:
        """Dagster's storage: its own URL, else the schema `dagster` of the system of record."""
        if self.dagster_pg_url is not None:
            return self.dagster_pg_url.get_secret_value()
        return dagster_storage_in(self.database_url.get_secret_value())


def dagster_storage_in(database_url: str) -> str:
    """The schema `dagster` of a database, as the URL that Dagster's SQLAlchemy wants (driver named)."""
    _, _, rest = database_url.partition("://")
    joiner = "&" if "?" in rest else "?"
    return f"postgresql+psycopg2://{rest}{joiner}options={quote('-csearch_path=dagster')}"


def load_settings() -> Settings:
    """The process environment as settings.

    Raises:
        SetupError: naming every setting that is missing or unusable.
    """
    return _loaded(Settings)


def load_storage_settings() -> StorageSettings:
    """As `load_settings`, for a program that has the bucket and the channel only."""
    return _loaded(StorageSettings)


_SomeSettings = TypeVar("_SomeSettings", bound=StorageSettings)


def _loaded(kind: type[_SomeSettings]) -> _SomeSettings:
    try:
        return kind()  # pydantic-settings fills the fields from the environment
    except ValidationError as error:
        bad = sorted({str(e["loc"][0]).upper() for e in error.errors() if e["loc"]})
        raise SetupError(
            "setting_missing",
            f"Missing or unusable in the environment: {', '.join(bad)}.",
            "Each is explained under its name in .env.example; `lead-intel env` prints the embedded default's.",
        ) from None


class _Home(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")

    lead_intel_home: Path = REPOSITORY / ".lead-intel"


def home() -> Path:
    """Where local state lives, for callers that start the surroundings before the other settings exist."""
    return _Home().lead_intel_home.resolve()


class _PolicyFolder(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")

    lead_intel_policy_dir: Path = REPOSITORY / "data" / "policy"


def policy_folder() -> Path:
    """Where the policy files lie, for callers that need nothing else."""
    return _PolicyFolder().lead_intel_policy_dir
