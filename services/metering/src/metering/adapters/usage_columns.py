"""What questions count, as columns that an event and a row of the rollups both have.

So a question is written once, whatever it is read from: an event is a row of one request.
"""

from __future__ import annotations

from typing import Final

CONTEXT_BUCKET: Final = (
    "toUInt8(multiIf(prompt_tokens <= 1000, 0, prompt_tokens <= 10000, 1, prompt_tokens <= 100000, 2, "
    "prompt_tokens <= 1000000, 3, 4))"
)
"""The place of the prompt's length among `contracts.analytics.CONTEXT_BUCKETS`."""

BAD_TOOL_ANSWER: Final = "toUInt64(finish_reason = 'tool_calls' AND bad_tool_calls > 0)"
"""An answer that ended in calls of tools with a bad one among them."""

EVENT_COLUMNS: Final = {
    "context_bucket": CONTEXT_BUCKET,
    "requests": "toUInt64(1)",
    "prompt_tokens": "toUInt64(prompt_tokens)",
    "completion_tokens": "toUInt64(completion_tokens)",
    "reasoning_tokens": "toUInt64(reasoning_tokens)",
    "cached_tokens": "toUInt64(cached_tokens)",
    "bad_tool_answers": BAD_TOOL_ANSWER,
    "byok_requests": "toUInt64(is_byok)",
    "byok_cost_nano_usd": "if(is_byok, provider_cost_nano_usd, 0)",
    "byok_fees_nano_usd": "if(is_byok, cost_nano_usd, 0)",
}
"""Columns that an event states otherwise than a rollup does, by name; all others are columns of both, or of events only."""

ROLLUP_COLUMNS: Final = frozenset(
    {
        "org_id", "workspace_id", "member_id", "key_id", "model", "requested_model", "provider", "endpoint_id", "app_id", "app",
        "country", "status", "finish_reason", "service_tier", "cost_nano_usd", "provider_cost_nano_usd", *EVENT_COLUMNS,
    }
)  # fmt: skip
"""Columns that the rollups by hour and day have."""
