"""A good answer in every dialect, on real sockets: what the caller sees, what is charged, what leaves for the provider."""

from __future__ import annotations

import pytest

from contracts.ids import EndpointId
from dialects.answers import FinishReason
from router.domain.tokens import CountSource
from router.testing.catalogs import Offer
from router.testing.faults import answering
from router.testing.native_bench import NAMES, OpenNativeBench, Place
from router.testing.scripted_provider import ScriptedProvider
from router.testing.wires import WIRES, Call, Counts, Said
from router.testing.workbench import OpenWorkbench
from turnpike.usage.v1 import token_usage_pb2

BOTH = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
EVERY = pytest.mark.parametrize("dialect", NAMES)
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "Tells.", "parameters": {"type": "object"}}}
    for name in ("weather", "now")
]
CALLS = (Call("call_1", "weather", ('{"city":', '"Rome"}')), Call("call_2", "now", ("{}",)))
# These APIs count what the cache had, and how much of the answer was reasoning; the other ones say nothing of it.
COUNT_CACHED = set(NAMES) - {"ollama"}
COUNT_REASONING = {"openai-compatible", "azure-openai", "anthropic", "gemini"}


@EVERY
@BOTH
async def test_text_and_reasoning_come_through(native_bench: OpenNativeBench, dialect: str, stream: bool) -> None:
    wire = WIRES[dialect]
    said = Said(words=("It is ", "noon", " and schön."), thoughts=("The clock", " says so."))
    reached = await native_bench(Place(wire, answering(wire, said)))
    outcome = await reached.router.complete(stream=stream)
    assert (outcome.text, outcome.reasoning) == (said.text, said.thought)
    assert (outcome.finish_reason, outcome.finishes, outcome.interruption) == ("stop", 1, None)
    assert outcome.pieces > 1 if stream else outcome.pieces == 1


@EVERY
@BOTH
async def test_parallel_tool_calls_come_through(native_bench: OpenNativeBench, dialect: str, stream: bool) -> None:
    wire = WIRES[dialect]
    said = Said(words=("I look.",), calls=CALLS, finish=FinishReason.TOOL_CALLS)
    reached = await native_bench(Place(wire, answering(wire, said)))
    outcome = await reached.router.complete(stream=stream, tools=TOOLS)
    assert outcome.calls == {0: ("call_1", "weather", '{"city":"Rome"}'), 1: ("call_2", "now", "{}")}
    assert (outcome.text, outcome.finish_reason, outcome.finishes) == ("I look.", "tool_calls", 1)


@EVERY
@BOTH
@pytest.mark.parametrize("finish", [FinishReason.LENGTH, FinishReason.CONTENT_FILTER])
async def test_why_an_answer_ends_is_told(
    native_bench: OpenNativeBench, dialect: str, stream: bool, finish: FinishReason
) -> None:
    wire = WIRES[dialect]
    if dialect == "ollama" and finish is FinishReason.CONTENT_FILTER:
        # It filters nothing: the word that it does not know means that the model stopped.
        finish = FinishReason.STOP
    reached = await native_bench(Place(wire, answering(wire, Said(finish=finish))))
    outcome = await reached.router.complete(stream=stream)
    assert (outcome.text, outcome.finish_reason) == ("Good day", finish.value)
    answered = reached.router.only_record().answered
    assert answered is not None
    assert (answered.finish_reason, answered.native_finish_reason) == (finish.value, outcome.native_finish_reason)


@EVERY
@BOTH
async def test_cached_tokens_are_counted_and_priced(native_bench: OpenNativeBench, dialect: str, stream: bool) -> None:
    wire = WIRES[dialect]
    counts = Counts(prompt=1_000, completion=50, cached=600, reasoning=20)
    reached = await native_bench(Place(wire, answering(wire, Said(thoughts=("Hm",), counts=counts))))
    outcome = await reached.router.complete(stream=stream)
    record = reached.router.only_record()
    assert record.answered is not None
    assert record.answered.tokens.source is CountSource.PROVIDER
    event = reached.router.event_of(record)
    cached = 600 if dialect in COUNT_CACHED else 0
    assert event.usage.source == token_usage_pb2.TOKEN_COUNT_SOURCE_PROVIDER
    assert (event.usage.prompt_tokens, event.usage.cached_tokens) == (1_000, cached)
    assert event.usage.completion_tokens == 50
    assert event.usage.reasoning_tokens == (20 if dialect in COUNT_REASONING else 0)
    # Nano-dollars a token: 1,000 of the prompt, 110 from the cache, 2,000 of the answer.
    assert event.cost_nano_usd == (1_000 - cached) * 1_000 + cached * 110 + 50 * 2_000
    assert event.provider_cost_nano_usd == event.cost_nano_usd
    assert outcome.ending is not None
    assert outcome.ending.cost.total == event.cost_nano_usd
    assert (event.endpoint_id, event.streamed) == (EndpointId("acme/one@a"), stream)


@EVERY
@BOTH
async def test_s18_the_key_is_in_its_dialects_header_and_nowhere_else(
    workbench: OpenWorkbench, dialect: str, stream: bool
) -> None:
    wire, name = WIRES[dialect], "vendor/one:2026-01"
    async with ScriptedProvider(answering(wire)) as provider:
        offer = Offer("a", url=provider.origin + wire.base_path, dialect=dialect, upstream_model=name)
        async with workbench(offer) as router:
            outcome = await router.complete(stream=stream)
    assert outcome.text == "Good day"
    (received,) = provider.received
    assert received.path == wire.path(name, stream=stream)
    assert wire.asks_for_stream(received) is stream
    headers = dict(received.headers)
    assert headers.pop(wire.key_header) == f"{wire.key_prefix}key-of-a"
    assert "key-of-a" not in f"{received.path} {headers} {received.raw.decode()}"
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert (headers.get("anthropic-version") is not None) is (dialect == "anthropic")
