"""All settings: read once from the environment (prefix `POSTLUDE_`), and passed down."""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.addresses import (
    HOST_NAME,
    check_redis_url,
    is_of_this_machine,
    read_database_url,
    read_origin,
    redis_socket_url,
    sqlite_url,
)
from service.import_targets import TargetSettings, read_targets
from service.secret_keys import read_key

# A Unix socket's path ends at 107 bytes on Linux (103 on macOS).
_LONGEST_SOCKET_PATH = 100

_PREFIX = "POSTLUDE_"
# Settings of the client, which may be in the same environment, and are not misspelt settings of the service.
_CLIENT_NAMES = tuple(
    f"{_PREFIX}{name}" for name in ("URL", "API_KEY", "REQUIRED", "APP_NAME", "APP_URL", "APP_SECRET")
)
_LISTS = (
    "jobs",
    "queues",
    "api_keys",
    "allowed_hosts",
    "cors_origins",
    "webhook_allow",
    "app_allow",
    "outbox_urls",
    "files_types",
    "alert_to",
    "alert_on",
    "secret_keys",
    "audit_log_keys",
)
CommaSeparated = Annotated[tuple[str, ...], NoDecode]


class QueueSettings(BaseSettings):
    """Where the queue is. `--check` reads no more, and must not import what the other settings need."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", str_strip_whitespace=True
    )

    data_dir: Path = Path("var")
    redis_url: str | None = None
    queues: CommaSeparated = ("default",)

    @field_validator(*_LISTS, mode="before", check_fields=False)
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: str | None) -> str | None:
        if value is not None:
            check_redis_url(value)
        return value

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("queues")
    @classmethod
    def _some_queue(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one queue")
        return value

    @property
    def redis_dsn(self) -> str:
        """The Redis named in the settings, or else the socket of the embedded server."""
        return self.redis_url or redis_socket_url(self.socket_path("redis.sock"))

    def socket_path(self, name: str) -> Path:
        """Return the path of a Unix socket: in the data dir or, if that is too long, in a short folder of this user."""
        path = self.data_dir / name
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"postlude-{os.getuid()}-{digest}" / name


class Settings(QueueSettings):
    """All settings."""

    environment: str | None = Field(default=None, max_length=40)
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    root_path: str | None = None
    database_url: str | None = None
    smtp_url: SecretStr | None = None
    smtp_tls: Literal["none", "may", "encrypt", "verify"] | None = None
    smtp_ca_file: Path | None = None
    mail_from: str = "postlude@localhost"
    jobs: CommaSeparated = ()
    max_jobs: int = Field(default=100, ge=1, le=10_000)
    processes: int | None = Field(default=None, ge=1, le=1_000)
    grace_s: float = Field(default=25, ge=0, le=3600)
    max_crashes: int = Field(default=3, ge=1, le=100)
    retention_days: int = Field(default=30, ge=1, le=3650)
    retention_failed_days: int | None = Field(default=None, ge=1, le=3650)
    retention_files_days: int | None = Field(default=None, ge=1, le=3650)
    retention_trail_days: int = Field(default=400, ge=1, le=3650)
    stats_days: int | None = Field(default=None, ge=1, le=36_500)
    stats_ids_days: int = Field(default=30, ge=1, le=3650)
    idempotency_hours: int = Field(default=24, ge=1, le=720)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"
    stock_worker: bool = False
    version: str | None = Field(default=None, max_length=64)
    worker_metrics_port: int | None = Field(default=None, ge=1, le=65535)
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    rate_limit: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}/(s|min|h)$")] | None = None
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_name_claim: str = "email"
    oidc_role_claim: str = "roles"
    allowed_hosts: CommaSeparated = ()
    cors_origins: CommaSeparated = ()
    webhook_allow: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    app_allow: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    outbox_urls: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    import_targets: SecretStr | None = None
    files_url: Annotated[str, Field(pattern=r"^s3://[^/?#]+(/[^?#]*)?$")] | None = None
    files_s3_endpoint: Annotated[str, Field(pattern=r"^https?://[^/?#]+/?$")] | None = None
    files_max_bytes: int = Field(default=1024**3, ge=1)
    files_max_total_bytes: int | None = Field(default=None, ge=1)
    files_types: CommaSeparated = ()
    alert_to: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    alert_on: CommaSeparated = ("wrong",)
    alert_after_s: float = Field(default=60, ge=0, le=86_400)
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    audit_log_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    fcm_credentials: SecretStr | None = None
    fcm_url: str = "https://fcm.googleapis.com"
    fcm_token_url: str | None = None
    vapid_private_key: SecretStr | None = None
    vapid_subject: Annotated[str, Field(pattern=r"^(mailto:.+@.+|https://.+)$")] | None = None

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _async_driver(cls, value: str | None) -> str | None:
        return None if value is None else read_database_url(value)

    @field_validator("outbox_urls")
    @classmethod
    def _async_drivers(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        urls = dict.fromkeys(read_database_url(url.get_secret_value()) for url in value)
        return tuple(map(SecretStr, urls))

    @field_validator("import_targets")
    @classmethod
    def _readable_targets(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            read_targets(value.get_secret_value())
        return value

    @field_validator("alert_to")
    @classmethod
    def _told_how(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(one.get_secret_value().startswith(("mailto:", "https://", "http://")) for one in value):
            raise ValueError("must be addresses such as mailto:ops@example.com, or URLs of webhooks")
        return value

    @field_validator("fcm_url", "fcm_token_url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError("must be a URL that begins with https:// or http://")
        return value

    @field_validator("root_path")
    @classmethod
    def _rooted(cls, value: str | None) -> str | None:
        if value is None or re.fullmatch(r"(/[A-Za-z0-9._~-]+)*/?", value):
            return (value or "").rstrip("/") or None
        raise ValueError("must be a path that begins with /, e.g. /postlude")

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(read_origin(one) for one in value)

    @field_validator("allowed_hosts")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(HOST_NAME.fullmatch, value)):
            raise ValueError(
                "must be names such as jobs.example.com or *.example.com, in ASCII, without scheme and port"
            )
        return tuple(name.rstrip(".") for name in value)

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, value: str | None) -> str | None:
        if (
            value is not None
            and urlsplit(value).scheme != "https"
            and not is_of_this_machine(urlsplit(value).hostname or "")
        ):
            raise ValueError("must be an https:// URL: whoever can change its answers can sign in as anybody")
        return value

    @model_validator(mode="after")
    def _whole_oidc(self) -> Self:
        if self.oidc_issuer is not None and (self.oidc_client_id is None or self.oidc_client_secret is None):
            raise ValueError("POSTLUDE_OIDC_ISSUER also needs POSTLUDE_OIDC_CLIENT_ID and POSTLUDE_OIDC_CLIENT_SECRET")
        return self

    @model_validator(mode="after")
    def _whole_vapid(self) -> Self:
        if self.vapid_private_key is not None and self.vapid_subject is None:
            raise ValueError(
                "POSTLUDE_VAPID_PRIVATE_KEY also needs POSTLUDE_VAPID_SUBJECT, e.g. mailto:ops@example.com"
            )
        return self

    @field_validator("api_keys")
    @classmethod
    def _sendable(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(key.get_secret_value().isascii() and key.get_secret_value().isprintable() for key in value):
            raise ValueError("keys are sent in a header, so they must be printable ASCII")
        return value

    @field_validator("secret_keys", "audit_log_keys")
    @classmethod
    def _keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in value:
            read_key(key.get_secret_value())
        return value

    def variables(self) -> dict[str, str]:
        """Return the variables from which a child process reads the same settings, secrets included."""
        variables = {}
        for name in self.model_fields_set:
            value = getattr(self, name)
            parts = value if isinstance(value, tuple) else () if value is None else (value,)
            plain = [part.get_secret_value() if isinstance(part, SecretStr) else str(part) for part in parts]
            variables[f"{_PREFIX}{name}".upper()] = ",".join(plain)
        return variables

    @property
    def targets(self) -> Mapping[str, TargetSettings]:
        """Where CSV files may be taken, by name."""
        return {} if self.import_targets is None else read_targets(self.import_targets.get_secret_value())

    @property
    def sqlalchemy_url(self) -> str:
        """The ledger's database: the one named in the settings, or else SQLite in the data dir."""
        return self.database_url or sqlite_url(self.data_dir / "postlude.db")

    @property
    def most_processes(self) -> int:
        """How many child processes a worker has: as many as the settings say, or else one more than CPUs it may use."""
        if self.processes is not None:
            return self.processes
        cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        return cpus + 1  # which computes while another waits for its files or its next attempt

    @property
    def retention(self) -> timedelta:
        return timedelta(days=self.retention_days)

    @property
    def retention_failed(self) -> timedelta:
        """How long failed jobs are kept."""
        return timedelta(days=self.retention_failed_days or self.retention_days)

    @property
    def retention_files(self) -> timedelta:
        """How long files are kept if they do not say."""
        return timedelta(days=self.retention_files_days or self.retention_days)

    @property
    def stats_kept(self) -> timedelta | None:
        """How long quarter-hourly counts are kept; None: for ever."""
        return None if self.stats_days is None else timedelta(days=self.stats_days)

    @property
    def inbox_dir(self) -> Path:
        """Where the dev inbox keeps its mails."""
        return self.data_dir / "inbox"

    @property
    def files_dir(self) -> Path:
        """Where files are if no bucket is named."""
        return self.data_dir / "files"


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables with the prefix that are not settings, each with the most similar setting."""
    ours = {name: name.upper() for name in sorted(environment) if name.upper().startswith(_PREFIX)}
    unknown = {}
    for name, upper in ours.items():
        wanted = upper.removeprefix(_PREFIX).lower()
        if wanted not in Settings.model_fields and upper not in _CLIENT_NAMES:
            nearest = get_close_matches(wanted, Settings.model_fields, n=1)
            unknown[name] = f"{_PREFIX}{nearest[0]}".upper() if nearest else None
    return unknown


def describe_unknown(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that nobody reads, without its value."""
    return [
        f"{name} is no setting, and changes nothing; {f'do you mean {nearest}?' if nearest else 'see docs/settings.md'}"
        for name, nearest in unknown_variables(environment).items()
    ]


def describe_invalid(error: ValidationError) -> str:
    """Say in one sentence which settings cannot be used, and why. Leaves out their values, which may be secrets."""
    reasons: dict[str, list[str]] = {}
    for one in error.errors(include_input=False, include_context=False, include_url=False):
        # An error about several settings is not attributed to any single one.
        name = f"POSTLUDE_{one['loc'][0]}".upper() if one["loc"] else ""
        reasons.setdefault(name, []).append(one["msg"].removeprefix("Value error, "))
    told = {name: ", ".join(dict.fromkeys(messages)) for name, messages in reasons.items()}
    return "; ".join(f"{name}: {why}" if name else why for name, why in told.items())
