"""What the sender can be told, and nothing else looks at the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from metering.broadcast.failpoints import POINTS
from servicekit.failpoints import parse_failpoints
from servicekit.settings import (
    Duration,
    KafkaSettings,
    Section,
    ServiceSettings,
    WordList,
    parse_duration,
    service_config,
)


class AccountsSettings(Section):
    """Who knows the destinations."""

    target: str = Field(default="127.0.0.1:50052", description="host:port of accounts, or dns:///host:port")
    timeout: Duration = Field(default=parse_duration("5s"), description="of a call")
    interval: Duration = Field(
        default=parse_duration("5s"), description="between two looks for changes, and two reports"
    )
    keks: Path = Field(description="file of key-encryption keys, the same as that of accounts")


class SpoolSettings(Section):
    """What waits to be sent."""

    dir: Path = Field(description="folder of the spool, on a disk that outlives the process")
    events: int = Field(default=100_000, ge=1, description="that wait for one destination; the oldest give way")
    total: int = Field(
        default=1_000_000, ge=1, description="that wait in all; the longest queue gives way, about 1 KB each"
    )


class SendingSettings(Section):
    """How it is sent."""

    timeout: Duration = Field(default=parse_duration("10s"), description="of a request to a destination")
    connections: int = Field(default=256, ge=1, description="requests at a time")
    batch: int = Field(default=100, ge=1, le=10_000, description="events in one request")
    objects: int = Field(default=5_000, ge=1, le=100_000, description="events in one object of a bucket")
    linger: Duration = Field(default=parse_duration("1s"), description="that an event waits for others")
    objects_linger: Duration = Field(default=parse_duration("60s"), description="the same for an object of a bucket")
    content_linger: Duration = Field(
        default=parse_duration("5s"),
        description="that an event waits at least for what was said in it, where that is sent",
    )
    retry_first: Duration = Field(default=parse_duration("1s"), description="longest pause after the first failure")
    retry_longest: Duration = Field(default=parse_duration("10m"), description="longest pause between two attempts")
    give_up: Duration = Field(
        default=parse_duration("72h"),
        description="of failures without a success, after which a destination is switched off",
    )
    private_networks: bool = Field(
        default=False, description="destinations may be on private networks, and speak HTTP without TLS"
    )


class Settings(ServiceSettings):
    """Settings of the sender: `BROADCAST_<FIELD>` and `BROADCAST_<SECTION>_<FIELD>`."""

    model_config = service_config("BROADCAST")

    kafka: KafkaSettings = KafkaSettings()
    accounts: AccountsSettings
    spool: SpoolSettings
    sending: SendingSettings = SendingSettings()
    failpoints: WordList = Field(default=(), description="places at which a test kills the process; see failpoints.py")

    @field_validator("failpoints")
    @classmethod
    def _known_failpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_failpoints(POINTS, value)
        return value
