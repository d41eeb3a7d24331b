"""Types of the answers about everybody's traffic. Counts of tokens are text, as at OpenRouter: they outgrow 53 bits."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from edge.api.http.answer import Answer

T = TypeVar("T")


class DatasetMeta(Answer, frozen=True, kw_only=True):
    """When the answer was made, and the days that it covers, both ends in it."""

    as_of: str
    start_date: str
    end_date: str
    version: Literal["v1"]


class Dataset(Answer, Generic[T], frozen=True, kw_only=True):
    """Rows about a period."""

    data: list[T]
    meta: DatasetMeta


class DailyModel(Answer, frozen=True, kw_only=True):
    """Traffic of a model, or of `other`, in the bucket that begins on `date`."""

    date: str
    model_permaslug: str
    total_tokens: str
    total_requests: int


class RankedModel(Answer, frozen=True, kw_only=True):
    """A place among the models."""

    rank: int
    model_permaslug: str
    total_tokens: str
    total_requests: int


class RankedApp(Answer, frozen=True, kw_only=True):
    """A place among the applications."""

    rank: int
    app_id: int
    app_name: str
    total_tokens: str
    total_requests: int


class ShareItem(Answer, frozen=True, kw_only=True):
    """An author's or a provider's part of the bucket that begins on `date`. Shares are from 0 to 1."""

    date: str
    name: str
    total_tokens: str
    total_requests: int
    token_share: float
    request_share: float


class SessionCostItem(Answer, frozen=True, kw_only=True):
    """What a session costs at the median, in dollars."""

    app_slug: str
    app_name: str
    model_permaslug: str
    turn_range: Literal["1-turn", "2-9-turns", "10-49-turns", "50-plus-turns"]
    median_session_cost_usd: float


class SessionCostMeta(Answer, frozen=True, kw_only=True):
    """When the answer was made, and the days that it covers."""

    as_of: str
    version: Literal["v1"]
    window_days: int | None
    window_end_date: str | None


class SessionCosts(Answer, frozen=True, kw_only=True):
    """What sessions cost."""

    data: list[SessionCostItem]
    meta: SessionCostMeta


class EffectivenessItem(Answer, frozen=True, kw_only=True):
    """An endpoint's price against its speed over the last day.

    Prices are dollars per million tokens as they were paid, cached input included; `blended_price` is three parts of input
    and one of output. `is_efficient`: no other endpoint of the model is both cheaper and faster. `quality` is null, because
    nobody measures it here.
    """

    model_permaslug: str
    endpoint_id: str
    provider_name: str
    prompt_price: float | None
    completion_price: float | None
    blended_price: float | None
    throughput_p50: float | None
    latency_p50_ms: float | None
    uptime_last_1d: float | None
    quality: float | None
    is_efficient: bool


class Effectiveness(Answer, frozen=True, kw_only=True):
    """Price against speed."""

    data: list[EffectivenessItem]
    as_of: str


class StatusDay(Answer, frozen=True, kw_only=True):
    """A provider on a day. `uptime` is in percent of the calls that count, `good_minutes` of the minutes with ten calls or more."""

    date: str
    successes: int
    errors: int
    rate_limited: int
    uptime: float | None
    good_minutes: float | None


class ProviderStatusItem(Answer, frozen=True, kw_only=True):
    """A provider, lately and day by day. Uptimes are in percent, null where nothing was called."""

    provider: str
    provider_name: str
    uptime_last_5m: float | None
    uptime_last_30m: float | None
    uptime_last_1d: float | None
    days: list[StatusDay]
