"""What endpoints did lately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from metering.domain.rollups import UnixSeconds

WINDOW_MINUTES: Final = (5, 30, 1_440)
"""Each window is the current minute and so many before it."""


class Percentiles(NamedTuple):
    """Four percentiles: what so many percent of the answers did not miss."""

    p50: float
    p75: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class EndpointWindow:
    """What an endpoint did in one window; sums of its minutes.

    Attributes:
        errors: calls that count against it; the rule is at the statement that counts them.
        first_token_ms: None without a streamed answer.
        tokens_per_second: None without an answer; p90 is what 90 % reached.
        tool_answers: answers that ended in calls of tools; `bad_tool_answers` of them had a bad one.
        counted_prompt_tokens: of answers whose tokens the provider counted.
        prompt_pico_usd, completion_pico_usd: what the tokens cost together, at the prices that held.
    """

    successes: int
    errors: int
    rate_limited: int
    tool_answers: int
    bad_tool_answers: int
    prompt_tokens: int
    completion_tokens: int
    counted_prompt_tokens: int
    counted_cached_tokens: int
    prompt_pico_usd: int
    completion_pico_usd: int
    first_token_ms: Percentiles | None
    tokens_per_second: Percentiles | None

    @property
    def uptime(self) -> float | None:
        """Share of the calls that count which were answered, from 0 to 1; None without any."""
        return share(self.successes, self.successes + self.errors)

    @property
    def tool_call_error_rate(self) -> float | None:
        """Share of the answers with tool calls that had a bad one."""
        return share(self.bad_tool_answers, self.tool_answers)

    @property
    def cache_hit_rate(self) -> float | None:
        """Share of the prompt tokens that came from the provider's cache."""
        return share(self.counted_cached_tokens, self.counted_prompt_tokens)

    @property
    def prompt_price(self) -> float | None:
        """Pico-dollars an input token on average."""
        return share(self.prompt_pico_usd, self.prompt_tokens)

    @property
    def completion_price(self) -> float | None:
        """Pico-dollars an output token on average."""
        return share(self.completion_pico_usd, self.completion_tokens)


@dataclass(frozen=True, slots=True)
class EndpointStats:
    """One endpoint over all windows, shortest first."""

    endpoint_id: str
    measured_at: UnixSeconds
    windows: tuple[EndpointWindow, EndpointWindow, EndpointWindow]


class EndpointStatsStore(Protocol):
    """Where the calls of endpoints are kept. Every method may raise UsageLogError."""

    async def endpoint_stats(self, now: UnixSeconds, endpoint_ids: Sequence[str] = ()) -> Sequence[EndpointStats]:
        """Add up what endpoints did until `now`: these, or all that were called within a day."""
        ...


class EndpointStatsTopic(Protocol):
    """Where statistics are published. Every method may raise StatsNotPublishedError."""

    async def publish(self, stats: EndpointStats) -> None:
        """Publish what an endpoint did."""
        ...

    async def retract(self, endpoint_id: str, measured_at: int) -> None:
        """Publish that nothing is known of an endpoint any more."""
        ...


def share(part: int, whole: int) -> float | None:
    """Part of a whole; None of nothing."""
    return part / whole if whole else None
