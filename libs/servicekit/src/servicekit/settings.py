"""Settings: read once from the environment into one frozen value, with all problems reported together.

A service declares sections (frozen models with one-word names) in a subclass of `ServiceSettings`:

    class HttpSettings(Section):
        host: str = "127.0.0.1"
        port: int = 8080

    class Settings(ServiceSettings):
        model_config = service_config("EDGE")
        http: HttpSettings = HttpSettings()

and `load(Settings)` reads `EDGE_HTTP_PORT` into `settings.http.port`. Making a value directly (`Settings(http=…)`) never
looks at the environment.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from servicekit.durations import Duration, parse_duration

__all__ = [
    "AdminSettings",
    "DrainSettings",
    "Duration",
    "GrpcServerSettings",
    "KafkaSettings",
    "LogSettings",
    "PathList",
    "Section",
    "ServiceSettings",
    "SettingsError",
    "TelemetrySettings",
    "WordList",
    "environment_names",
    "load",
    "parse_duration",
    "secret_names",
    "service_config",
]

OTLP_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""The variable of the OpenTelemetry specification; `<PREFIX>_TELEMETRY_OTLP_ENDPOINT` wins over it."""

_FILE: Final = "_FILE"
S = TypeVar("S", bound="ServiceSettings")


class SettingsError(Exception):
    """The environment does not make valid settings.

    Attributes:
        problems: one line for each, `NAME: what is wrong`; never with the value of a secret.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _split(separator: str) -> BeforeValidator:
    def split(value: Any) -> Any:
        return [part for part in value.split(separator) if part] if isinstance(value, str) else value

    return BeforeValidator(split)


PathList = Annotated[tuple[Path, ...], _split(":")]
"""A settings field: paths separated by `:`."""

WordList = Annotated[tuple[str, ...], _split(",")]
"""A settings field: words separated by `,`."""


class Section(BaseModel):
    """A group of settings. Frozen; unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AdminSettings(Section):
    """Where liveness, readiness and metrics are served."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535, description="0 takes any free port")


class LogSettings(Section):
    """What is logged to standard output, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class TelemetrySettings(Section):
    """Where traces and metrics go."""

    sample_ratio: float = Field(default=1.0, ge=0, le=1, description="share of the traces that start here")
    otlp_endpoint: str | None = Field(default=None, description="gRPC address of a collector; none turns tracing off")


class DrainSettings(Section):
    """How long a stop may take."""

    propagation: Duration = Field(default=parse_duration("0"), description="from not ready to refusing new work")
    grace: Duration = Field(default=parse_duration("20s"), description="for all components together")
    reserve: Duration = Field(
        default=parse_duration("2s"), description="for each component, even when grace is used up"
    )

    def longest(self, components: int) -> timedelta:
        """How long the drain of this many components takes at most."""
        return self.propagation + self.grace + self.reserve * components


