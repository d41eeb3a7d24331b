"""What questions count, as columns that an event and a row of the rollups both have.

So a question is written once, whatever it is read from: an event is a row of one request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from metering.domain.rollups import Rollup

CONTEXT_BUCKET: Final = (
    "toUInt8(multiIf(prompt_tokens <= 1000, 0, prompt_tokens <= 10000, 1, prompt_tokens <= 100000, 2, "
    "prompt_tokens <= 1000000, 3, 4))"
)
"""The place of the prompt's length among `contracts.analytics.CONTEXT_BUCKETS`."""

BAD_TOOL_ANSWER: Final = "toUInt64(finish_reason = 'tool_calls' AND bad_tool_calls > 0)"
"""An answer that ended in calls of tools with a bad one among them."""

TOOL_ANSWER: Final = "toUInt64(finish_reason = 'tool_calls')"
"""An answer that ended in calls of tools."""

EVENT_COLUMNS: Final = {
    "context_bucket": CONTEXT_BUCKET,
    "requests": "toUInt64(1)",
    "prompt_tokens": "toUInt64(prompt_tokens)",
    "completion_tokens": "toUInt64(completion_tokens)",
    "reasoning_tokens": "toUInt64(reasoning_tokens)",
    "cached_tokens": "toUInt64(cached_tokens)",
    "tool_answers": TOOL_ANSWER,
    "bad_tool_answers": BAD_TOOL_ANSWER,
    "byok_requests": "toUInt64(is_byok)",
    "byok_cost_nano_usd": "if(is_byok, provider_cost_nano_usd, 0)",
    "byok_fees_nano_usd": "if(is_byok, cost_nano_usd, 0)",
}
"""Columns that an event states otherwise than a rollup does, by name; all others are columns of both, or of events only."""

_SUMS: Final = frozenset({*EVENT_COLUMNS, "cost_nano_usd", "provider_cost_nano_usd"}) - {"context_bucket"}


@dataclass(frozen=True, slots=True)
class RollupTable:
    """A table of sums that questions of one organisation are read from.

    Attributes:
        name: of the table.
        rollup: whose progress tells how far it has come.
        columns: that a question may use.
        kept_s: how far back it is whole, in seconds: it drops what is older a little later.
        has_variants: whether it says which variant of a model was asked for; otherwise what was asked for is said only where no
            model answered.
        expressions: of columns that it does not have as they are.
    """

    name: str
    rollup: Rollup
    columns: frozenset[str]
    kept_s: int
    has_variants: bool = True
    expressions: Mapping[str, str] = field(default_factory=dict)


_DAY_S: Final = 86_400
_WHO: Final = frozenset(
    {"org_id", "workspace_id", "member_id", "key_id", "model", "requested_model", "provider", "app_id", "app", "status"}
)
_KIND: Final = frozenset(
    {
        "org_id",
        "model",
        "requested_model",
        "provider",
        "status",
        "finish_reason",
        "service_tier",
        "context_bucket",
        "country",
    }
)
_COUNTED: Final = {"tool_answers": "if(finish_reason = 'tool_calls', requests, 0)"}

HOURS: Final = (
    RollupTable("usage_hours", Rollup.USAGE_HOURS, _WHO | _KIND | _SUMS, 98 * _DAY_S, expressions=_COUNTED),
)
"""The sums by hour."""

DAYS: Final = (
    RollupTable("kind_days", Rollup.PAGE_DAYS, _KIND | _SUMS, 798 * _DAY_S),
    RollupTable("key_days", Rollup.PAGE_DAYS, _WHO | _SUMS, 798 * _DAY_S, has_variants=False),
    RollupTable("user_days", Rollup.PAGE_DAYS, _WHO | _SUMS | {"external_user"}, 398 * _DAY_S, has_variants=False),
    RollupTable("usage_days", Rollup.USAGE_DAYS, _WHO | _KIND | _SUMS, 798 * _DAY_S, expressions=_COUNTED),
)
"""The sums by day, from the smallest to the one with everything."""

COLUMNS: Final = (
    _WHO | _KIND | _SUMS | {"external_user", "generation_id", "first_token_ms", "generation_ms", "streamed"}
)
"""Columns that a question may use at all."""
