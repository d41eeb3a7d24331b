"""What the router can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from router.failpoints import POINTS
from servicekit.failpoints import parse_failpoints
from servicekit.settings import (
    Duration,
    GrpcServerSettings,
    KafkaSettings,
    PathList,
    Section,
    ServiceSettings,
    WordList,
    parse_duration,
    service_config,
)


class CatalogSettings(Section):
    """What is on offer."""

    paths: PathList = Field(min_length=1, description="files, or folders of YAML files, separated by colons")
    interval: Duration = Field(default=parse_duration("1s"), description="between two looks at the files")


class ProviderSettings(Section):
    """How providers are called."""

    secrets: Path = Field(description="YAML file of provider slug to API key; read again when it changes")
    connections: int = Field(default=4000, ge=1, description="to all providers together")
    host_connections: int = Field(default=1000, ge=1, description="to one host")
    answer_bytes: int = Field(default=64 * 1024 * 1024, ge=1024, description="longest answer that is read")


class ByokSettings(Section):
    """Customers' own provider keys. Without both of the first two there are none."""

    accounts: str = Field(default="", description="their owner: host:port, or dns:///host:port for several")
    keks: Path | None = Field(default=None, description="file of key-encryption keys; read again when it changes")
    timeout: Duration = Field(default=parse_duration("2s"), description="of a question about them")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if bool(self.accounts) != (self.keks is not None):
            raise ValueError("accounts and keks go together")
        return self


class SpoolSettings(Section):
    """Where usage events are until Kafka has them."""

    dir: Path = Field(description="a folder of this router's own on a disk that survives it")
    capacity_bytes: int = Field(
        default=1024 * 1024 * 1024, ge=1024 * 1024, description="new work is refused at four fifths of it"
    )
    segment_bytes: int = Field(default=8 * 1024 * 1024, ge=64 * 1024, description="size of one of its files")
    retention: Duration = Field(
        default=parse_duration("1h"), description="how long events are kept after Kafka has them"
    )


class LimitSettings(Section):
    """How much this process takes on."""

    generations: int = Field(default=4000, ge=1, description="at the same time; more are refused")


class ChoiceSettings(Section):
    """How endpoints are chosen, where a request does not say."""

    strategy: Literal["share", "price2"] = Field(
        default="share",
        description="`share` weighs cost, speed and failures; `price2` is the inverse square of the price",
    )
    hedge: bool = Field(
        default=False,
        description="ask a second endpoint when the first token is late, at most for one stream in fifty; both cost money",
    )


class ObservationSettings(Section):
    """What routers tell each other of live traffic."""

    enabled: bool = Field(default=True, description="tell and heed it; each router goes by its own calls otherwise")


class TimeoutSettings(Section):
    """How long providers are waited for."""

    connect: Duration = Field(default=parse_duration("5s"), description="for a connection")
    first: Duration = Field(default=parse_duration("60s"), description="for the first token of a stream")
    stall: Duration = Field(default=parse_duration("30s"), description="for the next event of a stream")
    answer: Duration = Field(default=parse_duration("5m"), description="for a whole answer that is not streamed")
    usage: Duration = Field(default=parse_duration("5s"), description="for token counts after the last token")
    total: Duration = Field(default=parse_duration("15m"), description="for a generation whose caller sets no deadline")


class Settings(ServiceSettings):
    """The router's settings, read from `ROUTER_…`."""

    model_config = service_config("ROUTER")

    grpc: GrpcServerSettings = GrpcServerSettings()
    kafka: KafkaSettings = KafkaSettings()
    catalog: CatalogSettings
    providers: ProviderSettings
    byok: ByokSettings = ByokSettings()
    spool: SpoolSettings
    limits: LimitSettings = LimitSettings()
    choice: ChoiceSettings = ChoiceSettings()
    observations: ObservationSettings = ObservationSettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    failpoints: WordList = Field(default=(), description="places at which a test kills the process; see failpoints.py")

    @field_validator("failpoints")
    @classmethod
    def _known_failpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_failpoints(POINTS, value)
        return value