class GrpcServerSettings(Section):
    """Where a gRPC server listens."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535, description="0 takes any free port")
    max_connection_age: Duration = Field(
        default=parse_duration("5m"), description="clients then connect anew, so that new servers get their share"
    )


class KafkaSettings(Section):
    """How the cluster is reached, and what is waited for."""

    brokers: str = Field(default="127.0.0.1:9092", description="bootstrap addresses, separated by commas")
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = Field(default=None, description="certificates to trust instead of the system's")
    request_timeout: Duration = Field(default=parse_duration("10s"), description="of one request to a broker")
    send_timeout: Duration = Field(default=parse_duration("10s"), description="until a record must be acknowledged")
    linger: Duration = Field(default=parse_duration("5ms"), description="how long a batch may wait for more records")
    compression: Literal["none", "gzip"] = "none"
    max_in_flight: int = Field(default=5000, ge=1, description="records that are sent and not acknowledged")
    watch_interval: Duration = Field(default=parse_duration("1s"), description="between two looks at the cluster's id")
    session_timeout: Duration = Field(
        default=parse_duration("30s"), description="until a dead member's partitions move"
    )
    max_poll_interval: Duration = Field(default=parse_duration("5m"), description="in which a consumer must ask again")
    stall_timeout: Duration = Field(default=parse_duration("15s"), description="without progress until a new consumer")
    stuck_timeout: Duration = Field(
        default=parse_duration("5m"),
        description="without progress, with records to read and a cluster that answers, until liveness fails",
    )


class ServiceSettings(BaseSettings):
    """What every service can be told; a service adds its sections."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    instance: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}", min_length=1)
    region: str = "local"
    admin: AdminSettings = AdminSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    drain: DrainSettings = DrainSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed: the environment is read by `load` and nowhere else."""
        return (init_settings,)


def service_config(prefix: str) -> SettingsConfigDict:
    """The `model_config` of a service whose variables start with `<prefix>_`."""
    return SettingsConfigDict(
        env_prefix=f"{prefix}_", env_nested_delimiter="_", env_nested_max_split=1, frozen=True, extra="forbid"
    )


def load(settings_type: type[S], environ: Mapping[str, str] | None = None) -> S:
    """Read settings from the environment.

    `<PREFIX>_<FIELD>` sets a field, `<PREFIX>_<SECTION>_<FIELD>` a field of a section. Values are text that the field's
    type parses; an empty value counts as not set. A variable with the prefix that no field wants is a problem too. A secret may be in a
    file, which `<VARIABLE>_FILE` names: its text without the last line end.

    Args:
        settings_type: what to read.
        environ: instead of the process environment.

    Raises:
        SettingsError: with all problems.
    """
    environ = os.environ if environ is None else environ
    prefix = settings_type.model_config.get("env_prefix") or ""
    names = environment_names(settings_type)
    secrets = secret_names(settings_type)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name in sorted(environ):
        if not name.startswith(prefix) or not prefix or not environ[name]:
            continue
        if name in names:
            _place(values, names[name], environ[name])
        elif (secret := name.removesuffix(_FILE)) in secrets:
            if environ.get(secret):
                problems.append(f"{name}: {secret} is set too")
            else:
                try:
                    _place(values, names[secret], _secret_in(Path(environ[name])))
                except ValueError as error:
                    problems.append(f"{name}: {error}")
        else:
            problems.append(f"{name}: no such setting")
    if environ.get(OTLP_ENDPOINT):
        values.setdefault("telemetry", {}).setdefault("otlp_endpoint", environ[OTLP_ENDPOINT])
    try:
        settings = settings_type(**values)
    except ValidationError as error:
        by_path = {path: name for name, path in names.items()}
        problems += [_describe(detail, by_path, settings_type, prefix) for detail in error.errors(include_url=False)]
    if problems:
        raise SettingsError(sorted(problems))
    return settings


def environment_names(settings_type: type[ServiceSettings]) -> dict[str, tuple[str, ...]]:
    """Every variable that `settings_type` reads, with the path of its field: `{"EDGE_HTTP_PORT": ("http", "port")}`."""
    prefix = settings_type.model_config.get("env_prefix") or ""
    return {prefix + "_".join(path).upper(): path for path, _ in _leaves(settings_type)}


def secret_names(settings_type: type[ServiceSettings]) -> frozenset[str]:
    """The variables of `settings_type` that hold a secret, and may be replaced by one that names a file."""
    prefix = settings_type.model_config.get("env_prefix") or ""
    leaves = _leaves(settings_type)
    return frozenset(prefix + "_".join(path).upper() for path, field in leaves if _is_secret(field.annotation))


def _secret_in(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        # The message of the error holds the content.
        raise ValueError("is not text") from None
    if not text:
        raise ValueError("is empty")
    return text


def _leaves(settings_type: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, field in settings_type.model_fields.items():
        section = _section(field)
        if section is None:
            yield (name,), field
        else:
            for inner, leaf in section.model_fields.items():
                yield (name, inner), leaf


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """The model that a field holds, also if it may be None."""
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _place(values: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    for section in path[:-1]:
        values = values.setdefault(section, {})
    values[path[-1]] = value


def _describe(
    detail: ErrorDetails, names: Mapping[tuple[str, ...], str], settings_type: type[BaseModel], prefix: str
) -> str:
    location = tuple(str(part) for part in detail["loc"])
    fields = dict(_leaves(settings_type))
    path = next((location[:length] for length in (2, 1) if location[:length] in names), location)
    name = names.get(path) or prefix + ("_".join(location).upper() or "*")
    if detail["type"] == "missing":
        missing = [names[leaf] for leaf in fields if leaf[: len(location)] == location and fields[leaf].is_required()]
        return f"{', '.join(missing) or name}: required"
    field = fields.get(path)
    if field is not None and _is_secret(field.annotation):
        return f"{name}: not accepted (the value is secret and not shown; {detail['type']})"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{name}: {message}"


def _is_secret(annotation: Any) -> bool:
    return annotation in (SecretStr, SecretBytes) or any(_is_secret(part) for part in get_args(annotation))
