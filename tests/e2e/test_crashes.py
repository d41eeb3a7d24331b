"""Processes die in the middle of work; nothing is lost, nothing is doubled, nobody is told a lie."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import aiohttp
import pytest

from e2e_support.books import Books
from e2e_support.stack import SMOLLM2, Stack

Ending = Literal["answered", "error_event", "http_error", "broken"]


@dataclass(frozen=True)
class Answer:
    """How one request ended for its caller."""

    ending: Ending
    generation_id: str = ""
    status: int = 0
    text: str = ""
    errors: int = 0


async def ask(http: aiohttp.ClientSession, base_url: str, model: str, *, stream: bool, max_tokens: int) -> Answer:
    """Send one request and read it to its end, however that comes."""
    body = {
        "model": model,
        "stream": stream,
        "max_tokens": max_tokens,
        "messages": [{"role": "user", "content": "Tell me a long story about a lighthouse."}],
    }
    try:
        async with http.post(f"{base_url}/chat/completions", json=body) as response:
            if response.status != 200:
                return Answer("http_error", status=response.status, text=await response.text())
            if not stream:
                document = await response.json()
                return Answer("answered", document["id"], 200, document["choices"][0]["message"]["content"] or "")
            return read_events(await response.text())
    except (aiohttp.ClientError, TimeoutError):
        return Answer("broken")


def read_events(text: str) -> Answer:
    """Judge a whole stream: it ends with [DONE] after a usage chunk, or with exactly one error event."""
    generation_id, content, errors, finished = "", "", 0, False
    for line in text.splitlines():
        if not line.startswith("data: "):
            continue
        data = line.removeprefix("data: ")
        if data == "[DONE]":
            finished = errors == 0
            continue
        chunk = json.loads(data)
        generation_id = chunk.get("id", generation_id)
        errors += "error" in chunk
        for choice in chunk.get("choices", []):
            content += choice["delta"].get("content") or ""
    if errors:
        return Answer("error_event", generation_id, 200, content, errors)
    return Answer("answered" if finished else "broken", generation_id, 200, content)


async def endpoint_status(http: aiohttp.ClientSession, stack: Stack, provider_name: str) -> int:
    """What the public API says of the endpoint: 0 is well, below 0 is not."""
    async with http.get(f"{stack.base_url}/models/{SMOLLM2}/endpoints") as answer:
        endpoints = (await answer.json())["data"]["endpoints"]
    return int(next(endpoint["status"] for endpoint in endpoints if endpoint["provider_name"] == provider_name))


async def serving_provider(http: aiohttp.ClientSession, stack: Stack) -> str:
    """Who answers a request that leaves the choice to the router."""
    body = {"model": SMOLLM2, "max_tokens": 1, "messages": [{"role": "user", "content": "hello"}]}
    async with http.post(f"{stack.base_url}/chat/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        # The killed server is one provider in each of its dialects.
        return str((await answer.json())["provider"]).removesuffix(" (Messages)")


async def until(look: Callable[[], Awaitable[object]], wanted: object, failure: str) -> None:
    """Look again and again, for at most 60 seconds."""
    for _ in range(300):
        if await look() == wanted:
            return
        await asyncio.sleep(0.2)
    pytest.fail(failure)


@asynccontextmanager
async def started_again(stack: Stack, name: str) -> AsyncIterator[None]:
    """Whatever a test finds, the next ones have all servers."""
    try:
        yield
    finally:
        await asyncio.to_thread(stack.control, "start", name)


@pytest.mark.timeout(240)
async def test_killed_model_server_costs_no_request_that_had_no_token(
    stack: Stack, http: aiohttp.ClientSession, books: Books
) -> None:
    # The two servers decode four requests each at a time; the others wait for their first token when the axe falls.
    limit = asyncio.Semaphore(24)

    async def one(number: int) -> Answer:
        async with limit:
            return await ask(http, stack.base_url, SMOLLM2, stream=number % 2 == 0, max_tokens=12)

    async with started_again(stack, "model-a"):
        async with asyncio.TaskGroup() as group:
            requests = [group.create_task(one(number)) for number in range(60)]
            # All places are taken by then, and most callers wait.
            for first in itertools.islice(asyncio.as_completed(requests), 12):
                await first
            stack.kill("model-a")
            # Without this the supervisor would have it back before the prober looks.
            await asyncio.to_thread(stack.control, "stop", "model-a")
        answers = [request.result() for request in requests]
        endings = Counter(answer.ending for answer in answers)
        assert endings["broken"] == 0, endings
        assert endings["http_error"] == 0, [answer for answer in answers if answer.ending == "http_error"][:3]
        for answer in answers:
            if answer.ending == "error_event":
                assert answer.errors == 1
                assert answer.text, "an error event although nothing had been sent"
        assert endings["answered"] >= 54, endings
        await until(lambda: endpoint_status(http, stack, "Local A"), -1, "the verdict did not reach the router")
    await until(lambda: endpoint_status(http, stack, "Local A"), 0, "the endpoint did not recover")
    await until(lambda: serving_provider(http, stack), "Local A", "the endpoint was not used again")
    await books.check_complete({answer.generation_id for answer in answers if answer.ending == "answered"})


@pytest.mark.timeout(240)
@pytest.mark.parametrize("service", ["router", "metering", "accounts", "edge"])
async def test_killed_service_loses_and_doubles_nothing(
    service: str, stack: Stack, http: aiohttp.ClientSession, books: Books
) -> None:
    finished: set[str] = set()
    stop = asyncio.Event()

    async def caller() -> None:
        while not stop.is_set():
            answer = await ask(http, stack.base_url, "sim/echo", stream=True, max_tokens=16)
            if answer.ending == "answered":
                finished.add(answer.generation_id)
            else:
                await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(caller())
        await asyncio.sleep(2)
        before = len(finished)
        old = stack.kill(service)
        await asyncio.to_thread(stack.wait_restarted, service, old)
        after_restart = len(finished)
        await asyncio.sleep(2)
        stop.set()
    assert before > 0
    assert len(finished) > after_restart, "nothing was answered after the restart"
    await books.check_complete(finished)
