"""Usage events as rows, and the questions asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, NewType

UnixMs = NewType("UnixMs", int)


class AttemptRow(NamedTuple):
    """One call to one endpoint. `latency_ms` in milliseconds, `status_code` 0 without an HTTP answer."""

    endpoint_id: str
    provider: str
    outcome: str
    status_code: int
    latency_ms: int


class UsageRow(NamedTuple):
    """One usage event; the fields are the columns of `usage_events`, in this order.

    A tuple, because a batch is written column by column and thousands of rows are made a second. Enumerations are the
    lower-case names of the wire's values, or the bare number of a value that this version does not know. Of two rows
    with the same `event_id` the one with the higher `rank` counts, and of equals the later one.
    """

    event_id: str
    rank: int
    generation_id: str
    org_id: str
    key_id: str
    model: str
    requested_model: str
    provider: str
    endpoint_id: str
    price_version: str  # empty: no endpoint answered, and every price below is 0
    prompt_pico_usd: int
    completion_pico_usd: int
    reasoning_pico_usd: int
    cached_pico_usd: int
    cache_write_pico_usd: int
    request_pico_usd: int
    image_pico_usd: int
    second_pico_usd: int
    character_pico_usd: int
    search_unit_pico_usd: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    images: int
    audio_ms: int
    characters: int
    search_units: int
    token_source: str
    cost_nano_usd: int
    provider_cost_nano_usd: int
    hedge_cost_nano_usd: int  # of all cancelled copies; nobody is charged for it
    status: str
    finish_reason: str
    native_finish_reason: str
    streamed: bool
    started_at: UnixMs
    ended_at: UnixMs
    first_token_ms: int
    generation_ms: int
    attempts: tuple[AttemptRow, ...]
    upstream_id: str
    router_instance: str
    region: str
    http_referer: str
    app_title: str
    session_id: str
    error_type: str
    workspace_id: str
    member_id: str
    external_user: str
    tool_calls: int
    bad_tool_calls: int
    is_byok: bool
    service_tier: str
    private: bool  # public figures leave it out
    user_agent: str
    request_id: str
    app_categories: tuple[str, ...]
    country: str
    app_id: int  # of http_referer and app_title, see contracts.apps; 0 for none
    app: str
    operation: str


class Dimension(Enum):
    """What usage is added up by."""

    TOTAL = "total"
    MODEL = "model"
    KEY = "key"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class UsageQuestion:
    """An organisation's usage from `start` (inclusive) to `end` (exclusive), by the time when generations started."""

    org_id: str
    start: UnixMs
    end: UnixMs
    dimension: Dimension


class UsageTotals(NamedTuple):
    """The answer for one `value` of the dimension: a model, a key id, a UTC date (YYYY-MM-DD), or empty for the total."""

    value: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost_nano_usd: int
