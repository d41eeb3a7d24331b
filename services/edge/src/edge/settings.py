"""What the edge can be told, and nothing else looks at the environment."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from edge.failpoints import POINTS
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

_MIN_PEPPER_LENGTH = 32


class HttpSettings(Section):
    """The public port and its limits."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535, description="0 takes any free port")
    body_limit: int = Field(default=10 * 1024 * 1024, ge=1024, description="bytes of a request's body")
    audio_limit: int = Field(
        default=25 * 1024 * 1024, ge=1024, le=28 * 1024 * 1024, description="bytes of sound to transcribe"
    )
    header_limit: int = Field(default=16 * 1024, ge=1024, le=64 * 1024, description="bytes of all its headers together")
    header_timeout: Duration = Field(default=parse_duration("10s"), description="until the headers are complete")
    body_timeout: Duration = Field(default=parse_duration("15s"), description="without a byte of the body")
    idle_timeout: Duration = Field(default=parse_duration("75s"), description="of a connection between two requests")
    max_in_flight: int = Field(default=2_000, ge=1, description="completions at the same time")
    key_rate: int = Field(
        default=0,
        ge=0,
        description="requests for inference of one key a minute, at all edges together; 0 for any number",
    )
    trusted_proxies: WordList = Field(default=(), description="networks of proxies whose X-Forwarded-For is believed")
    country_header: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9-]{1,64})?$",
        description="header in which these proxies name the country of a caller, such as CF-IPCountry; empty: none",
    )
    cors_origins: WordList = Field(
        default=(), description="origins of pages that may call the API, such as https://app.example; * is every one"
    )

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if (
                text != "*"
                and re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?", text)
                is None
            ):
                raise ValueError("expected origins such as https://app.example, in lower case and without a path")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                ip_network(text)
            except ValueError:
                raise ValueError("expected networks such as 10.0.0.0/8") from None
        return value


class StreamSettings(Section):
    """Answers as server-sent events."""

    keep_alive: Duration = Field(default=parse_duration("2s"), description="without an event until a comment is sent")
    reader_timeout: Duration = Field(default=parse_duration("30s"), description="for a reader that takes nothing")


class RouterSettings(Section):
    """The routers."""

    target: str = Field(description="host:port, or dns:///host:port for several")
    deadline: Duration = Field(default=parse_duration("10m"), description="of a whole generation")
    list_interval: Duration = Field(default=parse_duration("2s"), description="between two looks at the catalogue")
    list_timeout: Duration = Field(default=parse_duration("5s"), description="of one look")


class AccountsSettings(Section):
    """The owner of keys and credit."""

    target: str = Field(description="host:port, or dns:///host:port for several")
    timeout: Duration = Field(default=parse_duration("3s"), description="of a management call")


class MeteringSettings(Section):
    """Records of generations."""

    target: str = Field(description="host:port, or dns:///host:port for several")
    timeout: Duration = Field(default=parse_duration("3s"), description="of a question")
    patience: Duration = Field(default=parse_duration("5s"), description="for a record that is not there yet")
    query_timeout: Duration = Field(default=parse_duration("15s"), description="of a question about much usage")


class PresetsSettings(Section):
    """How long knowledge about presets lasts."""

    fresh: Duration = Field(default=parse_duration("5s"), description="used without looking again")
    stale: Duration = Field(default=parse_duration("60s"), description="used while it is looked at")


class DocumentsSettings(Section):
    """PDFs of requests that are put into words, each in a process of its own."""

    pages: int = Field(default=500, ge=1, description="of one document")
    timeout: Duration = Field(default=parse_duration("20s"), description="for one document")
    workers: int = Field(default=2, ge=1, description="documents that are read at the same time")
    waiting: int = Field(default=32, ge=0, description="documents that wait for their turn; more are 503")


class CacheSettings(Section):
    """Answers that are kept for callers who want it."""

    bytes: int = Field(default=32 * 1024 * 1024, ge=0, description="of all kept answers together, 0 keeps none")


class KeysSettings(Section):
    """How long knowledge about keys lasts."""

    pepper: SecretStr = Field(description="secret of the installation that digests of keys are made with")
    previous_pepper: SecretStr | None = Field(
        default=None,
        description="while the pepper is changed: the other one that keys, sessions and invitations may be known by",
    )
    fresh: Duration = Field(default=parse_duration("60s"), description="used without asking")
    stale: Duration = Field(
        default=parse_duration("15m"), description="how long after that it is used when nobody can confirm it"
    )
    negative: Duration = Field(default=parse_duration("5s"), description="how long an unknown key stays unknown")
    timeout: Duration = Field(default=parse_duration("2s"), description="for an answer about an unknown key")
    lookups: int = Field(default=4, ge=1, le=32, description="questions at the same time, each about 500 keys at most")

    @field_validator("pepper", "previous_pepper")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _MIN_PEPPER_LENGTH:
            raise ValueError(f"expected at least {_MIN_PEPPER_LENGTH} characters")
        return value

    @model_validator(mode="after")
    def _peppers_differ(self) -> Self:
        if self.previous_pepper == self.pepper:
            raise ValueError("previous_pepper must be another one than pepper")
        return self


