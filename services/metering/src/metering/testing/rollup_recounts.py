"""What the tables of sums must hold, counted over the events in Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from contracts.apps import app_of
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

Events = Sequence[usage_pb.UsageEvent]


def counts_against(attempt: usage_pb.Attempt) -> bool:
    """The documented rule, written down a second time."""
    if attempt.outcome in (
        usage_pb.ATTEMPT_OUTCOME_SUCCESS,
        usage_pb.ATTEMPT_OUTCOME_CANCELLED,
        usage_pb.ATTEMPT_OUTCOME_RATE_LIMITED,
    ):
        return False
    if attempt.status_code in (400, 403, 413, 429):
        return False
    if attempt.status_code in (401, 402, 404) or attempt.status_code >= 500:
        return True
    return attempt.outcome != usage_pb.ATTEMPT_OUTCOME_REJECTED


def context_bucket(prompt_tokens: int) -> int:
    """The place of a length of prompts."""
    return sum(prompt_tokens > bound for bound in (1_000, 10_000, 100_000, 1_000_000))


KEYS: Final = {
    "usage_hours": (
        "org_id", "bucket", "workspace_id", "member_id", "key_id", "model", "requested_model", "provider", "endpoint_id", "app_id",
        "app", "status", "finish_reason", "service_tier", "context_bucket", "country",
    ),
    "key_days": (
        "org_id", "bucket", "workspace_id", "member_id", "key_id", "model", "asked_in_vain", "provider", "endpoint_id", "app_id",
        "app", "status",
    ),
    "kind_days": (
        "org_id", "bucket", "model", "requested_model", "provider", "status", "finish_reason", "service_tier", "context_bucket",
        "country",
    ),
    "user_days": (
        "org_id", "bucket", "external_user", "workspace_id", "member_id", "key_id", "model", "asked_in_vain", "provider", "app_id",
        "app", "status",
    ),
}  # fmt: skip
KEYS["usage_days"] = KEYS["usage_hours"]


def recount(events: Events, seconds: int, table: str) -> Counter[tuple[Any, ...]]:
    """Every closed bucket: a count of each measure by every dimension that a table has."""
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 12)
    for event in closed(events, seconds):
        app, usage = app_of(event.http_referer, event.app_title), event.usage
        values: dict[str, Any] = {
            "bucket": event.started_at.seconds // seconds * seconds,
            "asked_in_vain": "" if event.model else event.requested_model,
            "app_id": app.app_id,
            "app": app.name,
            "status": usage_pb.GenerationStatus.Name(event.status).removeprefix("GENERATION_STATUS_").lower(),
            "context_bucket": context_bucket(usage.prompt_tokens),
        }
        key = tuple(values[name] if name in values else getattr(event, name) for name in KEYS[table])
        measures = (
            1, usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens, usage.cached_tokens,
            int(event.finish_reason == "tool_calls" and event.bad_tool_calls > 0), event.cost_nano_usd,
            event.provider_cost_nano_usd, int(event.is_byok), event.provider_cost_nano_usd if event.is_byok else 0,
            event.cost_nano_usd if event.is_byok else 0, int(event.finish_reason == "tool_calls"),
        )  # fmt: skip
        for index, measure in enumerate(measures):
            sums[key][index] += measure
    return Counter((*key, *values) for key, values in sums.items())


def closed(events: Events, seconds: int) -> list[usage_pb.UsageEvent]:
    """The events of buckets that are over."""
    over = int(datetime.now(UTC).timestamp()) // seconds * seconds
    return [event for event in events if event.started_at.seconds < over]


def public_recount(events: Events, table: str) -> Counter[tuple[Any, ...]]:
    """The same of public traffic, by what the table tells apart."""
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    titles: dict[tuple[Any, ...], tuple[int, str]] = {}
    for event in closed(events, 86_400):
        app = app_of(event.http_referer, event.app_title)
        if event.private or not event.endpoint_id:
            continue
        day = event.started_at.seconds // 86_400 * 86_400
        keys = {
            "model_days": (
                day, event.model, event.provider, event.tool_calls > 0, context_bucket(event.usage.prompt_tokens),
            ),
            "category_days": (day, tuple(event.app_categories), event.model) if event.app_categories else None,
            "app_days": (day, app.app_id, app.name, tuple(event.app_categories)) if app.name else None,
        }  # fmt: skip
        key = keys[table]
        if key is None:
            continue
        sums[key][0] += 1
        sums[key][1] += event.usage.prompt_tokens + event.usage.completion_tokens
        if event.app_title:
            titles[key] = max(titles.get(key, (0, "")), (event.started_at.ToMilliseconds(), event.app_title))
    if table == "app_days":
        return Counter((*key, titles.get(key, (0, ""))[1], *values) for key, values in sums.items())
    return Counter((*key, *values) for key, values in sums.items())


_SUMS: Final = (
    "requests, prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens, bad_tool_answers, cost_nano_usd, "
    "provider_cost_nano_usd, byok_requests, byok_cost_nano_usd, byok_fees_nano_usd, "
)


_ALL: Final = "SELECT KEYS_AND_SUMS FROM TABLE_OF_SUMS FINAL WHERE requests > 0"


def all_usage(table: str) -> str:
    """The statement for every row of a table, in the order of its keys and of the measures."""
    keys = (
        ", ".join(KEYS[table])
        .replace("bucket", "toUnixTimestamp(bucket)", 1)
        .replace("asked_in_vain", "requested_model")
    )
    tools = "if(finish_reason = 'tool_calls', requests, 0)" if table.startswith("usage") else "tool_answers"
    return _ALL.replace("KEYS_AND_SUMS", keys + ", " + _SUMS + tools).replace("TABLE_OF_SUMS", table)


ALL_PUBLIC: Final = {
    "model_days": "SELECT toUnixTimestamp(bucket), model, provider, with_tools, context_bucket, requests, tokens FROM model_days",
    "category_days": "SELECT toUnixTimestamp(bucket), app_categories, model, requests, tokens FROM category_days",
    "app_days": "SELECT toUnixTimestamp(bucket), app_id, app, app_categories, title, requests, tokens FROM app_days",
}


def sessions_recount(events: Events) -> Counter[tuple[Any, ...]]:
    """By day, application and model: requests, costs and the number of sessions in public traffic."""
    found: dict[tuple[Any, ...], list[usage_pb.UsageEvent]] = defaultdict(list)
    for event in closed(events, 86_400):
        app = app_of(event.http_referer, event.app_title)
        if event.session_id and app.name and event.endpoint_id and not event.private:
            found[event.started_at.seconds // 86_400 * 86_400, app.name, app.app_id, event.model].append(event)
    return Counter(
        (
            *key,
            len(some),
            sum(each.cost_nano_usd for each in some),
            len({(each.org_id, each.session_id) for each in some}),
        )
        for key, some in found.items()
    )


def providers_recount(events: Events) -> Counter[tuple[Any, ...]]:
    """By day and provider: calls that count, and minutes."""
    minutes: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for event in closed(events, 86_400):
        for call in event.attempts:
            counts = minutes[call.provider, event.started_at.seconds // 60]
            counts[0] += call.outcome == usage_pb.ATTEMPT_OUTCOME_SUCCESS
            counts[1] += counts_against(call)
            counts[2] += call.outcome == usage_pb.ATTEMPT_OUTCOME_RATE_LIMITED
    days: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0] * 5)
    for (provider, minute), (answered, missed, limited) in minutes.items():
        busy = answered + missed >= 10
        good = busy and answered >= 0.8 * (answered + missed)
        sums = days[minute // 1_440 * 86_400, provider]
        for index, value in enumerate((answered, missed, limited, busy, good)):
            sums[index] += value
    return Counter((*key, *sums) for key, sums in days.items() if sum(sums[:3]))


def prices_recount(answers: Events) -> tuple[float | None, float | None]:
    """What a token of a prompt and one of an answer cost on average, in pico-dollars; None of no token."""
    paid_prompt = paid_completion = 0
    for event in answers:
        usage, price = event.usage, event.price
        plain = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
        paid_prompt += plain * price.prompt_pico_usd + usage.cached_tokens * price.cached_pico_usd
        paid_prompt += usage.cache_write_tokens * price.cache_write_pico_usd
        paid_completion += (usage.completion_tokens - usage.reasoning_tokens) * price.completion_pico_usd
        paid_completion += usage.reasoning_tokens * price.reasoning_pico_usd
    read = sum(event.usage.prompt_tokens for event in answers)
    written = sum(event.usage.completion_tokens for event in answers)
    return paid_prompt / read if read else None, paid_completion / written if written else None


def counted(rows: Sequence[Sequence[Any]]) -> Counter[tuple[Any, ...]]:
    """Rows of the store as a recount gives them."""
    return Counter(tuple(tuple(cell) if isinstance(cell, list) else cell for cell in row) for row in rows)
