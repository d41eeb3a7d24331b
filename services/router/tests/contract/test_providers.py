"""What providers are to a generation: the real ones over sockets and the double keep the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from contracts.catalog import ProviderCredentials
from dialects.answers import Answer, FinishReason, Usage
from dialects.upstream import UpstreamRequest
from router.adapters.providers.http import HttpLimits, HttpProviders
from router.adapters.providers.key_ring import KeyRing
from router.domain.attempts import AttemptFailure, FailureKind
from router.domain.errors import AttemptFailedError
from router.domain.ports import Providers, UpstreamCall
from router.testing.catalogs import Offer, catalog_of
from router.testing.scripted_provider import Exchange, ScriptedProvider
from router.testing.scripts import answer, delta
from router.testing.timed_providers import Play, TimedProviders
from servicekit.clock import SystemClock

SOON = 5.0
REFUSED = AttemptFailure(FailureKind.SERVER_ERROR, 500)
Begin = Callable[..., Awaitable[UpstreamCall]]


async def act(play: Play, exchange: Exchange) -> None:
    """Do over a socket what a play says."""
    await asyncio.sleep(play.seconds)
    if play.failure is not None:
        await exchange.reply({"error": {"message": "no"}}, play.failure.status)
        return
    usage = {"prompt_tokens": play.usage.prompt, "completion_tokens": play.usage.completion}
    if not exchange.streams:
        await exchange.reply(answer("".join(play.words), usage=usage))
        return
    await exchange.begin_stream()
    for number, word in enumerate(play.words):
        await asyncio.sleep(play.gap if number else 0.0)
        await exchange.event(delta(word))
    if play.cut:
        exchange.reset()
        return
    await exchange.event({**delta(finish_reason="stop"), "usage": usage})
    await exchange.event(b"[DONE]")
    await exchange.end_stream()


@pytest.fixture(params=["HttpProviders", "TimedProviders"])
async def begin(request: pytest.FixtureRequest) -> AsyncIterator[Begin]:
    """Begins a call of a provider that plays what it is told."""
    plays: list[Play] = []
    async with AsyncExitStack() as stack:
        url = "http://127.0.0.1:9"
        if request.param == "HttpProviders":
            provider = await stack.enter_async_context(ScriptedProvider(lambda exchange: act(plays[-1], exchange)))
            url = provider.url
        catalog = catalog_of(Offer("a", url=url))
        (endpoint,) = catalog.endpoints.values()
        providers: Providers = TimedProviders(SystemClock(), lambda sent: plays[-1])
        if request.param == "HttpProviders":
            ring = KeyRing(catalog, ProviderCredentials({"a": "key"}))
            providers = http = HttpProviders(lambda: ring, SystemClock(), HttpLimits())
            await http.start()
            stack.push_async_callback(http.stop, timedelta(seconds=1))

        async def begin_call(play: Play, *, stream: bool = True, within: float = SOON) -> UpstreamCall:
            plays.append(play)
            body = b'{"stream":true}' if stream else b"{}"
            asked = UpstreamRequest("/chat/completions", body)
            return await providers.call(endpoint, asked, stream=stream, within=within)

        yield begin_call


async def read_into(answers: list[Answer], call: UpstreamCall) -> None:
    while (piece := await call.read(SOON)) is not None:
        answers += piece


async def read_all(call: UpstreamCall) -> list[Answer]:
    answers: list[Answer] = []
    await read_into(answers, call)
    return answers


def text_of(answers: list[Answer]) -> str:
    return "".join(choice.content or "" for each in answers for choice in each.choices)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_answer_is_read_to_its_end_and_stays_ended(begin: Begin, stream: bool) -> None:
    call = await begin(Play(), stream=stream)
    answers = await read_all(call)
    assert text_of(answers) == "Good day"
    finishes = [choice.finish_reason for each in answers for choice in each.choices if choice.finish_reason]
    assert finishes == [FinishReason.STOP]
    assert [each.usage for each in answers if each.usage] == [Usage(7, 3)]
    assert await call.read(SOON) is None
    call.close()
    call.close()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_refusal_is_a_failed_attempt(begin: Begin, stream: bool) -> None:
    with pytest.raises(AttemptFailedError) as caught:
        await begin(Play(failure=REFUSED), stream=stream)
    assert (caught.value.failure.kind, caught.value.failure.status) == (FailureKind.SERVER_ERROR, 500)


async def test_the_start_of_an_answer_is_waited_for_no_longer_than_said(begin: Begin) -> None:
    with pytest.raises(AttemptFailedError) as caught:
        await begin(Play(seconds=2.0), within=0.05)
    assert caught.value.failure.kind is FailureKind.TIMEOUT


async def test_the_next_word_is_waited_for_no_longer_than_said(begin: Begin) -> None:
    call = await begin(Play(gap=2.0))
    first = await call.read(SOON)
    assert first is not None
    assert text_of(list(first)) == "Good"
    with pytest.raises(AttemptFailedError) as caught:
        await call.read(0.05)
    assert caught.value.failure.kind is FailureKind.TIMEOUT
    call.close()


async def test_a_cut_answer_keeps_its_words_and_then_fails(begin: Begin) -> None:
    call = await begin(Play(cut=True))
    heard: list[Answer] = []
    with pytest.raises(AttemptFailedError) as caught:
        await read_into(heard, call)
    assert text_of(heard) == "Good day"
    assert caught.value.failure.kind is FailureKind.BAD_ANSWER
    call.close()
