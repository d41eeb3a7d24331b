"""B14: what is billed is what was delivered, over HTTP through edge and router to a provider that counts a word a token."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from contracts import money
from edge.testing.stack import EdgeStack, chat_body
from gateway_support.stack import gateway
from router.testing.catalogs import Offer
from router.testing.scripted_provider import ScriptedProvider
from router.testing.scripts import speak
from router.testing.stack import UsageReader
from servicekit.testing import BrokerProcess
from turnpike.usage.v1 import usage_event_pb2 as usage_pb
from turnpike.usage.v1.token_usage_pb2 import TOKEN_COUNT_SOURCE_PROVIDER

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZES = (1, 2, 3, 17, 100)
PROMPT = 11


def words(count: int) -> list[str]:
    return [f"word{number} " for number in range(count)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory, broker: BrokerProcess) -> AsyncIterator[EdgeStack]:
    """In front of a provider for each size of an answer, and one that is slow."""
    async with AsyncExitStack() as stack:
        offers = []
        for count in SIZES:
            usage = {"prompt_tokens": PROMPT, "completion_tokens": count, "total_tokens": PROMPT + count}
            provider = await stack.enter_async_context(ScriptedProvider(speak(words(count), usage)))
            offers.append(Offer(f"p{count}", url=provider.url, model=f"acme/words-{count}"))
        slow = await stack.enter_async_context(ScriptedProvider(speak(words(1_000), gap=0.02)))
        offers.append(Offer("slow", url=slow.url, model="acme/slow"))
        yield await stack.enter_async_context(gateway(tmp_path_factory.mktemp("billed"), broker.bootstrap, offers))


def billed(event: usage_pb.UsageEvent) -> int:
    """The output tokens that the charge is of: with what was read, they give it exactly."""
    price, tokens = money.price_from_proto(event.price), money.tokens_from_proto(event.usage)
    assert event.cost_nano_usd == event.provider_cost_nano_usd == money.cost(price, tokens).total > 0
    return event.usage.completion_tokens


async def test_b14_billed_less_delivered_tokens_is_nothing_for_clean_finishes(
    edge: EdgeStack, broker: BrokerProcess
) -> None:
    delivered: dict[str, int] = {}
    for count in SIZES:
        whole = await edge.chat(model=f"acme/words-{count}")
        assert whole.status == 200, whole.body
        text = whole.document["choices"][0]["message"]["content"]
        delivered[whole.document["id"]] = len(text.split())
        assert whole.document["usage"]["completion_tokens"] == len(text.split())
        stream = await edge.chat(model=f"acme/words-{count}", stream=True)
        chunks = [event for event in stream.events if event != "[DONE]"]
        text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
        delivered[chunks[0]["id"]] = len(text.split())
    assert sorted(delivered.values()) == sorted([*SIZES, *SIZES])
    reader = UsageReader(broker.bootstrap)
    await reader.read_until(*delivered, seconds=30)
    for generation_id, count in delivered.items():
        (event,) = reader.events[generation_id]
        assert event.status == usage_pb.GENERATION_STATUS_COMPLETED
        assert event.usage.source == TOKEN_COUNT_SOURCE_PROVIDER
        assert (event.usage.prompt_tokens, billed(event) - count) == (PROMPT, 0)


async def test_b14_a_caller_that_leaves_pays_once_for_about_what_was_generated_until_then(
    edge: EdgeStack, broker: BrokerProcess
) -> None:
    headers = {"Authorization": f"Bearer {edge.key}"}
    body = chat_body(model="acme/slow", stream=True)
    read, generation_id = 0, ""
    async with edge.http.post(edge.url + "/chat/completions", json=body, headers=headers) as response:
        assert response.status == 200
        async for line in response.content:
            if line.startswith(b"data: {"):
                generation_id = json.loads(line[6:])["id"]
                read += b"word" in line
            if read >= 20:
                break
        response.close()
    reader = UsageReader(broker.bootstrap)
    await reader.read_until(generation_id, seconds=30)
    (event,) = reader.events[generation_id]
    assert event.status == usage_pb.GENERATION_STATUS_CANCELLED
    assert event.usage.source != TOKEN_COUNT_SOURCE_PROVIDER, "the provider's count comes last, and never came"
    # "word12 " is one to three tokens, by whoever counts; a second's worth of words may have been on their way.
    assert read <= billed(event) <= 3 * (read + 50)
