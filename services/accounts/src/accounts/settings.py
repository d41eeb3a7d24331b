"""What accounts can be told, and nothing else looks at the environment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from accounts.failpoints import POINTS
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

_MIN_PEPPER_LENGTH = 32


class PostgresSettings(Section):
    """Where organisations, keys and the ledger are kept."""

    dsn: SecretStr = Field(description="postgresql://user:password@host:port/database, of the role that serves")
    owner_dsn: SecretStr | None = Field(default=None, description="the same of the role that has the tables")
    pool: int = Field(default=10, ge=2, le=200, description="connections; one is kept by each batch that settles")
    connect_timeout: Duration = Field(default=parse_duration("3s"), description="of a new connection")
    statement_timeout: Duration = Field(default=parse_duration("10s"), description="after which PostgreSQL gives up")
    migrate: bool = Field(
        default=True, description="run pending migrations at start, with owner_dsn; otherwise wait for them"
    )

    @field_validator("dsn", "owner_dsn")
    @classmethod
    def _postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("expected postgresql://user:password@host:port/database")
        return value

    @model_validator(mode="after")
    def _owner_migrates(self) -> Self:
        if self.migrate and self.owner_dsn is None:
            raise ValueError("owner_dsn is required to run migrations; without it set migrate to false")
        return self


class KeysSettings(Section):
    """How keys are named in the store."""

    pepper: SecretStr = Field(description="secret of the installation that digests of keys are made with")
    previous_pepper: SecretStr | None = Field(
        default=None, description="while the pepper is changed: the other one that keys may be looked up under"
    )
    move: bool = Field(
        default=False,
        description="whether keys that are used move from previous_pepper to pepper: when every edge and accounts has the two",
    )
    audit_pepper: SecretStr | None = Field(
        default=None,
        description="what the audit log is chained under: the first pepper of the installation, from the first change of it on; "
        "required with previous_pepper; without it the pepper is",
    )

    @field_validator("pepper", "previous_pepper", "audit_pepper")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _MIN_PEPPER_LENGTH:
            raise ValueError(f"expected at least {_MIN_PEPPER_LENGTH} characters")
        return value

    @model_validator(mode="after")
    def _can_be_changed(self) -> Self:
        if self.previous_pepper == self.pepper:
            raise ValueError("previous_pepper must be another one than pepper")
        # Under another one every entry of every chain would look altered.
        if self.previous_pepper is not None and self.audit_pepper is None:
            raise ValueError("audit_pepper is required with previous_pepper")
        return self


def audit_pepper(keys: KeysSettings) -> bytes:
    """What the audit log is chained under."""
    return (keys.audit_pepper or keys.pepper).get_secret_value().encode()


class OidcSettings(Section):
    """The OpenID provider that people may sign in with. None without an issuer."""

    issuer: str | None = Field(default=None, description="its address, as its tokens say it; https only")
    client_id: str = Field(default="", description="what it knows us by")
    client_secret: SecretStr = Field(default=SecretStr(""), description="what it knows us by")
    redirect_url: str = Field(
        default="", description="where it sends browsers back to: .../api/v1/auth/oidc/callback of the edge"
    )
    timeout: Duration = Field(default=parse_duration("5s"), description="of a question to it")

    @field_validator("issuer", "redirect_url")
    @classmethod
    def _https(cls, value: str | None) -> str | None:
        if value and not value.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ValueError("expected https://")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.issuer and not (self.client_id and self.client_secret.get_secret_value() and self.redirect_url):
            raise ValueError("client_id, client_secret and redirect_url are required with an issuer")
        return self


class ByokSettings(Section):
    """Customers' own provider keys."""

    keks: Path | None = Field(
        default=None,
        description="file of key-encryption keys; without it none are stored, and no destinations of broadcast",
    )


class BroadcastSettings(Section):
    """Destinations that usage is broadcast to."""

    private_networks: bool = Field(
        default=False, description="destinations may be on private networks, and speak HTTP without TLS"
    )


