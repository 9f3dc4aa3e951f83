"""Settings from the environment, `FOREWARN_*`. Each has a help sentence; `docs/settings.md` is made from them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.duration import Duration, written
from core.errors import InvalidSettings


class Settings(BaseSettings):
    """All settings of all commands. Made once by `cli` and passed on as an argument."""

    model_config = SettingsConfigDict(env_prefix="FOREWARN_", frozen=True, extra="ignore")

    database_url: SecretStr = Field(
        SecretStr("postgresql://forewarn@127.0.0.1/forewarn"),
        description="PostgreSQL connection URL or key=value string; TimescaleDB is used when its extension is installed.",
    )
    database_pool: int = Field(4, ge=1, le=64, description="Database connections that one process keeps at the most.")

    mqtt_host: str = Field("127.0.0.1", description="Host of the MQTT broker.")
    mqtt_port: int = Field(1883, ge=1, le=65535, description="Port of the MQTT broker.")
    mqtt_username: str = Field("", description="User name at the broker; empty connects without one.")
    mqtt_password: SecretStr = Field(SecretStr(""), description="Password at the broker.")
    mqtt_version: Literal["5", "3.1.1"] = Field("5", description="MQTT version spoken to the broker: 5 or 3.1.1.")
    mqtt_tls: bool = Field(False, description="Whether the connection to the broker is encrypted (TLS).")
    mqtt_ca_file: Path | None = Field(
        None, description="File of certificate authorities for TLS; unset takes the system's."
    )
    mqtt_client_id: str = Field(
        "forewarn-gateway", description="Client id of the gateway; the broker keeps its session and backlog by it."
    )
    mqtt_receive_maximum: int = Field(
        5000,
        ge=1,
        le=65535,
        description="Messages a gateway holds unacknowledged at the most; the rest waits at the broker.",
    )

    mqtt_share: str = Field(
        "",
        pattern=r"^[^/+#\s]*$",
        description="Group of gateways that share the messages (`$share`), each with its own client id; empty takes all.",
    )
    formats: str = Field(
        "native",
        description="Payload formats the gateway reads, separated by commas, each with a topic pattern of its own if need be: see docs/gateway.md.",
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port on which `forewarn gateway` shows Prometheus metrics; 0 shows none."
    )

    profile_dir: Path | None = Field(
        None, description="Folder with device profiles of your own (*.yaml), beside the shipped ones."
    )
    clock_tolerance: Duration = Field(
        timedelta(minutes=5),
        description="How far a device's clock may be ahead before its reading is marked.",
    )
    earliest_time: datetime = Field(
        datetime(2000, 1, 1, tzinfo=UTC), description="A reading with an older device time goes to dead letters."
    )
    max_payload: int = Field(
        1_048_576,
        ge=1024,
        description="Bytes of the largest payload that is decoded; a larger one goes to dead letters.",
    )

    retention: Duration | None = Field(
        None,
        ge=timedelta(days=1),
        description="Age after which readings are dropped, like 400d; hourly means stay. Empty keeps them for ever.",
    )

    detection_interval: Duration = Field(
        timedelta(seconds=2), description="Pause between two looks of `forewarn detect` at new readings."
    )
    engine_interval: Duration = Field(
        timedelta(seconds=2), description="Pause between two looks of `forewarn engine` at findings and due notices."
    )

    train_every: Duration = Field(
        default=timedelta(days=1),
        description="How often the engine looks whether a model is to be learnt anew from solved tickets; 0s never does.",
    )
    model_promotion: bool = Field(
        False,
        description="Whether a shadow model that proves no worse than what is live goes live by itself: see docs/models.md.",
    )
    model_promotion_after: Duration = Field(
        timedelta(days=14), description="How long a shadow watches before it may go live by itself."
    )
    model_verdicts: int = Field(
        10,
        ge=1,
        description="Solved tickets (confirmed or no fault found) without which no model is promoted or taken back.",
    )
    model_least_precision: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Confirmed share of its tickets below which a live model is taken back; 0 takes none back by itself.",
    )

    http_host: str = Field("127.0.0.1", description="Address the API and the pages listen on.")
    http_port: int = Field(8000, ge=0, le=65535, description="Port the API and the pages listen on.")
    public_url: str = Field(
        "", description="Address of the pages as people reach them, for links; empty takes host and port."
    )
    admin_token: SecretStr = Field(
        SecretStr(""),
        description="The first bearer token, with the role admin; empty allows only tokens made by `forewarn token`.",
    )
    session_secret: SecretStr = Field(
        SecretStr(""),
        description="Key that signs session cookies; set the same for several API processes. Empty makes one a process.",
    )
    secure_cookies: bool = Field(
        False, description="Whether session cookies are sent over HTTPS only; switch on behind TLS."
    )

    smtp_host: str = Field("127.0.0.1", description="Host of the SMTP server for notices by email.")
    smtp_port: int = Field(25, ge=1, le=65535, description="Port of the SMTP server.")
    smtp_username: str = Field("", description="User name at the SMTP server; empty sends without signing in.")
    smtp_password: SecretStr = Field(SecretStr(""), description="Password at the SMTP server.")
    smtp_starttls: bool = Field(False, description="Whether the SMTP connection is upgraded by STARTTLS.")
    mail_from: str = Field("Forewarn <support@example.com>", description="Sender of notices by email.")
    brand: str = Field("Forewarn", description="Company name that customers read in notices and on pages.")
    support_phone: str = Field("", description="Phone number that customers read in notices; empty leaves it out.")
    quiet_hours: str = Field(
        "21:00-08:00",
        pattern=r"^$|^\d{2}:\d{2}-\d{2}:\d{2}$",
        description="Local hours in which a customer gets no notice; it waits for their end. Empty switches this off.",
    )

    data_dir: Path = Field(
        Path(".forewarn"), description="Folder of the embedded database, broker and mail sink (`forewarn demo`)."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["json", "text"] = Field("json", description="Log lines as JSON objects or as text.")

    @property
    def base_url(self) -> str:
        """Where people reach the pages, without a slash at the end."""
        return (self.public_url or f"http://{self.http_host}:{self.http_port}").rstrip("/")


def load() -> Settings:
    """Settings of this process.

    Raises InvalidSettings with each variable's name and what is wrong with it, never its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"FOREWARN_{'.'.join(map(str, e['loc'])).upper()}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise InvalidSettings("; ".join(lines)) from None


def table() -> str:
    """The documented table of all settings, Markdown."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        if isinstance(default, timedelta):
            default = written(default)
        if isinstance(default, datetime):
            default = default.isoformat()
        shown = f"`{default}`" if default not in ("", None) else ""
        rows.append(f"| `FOREWARN_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"
