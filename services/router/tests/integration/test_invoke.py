"""`Invoke` over gRPC: one answer, one usage event that its consumers accept; refusals as statuses."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from router.testing.catalogs import Offer
from router.testing.scripted_provider import Exchange, ScriptedProvider
from router.testing.stack import UsageReader, router_stack
from servicekit.grpc_errors import error_info
from servicekit.testing import BrokerProcess
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

EMBEDDINGS = usage_event_pb2.OPERATION_EMBEDDINGS


def embedder(url: str) -> Offer:
    return Offer("a", url=url, completion="0", output_modalities=("embeddings",))


async def answers(exchange: Exchange) -> None:
    rows = [{"index": index, "embedding": [0.5, 1.0]} for index in range(len(exchange.received.body["input"]))]
    await exchange.reply({"data": rows, "usage": {"prompt_tokens": 6}})


async def test_embeddings_are_one_answer_and_one_usage_event(tmp_path: Path, broker: BrokerProcess) -> None:
    async with ScriptedProvider(answers) as provider:
        async with router_stack(tmp_path, broker.bootstrap, embedder(provider.url)) as router:
            generation_id, answer = await router.invoke(EMBEDDINGS, {"input": ["a", "b", "c"]})
            assert answer.WhichOneof("result") == "embeddings"
            assert len(answer.embeddings.vectors) == 3
            assert (answer.route.model, answer.route.provider) == ("acme/one", "a")
            # 6 tokens at 1,000 nano-dollars.
            assert answer.outcome.cost_nano_usd == answer.outcome.prompt_cost_nano_usd == 6_000
            reader = UsageReader(broker.bootstrap)
            await reader.read_until(generation_id)
    (event,) = reader.events[generation_id]
    assert event.operation == EMBEDDINGS
    assert (event.cost_nano_usd, event.provider_cost_nano_usd) == (6_000, 6_000)
    assert event.usage.source == token_usage_pb2.TOKEN_COUNT_SOURCE_PROVIDER
    assert event.status == usage_event_pb2.GENERATION_STATUS_COMPLETED
    assert event.streamed is False


@pytest.mark.parametrize(
    ("operation", "document", "param"),
    [
        (EMBEDDINGS, {}, "input"),
        (usage_event_pb2.OPERATION_RERANK, {"query": "q"}, "documents"),
        (usage_event_pb2.OPERATION_COMPLETION, {"messages": []}, "operation"),
        (usage_event_pb2.OPERATION_UNSPECIFIED, {}, "operation"),
        (usage_event_pb2.OPERATION_SPEECH, {"input": "Hello"}, "model"),
    ],
)
async def test_a_request_that_is_wrong_is_refused_by_name(
    tmp_path: Path, broker: BrokerProcess, operation: Any, document: dict[str, Any], param: str
) -> None:
    async with router_stack(tmp_path, broker.bootstrap, embedder("http://127.0.0.1:9")) as router:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await router.invoke(operation, document)
    detail = error_info(caught.value)
    assert detail is not None
    assert (detail.metadata["http_status"], detail.metadata["param"]) == ("400", param)


async def test_cancelling_the_rpc_cancels_the_providers_call(tmp_path: Path, broker: BrokerProcess) -> None:
    began, gone = asyncio.Event(), asyncio.Event()

    async def waits(exchange: Exchange) -> None:
        began.set()
        await exchange.gone()
        gone.set()

    async with ScriptedProvider(waits) as provider:
        async with router_stack(tmp_path, broker.bootstrap, embedder(provider.url)) as router:
            async with asyncio.TaskGroup() as tasks:
                call = tasks.create_task(router.invoke(EMBEDDINGS, {"input": "a"}))
                await began.wait()
                call.cancel()
            async with asyncio.timeout(5):
                await gone.wait()
            reader = UsageReader(broker.bootstrap)
            generation_id = router.request().generation_id
            await reader.read_until(generation_id.replace(generation_id[-11:], f"{int(generation_id[-11:]) - 1:011d}"))
    (events,) = [
        events
        for events in reader.events.values()
        if events[0].operation == EMBEDDINGS and events[0].cost_nano_usd == 0
    ]
    assert events[0].status == usage_event_pb2.GENERATION_STATUS_CANCELLED