class ContentsSettings(Section):
    """What was said in generations of keys that opted in."""

    key: SecretStr | None = Field(
        default=None,
        description="secret of the installation that contents are encrypted with; without one none is kept",
    )
    ttl: Duration = Field(default=parse_duration("90d"), description="how long a content is kept")
    interval: Duration = Field(default=parse_duration("10m"), description="between two looks for contents to delete")

    @field_validator("key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _MIN_PEPPER_LENGTH:
            raise ValueError(f"expected at least {_MIN_PEPPER_LENGTH} characters")
        return value


class SettlementSettings(Section):
    """How usage events are gathered before a transaction."""

    batch: int = Field(default=5_000, ge=1, le=10_000, description="usage events in one transaction")
    wait: Duration = Field(default=parse_duration("100ms"), description="how long to wait for a record")


class CatalogSettings(Section):
    """What usage may be charged at. Without paths, at any price that an event carries."""

    paths: PathList = Field(
        default=(), description="files, or folders of YAML files, separated by colons: those that routers price by"
    )
    interval: Duration = Field(
        default=parse_duration("1s"),
        description="between two looks at the files, and for usage that waits for a price version",
    )


class LeasesSettings(Section):
    """What is lent to edges, and for how long."""

    ttl: Duration = Field(
        default=parse_duration("16m"), description="how long an edge may spend what it was lent after it last heard"
    )
    grace: Duration = Field(
        default=parse_duration("25m"),
        description="from then until what is left is free: the longest request, and the lag of settlement",
    )
    interval: Duration = Field(default=parse_duration("10s"), description="between two looks for leases that are over")

    @field_validator("ttl", "grace", "interval")
    @classmethod
    def _some_time(cls, value: timedelta) -> timedelta:
        if value <= timedelta(0):
            raise ValueError("expected more than 0")
        return value


class PaymentSettings(Section):
    """How credit is sold. Without an API key it is not."""

    api_key: SecretStr | None = Field(
        default=None, description="secret key of the Stripe account; without one no credit is sold"
    )
    webhook_secret: SecretStr | None = Field(
        default=None, description="signs what Stripe sends; required with the API key"
    )
    api_base: str = Field(default="", description="address of Stripe's API; empty for Stripe's own")
    timeout: Duration = Field(default=parse_duration("10s"), description="of a call to Stripe")
    fee: int = Field(default=500, ge=0, le=10_000, description="on bought credit, in hundredths of a percent of it")
    look_interval: Duration = Field(
        default=parse_duration("30s"), description="between two looks for organisations whose credit runs low"
    )

    @model_validator(mode="after")
    def _webhooks_are_signed(self) -> Self:
        # S43: with an empty secret anybody could sign, and give themselves credit.
        secret = "" if self.webhook_secret is None else self.webhook_secret.get_secret_value()
        if self.api_key is not None and not secret.strip():
            raise ValueError("webhook_secret is required with api_key")
        return self


class OutboxSettings(Section):
    """How changes reach Kafka."""

    interval: Duration = Field(default=parse_duration("200ms"), description="between two looks at the outbox")
    batch: int = Field(default=500, ge=1, le=5_000, description="changes in one transaction")


class Settings(ServiceSettings):
    """Settings of accounts: `ACCOUNTS_<FIELD>` and `ACCOUNTS_<SECTION>_<FIELD>`."""

    model_config = service_config("ACCOUNTS")

    grpc: GrpcServerSettings = GrpcServerSettings()
    kafka: KafkaSettings = KafkaSettings()
    postgres: PostgresSettings
    keys: KeysSettings
    oidc: OidcSettings = OidcSettings()
    byok: ByokSettings = ByokSettings()
    broadcast: BroadcastSettings = BroadcastSettings()
    contents: ContentsSettings = ContentsSettings()
    settlement: SettlementSettings = SettlementSettings()
    outbox: OutboxSettings = OutboxSettings()
    catalog: CatalogSettings = CatalogSettings()
    leases: LeasesSettings = LeasesSettings()
    payments: PaymentSettings = PaymentSettings()
    failpoints: WordList = Field(default=(), description="places at which a test kills the process; see failpoints.py")

    @field_validator("failpoints")
    @classmethod
    def _known_failpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_failpoints(POINTS, value)
        return value

    @model_validator(mode="after")
    def _transactions_outlast_sends(self) -> Self:
        # PostgreSQL ends a transaction that is idle for twice the statement timeout. The outbox waits for the broker in
        # one; if it ended before the sends are given up, another publisher could overtake them.
        if 2 * self.postgres.statement_timeout <= self.kafka.send_timeout:
            raise ValueError("kafka.send_timeout must be below twice postgres.statement_timeout")
        return self
