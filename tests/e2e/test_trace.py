"""One trace shows a request from the edge to the ledger."""

from __future__ import annotations

import asyncio
import secrets

import aiohttp

from e2e_support.collector import CollectedSpan, Collector
from e2e_support.stack import SMOLLM2, Stack


async def test_one_trace_shows_edge_router_attempt_settlement_and_ingest(
    stack: Stack, http: aiohttp.ClientSession, collector: Collector
) -> None:
    trace_id = secrets.token_hex(16)
    async with http.post(
        f"{stack.base_url}/chat/completions",
        json={"model": SMOLLM2, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4},
        headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"},
    ) as answer:
        assert answer.status == 200, await answer.text()

    def complete(spans: list[CollectedSpan]) -> bool:
        found = {(span.service, span.name) for span in spans}
        services = {service for service, _ in found}
        return {"edge", "router", "accounts", "metering"} <= services and any(
            service == "router" and name.startswith("chat ") for service, name in found
        )

    # Spans are exported in batches every five seconds by the SDK's default.
    for _ in range(200):
        if complete(collector.trace(trace_id)):
            break
        await asyncio.sleep(0.1)
    spans = collector.trace(trace_id)
    assert complete(spans), [(span.service, span.name) for span in spans]
    known = {span.span_id for span in spans}
    # Every span hangs below another of the same trace; only the edge's has the caller's span above it.
    orphans = [span for span in spans if span.parent_id not in known]
    assert [span.service for span in orphans] == ["edge"]