class SessionsSettings(Section):
    """Sessions of people who are signed in."""

    secure: bool = Field(default=True, description="whether browsers keep the cookie for HTTPS only")
    openid: bool = Field(
        default=False, description="whether the page of /auth offers the OpenID provider that accounts knows"
    )


class CreditSettings(Section):
    """How much credit is set aside."""

    default_output_tokens: int = Field(
        default=4_096, ge=1, description="output that is paid for in advance when a request sets no limit, at least"
    )


class LeaseSettings(Section):
    """What is borrowed from accounts and spent here: credit, and shares of rate limits."""

    cover: Duration = Field(
        default=parse_duration("15m"), description="how long a lease should last at the present rate of spending"
    )
    least_cents: int = Field(
        default=10, ge=0, description="hundredths of a dollar that are borrowed at least, where there is plenty"
    )
    unused: Duration = Field(
        default=parse_duration("3s"),
        description="how long a share of a rate limit should last at the present rate; what is left of it then goes back",
    )
    patience: Duration = Field(
        default=parse_duration("1s"),
        description="of a request for a share of a rate limit; without an answer an equal part of the limit holds here",
    )


class LimitSettings(Section):
    """Rate limits."""

    edges: int = Field(
        default=1,
        ge=1,
        description="edges that have equal parts of what is not lent: limits of addresses, requests at the same time,"
        " EDGE_HTTP_KEY_RATE, and every rate limit while accounts does not answer",
    )
    address_requests: int = Field(default=0, ge=0, description="of one address a minute, with a key; 0 for any number")
    address_failures: int = Field(
        default=300, ge=0, description="of one address a minute, with a key that is good for nothing; 0 for any number"
    )
    address_tokens: int = Field(
        default=0, ge=0, description="of prompts and answers for one address a minute; 0 for any number"
    )
    address_concurrency: int = Field(
        default=0, ge=0, description="requests of one address at the same time, with a key or without; 0 for any number"
    )


class ByokSettings(Section):
    """Fee for requests that customers' own provider keys pay for."""

    fee_ppm: int = Field(default=50_000, ge=0, le=1_000_000, description="millionths of the list price")
    allowance_usd: int = Field(default=25_000, ge=0, description="list price in a month without a fee")


class JournalSettings(Section):
    """Generations that have begun and not ended, in the folder of the state."""

    capacity_bytes: int = Field(
        default=256 * 1024 * 1024,
        ge=1024 * 1024,
        description="of its files, and of the spool's; at four fifths of the first nothing new is served",
    )
    patience: Duration = Field(
        default=parse_duration("20s"), description="for the router to state what a caller that left has used"
    )
    reap: Duration = Field(
        default=parse_duration("20m"),
        description="after its start a generation that a killed edge left behind is stated as never ended",
    )


class StateSettings(Section):
    """What outlives a restart."""

    dir: Path = Field(description="folder of this edge's own: snapshots of keys, the journal, the spool")


class Settings(ServiceSettings):
    """Settings of the edge: `EDGE_<FIELD>` and `EDGE_<SECTION>_<FIELD>`."""

    model_config = service_config("EDGE")

    http: HttpSettings = HttpSettings()
    stream: StreamSettings = StreamSettings()
    kafka: KafkaSettings = KafkaSettings()
    router: RouterSettings
    accounts: AccountsSettings
    metering: MeteringSettings
    keys: KeysSettings
    cache: CacheSettings = CacheSettings()
    documents: DocumentsSettings = DocumentsSettings()
    presets: PresetsSettings = Field(default_factory=PresetsSettings)
    sessions: SessionsSettings = SessionsSettings()
    credit: CreditSettings = CreditSettings()
    leases: LeaseSettings = LeaseSettings()
    limits: LimitSettings = LimitSettings()
    byok: ByokSettings = ByokSettings()
    state: StateSettings
    journal: JournalSettings = JournalSettings()
    failpoints: WordList = Field(default=(), description="places at which a test kills the process; see failpoints.py")

    @field_validator("failpoints")
    @classmethod
    def _known_failpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_failpoints(POINTS, value)
        return value
