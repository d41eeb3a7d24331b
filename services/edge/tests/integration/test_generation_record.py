"""The whole record of a generation."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from contracts.apps import app_of
from contracts.testing.examples import iter_examples
from edge.testing.stack import EdgeStack
from turnpike.usage.v1 import usage_event_pb2

USD = 10**9


def event_for(edge: EdgeStack, examples: Path, example: str) -> usage_event_pb2.UsageEvent:
    event = dict(iter_examples(usage_event_pb2.UsageEvent, examples))[example]
    event.org_id = edge.org.org_id
    return event


async def test_a_generations_record_says_who_asked_for_what_and_what_the_cache_saved(
    edge: EdgeStack, examples: Path
) -> None:
    event = event_for(edge, examples, "completed_with_tools")
    event.is_byok = True
    event.usage.cache_write_tokens = 100
    edge.around.records.events[event.generation_id] = event
    answer = await edge.call("GET", f"/generation?id={event.generation_id}")
    data = json.loads(answer.body, parse_float=Decimal)["data"]
    for name in (
        "request_id",
        "session_id",
        "service_tier",
        "user_agent",
        "external_user",
        "workspace_id",
        "http_referer",
    ):
        assert data[name] == getattr(event, name), name
    assert data["app_id"] == app_of(event.http_referer, event.app_title).app_id
    assert (data["is_byok"], data["provider_responses"][-1]["is_byok"]) == (True, True)
    assert data["upstream_inference_cost"] == Decimal(event.provider_cost_nano_usd) / USD
    # 1,000 tokens at 75,000 pico-dollars less, 100 at 25,000 more.
    assert data["cache_discount"] == Decimal("0.0000725")

    plain = event_for(edge, examples, "completed")
    plain.usage.cached_tokens = 0
    edge.around.records.events[plain.generation_id] = plain
    data = (await edge.call("GET", f"/generation?id={plain.generation_id}")).document["data"]
    unknown = ("request_id", "service_tier", "user_agent", "external_user", "upstream_inference_cost", "cache_discount")
    assert [data[name] for name in unknown] == [None] * 6
    assert data["workspace_id"] == edge.org.org_id
