"""Questions about the traffic of everybody. No answer names an organisation, and private traffic is in none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol

from contracts.analytics import CONTEXT_BUCKETS
from metering.domain.endpoint_stats import share
from metering.domain.errors import InvalidQuestionError
from metering.domain.rollups import UnixSeconds

DAY_S: Final = 86_400
MAX_DAYS: Final = 366
MAX_PROVIDER_DAYS: Final = 31
MAX_CATEGORIES: Final = 20
MAX_MODELS: Final = 2_000
# Fewer sessions could tell what one customer does.
LEAST_SESSIONS: Final = 5
TURN_RANGES: Final = ("1-turn", "2-9-turns", "10-49-turns", "50-plus-turns")


class Period(Enum):
    """Length of a bucket of time, in UTC; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class RankedKind(Enum):
    """What is ranked."""

    MODEL = "model"
    APP = "app"


class ShareHolder(Enum):
    """Whose share of the traffic."""

    AUTHOR = "author"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class TrafficFilter:
    """Which traffic: whole UTC days from `start` to `end` (exclusive), and conditions that all hold.

    Attributes:
        categories: of applications, one of which is enough; none for all.
        models: only these; None for all.
        context_bucket: place of the prompt's length among `CONTEXT_BUCKETS`; None for all.
        with_tools: only answers with calls of tools.

    Raises:
        InvalidQuestionError: the period is empty, too long or not of whole days, or there are too many conditions, or those
            that do not go together: categories stand alone, as traffic is added up for them by itself.
    """

    start: UnixSeconds
    end: UnixSeconds
    categories: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None
    context_bucket: int | None = None
    with_tools: bool = False

    def __post_init__(self) -> None:
        check_days(self.start, self.end, MAX_DAYS)
        if len(self.categories) > MAX_CATEGORIES:
            raise InvalidQuestionError("categories", f"has more than {MAX_CATEGORIES}")
        if self.models is not None and len(self.models) > MAX_MODELS:
            raise InvalidQuestionError("models", f"has more than {MAX_MODELS}")
        if self.categories and self.has_models:
            raise InvalidQuestionError("categories", "cannot be combined with models, context_bucket or with_tools")

    @property
    def has_models(self) -> bool:
        """Whether there is a condition that only traffic of models can be held to."""
        return self.models is not None or self.context_bucket is not None or self.with_tools


class ModelTraffic(NamedTuple):
    """Traffic of a model, or of `other`, in the bucket that begins on a date."""

    date: str
    model: str
    tokens: int
    requests: int


class Ranked(NamedTuple):
    """One place; `app_id` and `title` are those of an application."""

    rank: int
    name: str
    app_id: int
    title: str
    tokens: int
    requests: int
    score: float


class MarketShare(NamedTuple):
    """One holder's part of the bucket that begins on a date; shares from 0 to 1."""

    date: str
    name: str
    tokens: int
    requests: int
    token_share: float
    request_share: float


class SessionCost(NamedTuple):
    """What sessions of one application, model and length cost."""

    app: str
    app_id: int
    title: str
    model: str
    turn_range: str
    median_nano_usd: float
    sessions: int


class ProviderDay(NamedTuple):
    """A provider on a day. `busy_minutes` had ten calls or more, and in `good_minutes` of them 80 % were answered."""

    provider: str
    date: str
    successes: int
    errors: int
    rate_limited: int
    busy_minutes: int
    good_minutes: int

    @property
    def uptime(self) -> float | None:
        """Share of the calls that count which were answered; None without any."""
        return share(self.successes, self.successes + self.errors)

    @property
    def share_of_good_minutes(self) -> float | None:
        """Share of the busy minutes that were good; None without any."""
        return share(self.good_minutes, self.busy_minutes)


@dataclass(frozen=True, slots=True)
class RankingQuestion:
    """A ranking by tokens or requests, or by how much they grew.

    Raises:
        InvalidQuestionError: applications are ranked under a condition of models.
    """

    traffic: TrafficFilter
    kind: RankedKind
    trending: bool
    by_requests: bool
    limit: int
    offset: int

    def __post_init__(self) -> None:
        if self.kind is RankedKind.APP and self.traffic.has_models:
            raise InvalidQuestionError("kind", "of applications can be combined with categories only")


@dataclass(frozen=True, slots=True)
class SessionQuestion:
    """What sessions cost that began in the days from `start` to `end`; empty words ask for all."""

    start: UnixSeconds
    end: UnixSeconds
    apps: tuple[str, ...]
    model: str
    turn_range: str
    limit: int
    offset: int


class Insight(Protocol):
    """Answers about everybody. Every method may raise UsageLogError."""

    async def model_series(
        self, traffic: TrafficFilter, period: Period, top: int, *, by_requests: bool
    ) -> Sequence[ModelTraffic]:
        """The `top` models of each bucket and `other`: by date, largest first, `other` last."""
        ...

    async def rankings(self, question: RankingQuestion) -> Sequence[Ranked]:
        """One page of a ranking."""
        ...

    async def market_shares(self, traffic: TrafficFilter, holder: ShareHolder, period: Period) -> Sequence[MarketShare]:
        """Shares by date, largest first."""
        ...

    async def session_costs(self, question: SessionQuestion) -> Sequence[SessionCost]:
        """Costs of sessions by application, model and length."""
        ...

    async def provider_days(self, start: UnixSeconds, end: UnixSeconds, provider: str) -> Sequence[ProviderDay]:
        """Reliability by provider and day; an empty provider asks for all."""
        ...


def check_days(start: UnixSeconds, end: UnixSeconds, most: int) -> None:
    """Check a period of whole days.

    Raises:
        InvalidQuestionError: it is empty, too long, or does not begin and end with a day.
    """
    if start >= end:
        raise InvalidQuestionError("start", "is not before end")
    if start % DAY_S or end % DAY_S:
        raise InvalidQuestionError("start", "and end must be the beginning of a UTC day")
    if end - start > most * DAY_S:
        raise InvalidQuestionError("end", f"is more than {most} days after start")


def context_bucket_of(name: str) -> int | None:
    """The place of a length of prompts; None for an empty name.

    Raises:
        InvalidQuestionError: there is no such length.
    """
    if not name:
        return None
    if name not in CONTEXT_BUCKETS:
        raise InvalidQuestionError("context_bucket", f"must be one of {', '.join(CONTEXT_BUCKETS)}")
    return CONTEXT_BUCKETS.index(name)
