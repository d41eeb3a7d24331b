"""What the health-prober can be told. Every variable starts with HEALTH_PROBER_."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from contracts.money import nano_from_usd
from servicekit.settings import Duration, KafkaSettings, PathList, Section, ServiceSettings, service_config


class CatalogSettings(Section):
    """Where the catalogue is."""

    paths: PathList = Field(min_length=1, description="folders and files, separated by colons")
    reload: Duration = Field(default=timedelta(seconds=1), gt=timedelta(0), description="between looks for changes")


class ProvidersSettings(Section):
    """How providers are paid for."""

    secrets: Path | None = Field(default=None, description="YAML file of provider slug to API key; none probes nothing")


class ScheduleSettings(Section):
    """How often endpoints are probed."""

    interval: Duration = Field(default=timedelta(seconds=30), gt=timedelta(0))
    unhealthy_interval: Duration = Field(default=timedelta(seconds=10), gt=timedelta(0))
    confirm_after: Duration = Field(
        default=timedelta(seconds=1), gt=timedelta(0), description="from a refused connection to the next probe"
    )
    jitter: float = Field(default=0.2, ge=0, le=0.5, description="share by which intervals vary")
    timeout: Duration = Field(default=timedelta(seconds=15), gt=timedelta(0), description="of one probe")
    concurrency: int = Field(default=16, ge=1, le=1000, description="probes at the same time")


class ShardSettings(Section):
    """Which part of the endpoints this replica probes."""

    count: int = Field(default=1, ge=1, le=1000, description="replicas that share the endpoints")
    index: int | None = Field(
        default=None,
        ge=0,
        description="of this replica, from 0; by default the number at the end of the instance's name",
    )


class ObservationSettings(Section):
    """What live traffic saves."""

    enabled: bool = Field(
        default=True, description="no probes of endpoints that routers' calls have shown to answer within the interval"
    )


class VerdictSettings(Section):
    """What verdicts need and how long they hold."""

    failures: int = Field(default=2, ge=1, le=100, description="in a row that make an endpoint unhealthy")
    ttl: Duration = Field(default=timedelta(seconds=90), description="from a probe to the end of its verdict")
    republish: Duration = Field(
        default=timedelta(seconds=30), gt=timedelta(0), description="between repeats of a verdict that is fresh"
    )


class BudgetSettings(Section):
    """What probes may cost."""

    daily_usd: Decimal = Field(
        default=Decimal("0.10"), ge=0, le=1_000_000, description="dollars for each endpoint and day in UTC"
    )

    @model_validator(mode="after")
    def _in_nano_dollars(self) -> Self:
        nano_from_usd(self.daily_usd)
        return self


class StateSettings(Section):
    """What outlives a restart."""

    dir: Path | None = Field(default=None, description="where today's cost of probes is kept; none forgets it")


class Settings(ServiceSettings):
    """All settings."""

    model_config = service_config("HEALTH_PROBER")

    catalog: CatalogSettings
    providers: ProvidersSettings = ProvidersSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    shard: ShardSettings = ShardSettings()
    observations: ObservationSettings = ObservationSettings()
    verdict: VerdictSettings = VerdictSettings()
    budget: BudgetSettings = BudgetSettings()
    state: StateSettings = StateSettings()
    kafka: KafkaSettings = KafkaSettings()

    @property
    def shard_index(self) -> int:
        """The number of this replica."""
        if self.shard.index is not None:
            return self.shard.index
        if self.shard.count == 1:
            return 0
        _, _, number = self.instance.rpartition("-")
        if not (number.isascii() and number.isdigit()):
            raise ValueError(
                f"the instance {self.instance!r} does not end in the number of a replica, so that SHARD_INDEX must be set"
            )
        return int(number)

    @model_validator(mode="after")
    def _the_shard_exists(self) -> Self:
        if self.shard_index >= self.shard.count:
            raise ValueError(f"there is no replica {self.shard_index} among {self.shard.count}, numbered from 0")
        return self

    @model_validator(mode="after")
    def _verdicts_outlive_intervals(self) -> Self:
        longest = self.schedule.interval * (1 + self.schedule.jitter) + self.schedule.timeout
        if self.verdict.ttl <= longest:
            raise ValueError(
                "the TTL of verdicts must be longer than an interval with its jitter and a timeout, "
                f"{longest.total_seconds():g}s, or verdicts expire before they are renewed"
            )
        return self
