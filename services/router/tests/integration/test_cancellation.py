"""The caller goes away: the provider's call ends at once, and what was generated is billed once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from contracts.ids import EndpointId
from router.domain.attempts import AttemptOutcome
from router.domain.endpoint_health import Condition
from router.domain.settlement import Status
from router.domain.tokens import CountSource
from router.testing import scripts
from router.testing.catalogs import Offer
from router.testing.faults import streamed
from router.testing.native_bench import NAMES, OpenNativeBench, Place
from router.testing.scripted_provider import Exchange, ScriptedProvider
from router.testing.scripts import delta, speak
from router.testing.waiting import eventually
from router.testing.wires import WIRES, Said
from router.testing.workbench import OpenWorkbench, Outcome

# Nothing but the closing of a connection happens in between; a wait for anything else ends here.
CANCEL_SECONDS = 5.0


async def test_the_providers_call_ends_with_the_callers(workbench: OpenWorkbench) -> None:
    gone = asyncio.Event()

    async def endless(exchange: Any) -> None:
        await exchange.begin_stream()
        await exchange.event(delta("Once upon a time, "))
        await exchange.gone()
        gone.set()

    async with ScriptedProvider(endless) as provider, workbench(Offer("a", url=provider.url)) as router:
        async with aclosing(router.begin().progress()) as progress:
            async for piece in progress:
                assert piece.deltas[0].content == "Once upon a time, "
                break
        async with asyncio.timeout(5):
            await gone.wait()
        record = router.only_record()
        assert record.status is Status.CANCELLED
        assert record.attempts[0].outcome is AttemptOutcome.CANCELLED
        assert record.answered is not None
        assert record.answered.tokens.source is CountSource.ESTIMATE
        # 18 bytes are 5 tokens; the prompt is estimated too.
        assert record.answered.tokens.counts.completion == 5
        assert record.answered.cost.total == record.answered.tokens.counts.prompt * 1000 + 5 * 2000


async def test_what_was_generated_is_counted_by_the_models_tokenizer_where_it_is_known(
    workbench: OpenWorkbench,
) -> None:
    async def endless(exchange: Any) -> None:
        await exchange.begin_stream()
        await exchange.event(delta("Once upon a time, "))
        await exchange.gone()

    async with (
        ScriptedProvider(endless) as provider,
        workbench(Offer("a", url=provider.url, tokenizer="GPT")) as router,
    ):
        async with aclosing(router.begin().progress()) as progress:
            async for _ in progress:
                break
        record = router.only_record()
        assert record.answered is not None
        assert record.answered.tokens.source is CountSource.TOKENIZER
        # "Once", " upon", " a", " time", ",", " ": one more than an estimate by the length.
        assert record.answered.tokens.counts.completion == 6
        assert record.answered.cost.total == record.answered.tokens.counts.prompt * 1000 + 6 * 2000


@pytest.mark.parametrize("dialect", NAMES)
@pytest.mark.parametrize("when", ["before the first token", "within the answer"])
async def test_the_providers_call_ends_with_the_callers_in_every_framing(
    native_bench: OpenNativeBench, dialect: str, when: str
) -> None:
    wire, gone = WIRES[dialect], asyncio.Event()

    async def endless(exchange: Exchange) -> None:
        parts = wire.parts(Said(words=("Once", " upon")))
        try:
            await streamed(exchange, wire, parts.opening if "before" in when else (*parts.opening, *parts.output))
            await exchange.gone()
        finally:
            # The other side may be gone before all of it was sent.
            gone.set()

    reached = await native_bench(Place(wire, endless))
    generation = reached.router.begin()
    async with asyncio.TaskGroup() as tasks:
        outcome = Outcome()

        async def listen() -> None:
            async for progress in generation.progress():
                outcome.add(progress)

        listening = tasks.create_task(listen())
        if "before" in when:
            await eventually(lambda: reached.providers[0].received)
        else:
            await eventually(lambda: outcome.text == "Once upon")
        listening.cancel()
    # The connection is closed, which is how every provider learns of it.
    async with asyncio.timeout(CANCEL_SECONDS):
        await gone.wait()
    record = reached.router.only_record()
    assert (record.status, record.attempts[0].outcome) == (Status.CANCELLED, AttemptOutcome.CANCELLED)
    assert record.answered is not None
    assert record.answered.tokens.counts.completion == (0 if "before" in when else 3)


async def test_before_the_first_token_nothing_is_charged(workbench: OpenWorkbench) -> None:
    async with ScriptedProvider(scripts.silence) as provider, workbench(Offer("a", url=provider.url)) as router:
        generation = router.begin()
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(anext(generation.progress()))
            await eventually(lambda: provider.received)
            reading.cancel()
        record = router.only_record()
        assert record.status is Status.CANCELLED
        assert record.answered is not None
        assert record.answered.cost.total == 0


async def test_what_has_ended_cannot_be_abandoned(workbench: OpenWorkbench) -> None:
    async with ScriptedProvider(speak(["Hi"])) as provider, workbench(Offer("a", url=provider.url)) as router:
        generation = router.begin()
        pieces = [piece async for piece in generation.progress()]
        generation.abandon()
        generation.abandon()
        assert pieces[-1].ending is not None
        assert router.only_record().status is Status.COMPLETED


async def test_what_was_never_sent_leaves_no_record(workbench: OpenWorkbench) -> None:
    async with workbench(Offer("a")) as router:
        router.begin().abandon()
        assert router.log.records == []


async def test_a_trial_that_is_cancelled_leaves_the_endpoint_on_trial(workbench: OpenWorkbench) -> None:
    async with ScriptedProvider(scripts.stall_after(delta("x"))) as provider:
        async with workbench(Offer("a", url=provider.url)) as router:
            async with aclosing(router.begin().progress()) as progress:
                await anext(progress)
            record = router.health._record(EndpointId("acme/one@a"))
            assert record.condition(0.0) is Condition.UP


@pytest.mark.parametrize("streams", [True, False])
async def test_connections_are_used_again(streams: bool, workbench: OpenWorkbench) -> None:
    ports = set()

    async def note(exchange: Any) -> None:
        ports.add(exchange._writer.get_extra_info("peername")[1])
        await speak(["Hi"])(exchange)

    async with ScriptedProvider(note) as provider, workbench(Offer("a", url=provider.url)) as router:
        for _ in range(5):
            assert (await router.complete(stream=streams)).text == "Hi"
    assert len(ports) == 1
