"""What metering can be told, and nothing else looks at the environment."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from metering.failpoints import POINTS
from servicekit.failpoints import parse_failpoints
from servicekit.settings import (
    Duration,
    GrpcServerSettings,
    KafkaSettings,
    Section,
    ServiceSettings,
    WordList,
    parse_duration,
    service_config,
)

_SCHEMES = ("chdb:///", "http://", "https://")


class ClickHouseSettings(Section):
    """Where usage events are kept."""

    dsn: SecretStr = Field(
        description="chdb:///path for the embedded engine, http(s)://user:password@host:port/database"
    )
    cluster: str | None = Field(default=None, description="ClickHouse cluster on which tables are replicated")
    migrate: bool = Field(
        default=True, description="run pending migrations at start; otherwise refuse to start with them"
    )
    threads: int = Field(default=4, ge=1, le=64, description="calls at a time to a server; an embedded engine has one")
    waiting: int = Field(
        default=64, ge=1, description="questions that may wait for the store before the next is refused"
    )
    patience: Duration = Field(default=parse_duration("60s"), description="how long to wait for the store at start")
    query_timeout: Duration = Field(default=parse_duration("10s"), description="after which a question is given up")

    @field_validator("dsn")
    @classmethod
    def _known_scheme(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(_SCHEMES):
            raise ValueError(f"expected one of {', '.join(_SCHEMES)}")
        return value


class BatchSettings(Section):
    """How usage events are gathered before an insert."""

    interval: Duration = Field(default=parse_duration("250ms"), description="between two inserts")
    rows: int = Field(default=10_000, ge=1, le=100_000, description="in one insert, of all partitions that are read")
    waiting: int = Field(default=60_000, ge=1, description="events that may wait in memory while the store is down")


class FuseSettings(Section):
    """When so many events are invalid that the service stops."""

    consecutive: int = Field(default=100, ge=1, description="invalid events in a row")
    ratio: float = Field(default=0.5, gt=0, le=1, description="share of invalid events among the last `window`")
    window: int = Field(default=1_000, ge=10, description="events over which the ratio is taken")


class RecentSettings(Section):
    """The latest events in memory."""

    events: int = Field(default=60_000, ge=1, description="about 0.7 KB each")


class RollupSettings(Section):
    """Sums by minute, hour and day."""

    interval: Duration = Field(default=parse_duration("10s"), description="between two looks for new usage events")
    stats_interval: Duration = Field(
        default=parse_duration("15s"), description="between two publications of endpoint statistics"
    )


class ReconcileSettings(Section):
    """The comparison with the ledger. Without the first there is none."""

    accounts: str = Field(default="", description="owner of the ledger: host:port, or dns:///host:port for several")
    interval: Duration = Field(default=parse_duration("1h"), description="between two comparisons")
    period: Duration = Field(default=parse_duration("48h"), description="how far back each of them looks")
    settling: Duration = Field(
        default=parse_duration("15m"), description="after the end of an hour, until it counts as closed"
    )


class Settings(ServiceSettings):
    """Settings of metering: `METERING_<FIELD>` and `METERING_<SECTION>_<FIELD>`."""

    model_config = service_config("METERING")

    grpc: GrpcServerSettings = GrpcServerSettings()
    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings
    batch: BatchSettings = BatchSettings()
    fuse: FuseSettings = FuseSettings()
    recent: RecentSettings = RecentSettings()
    rollup: RollupSettings = RollupSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    failpoints: WordList = Field(default=(), description="places at which a test kills the process; see failpoints.py")

    @field_validator("failpoints")
    @classmethod
    def _known_failpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_failpoints(POINTS, value)
        return value

    @model_validator(mode="after")
    def _recent_holds_what_waits(self) -> Self:
        # Otherwise a generation could be forgotten before it is in the store, and be found nowhere.
        if self.recent.events < self.batch.waiting:
            raise ValueError("recent.events must not be below batch.waiting")
        return self
