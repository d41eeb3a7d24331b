"""The official client through every service: text, usage, and one figure for its cost everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import aiohttp
import pytest
from openai import APIStatusError, AsyncOpenAI
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionUserMessageParam

from contracts import money
from e2e_support.books import Books
from e2e_support.stack import SMOLLM2, Stack

QUESTION: list[ChatCompletionUserMessageParam] = [
    {"role": "user", "content": "What is the capital of France? Answer in one sentence."}
]


def nano(amount: float) -> int:
    """Read back a cost that the client parsed as a float; a nano-dollar is far above a float's error here."""
    return round(amount * 10**9)


async def price_of(stack: Stack, http: aiohttp.ClientSession, provider_name: str) -> tuple[int, int]:
    """Prompt and completion price of a provider for the model, in pico-dollars, as the public sees it."""
    async with http.get(f"{stack.base_url}/models/{SMOLLM2}/endpoints") as answer:
        endpoints = (await answer.json())["data"]["endpoints"]
    pricing = next(e["pricing"] for e in endpoints if e["provider_name"] == provider_name)
    return money.pico_from_decimal(pricing["prompt"]), money.pico_from_decimal(pricing["completion"])


@dataclass(frozen=True)
class Seen:
    """What a client saw of an answer. `cost` is in nano-dollars."""

    text: str
    generation_id: str
    provider: str
    usage: CompletionUsage
    cost: int


def seen_by(text: str, end: ChatCompletion | ChatCompletionChunk) -> Seen:
    """Read Turnpike's own members beside those of OpenAI."""
    assert end.usage is not None
    # `provider` and `usage.cost` are OpenRouter's, so the client keeps them as extra members.
    provider, cost = (end.model_extra or {})["provider"], (end.usage.model_extra or {})["cost"]
    return Seen(text, end.id, str(provider), end.usage, nano(cost))


async def ask(client: AsyncOpenAI, *, streamed: bool) -> Seen:
    """Ask the question and read the whole answer."""
    if not streamed:
        answer = await client.chat.completions.create(model=SMOLLM2, messages=QUESTION, max_tokens=48, temperature=0)
        assert answer.choices[0].finish_reason in {"stop", "length"}
        return seen_by(answer.choices[0].message.content or "", answer)
    text, last = "", None
    async for chunk in await client.chat.completions.create(
        model=SMOLLM2, messages=QUESTION, max_tokens=48, temperature=0, stream=True
    ):
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        assert last is None or chunk.id == last.id
        last = chunk
    assert last is not None
    return seen_by(text, last)


async def check_cost_everywhere(seen: Seen, stack: Stack, http: aiohttp.ClientSession, books: Books) -> None:
    """Compare the cost with tokens times price, with the record of the generation, and with the ledger."""
    prompt, completion = await price_of(stack, http, seen.provider)
    pico = Decimal(seen.usage.prompt_tokens * prompt + seen.usage.completion_tokens * completion)
    assert seen.cost == int((pico / 1000).to_integral_value(ROUND_HALF_EVEN))
    async with http.get(f"{stack.base_url}/generation", params={"id": seen.generation_id}) as answer:
        assert answer.status == 200, await answer.text()
        record = (await answer.json())["data"]
    assert nano(record["total_cost"]) == seen.cost
    assert record["tokens_prompt"] == seen.usage.prompt_tokens
    assert record["tokens_completion"] == seen.usage.completion_tokens
    assert record["provider_name"] == seen.provider
    await books.wait_settled([seen.generation_id])
    assert await books.ledger_cost(seen.generation_id) == seen.cost


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_answer_usage_and_cost_agree_everywhere(
    streamed: bool, stack: Stack, http: aiohttp.ClientSession, books: Books
) -> None:
    key, secret = await books.new_key()
    credit_before = await books.remaining_credit()
    async with AsyncOpenAI(base_url=stack.base_url, api_key=secret, max_retries=0) as client:
        seen = await ask(client, streamed=streamed)
    assert "Paris" in seen.text
    assert seen.usage.total_tokens == seen.usage.prompt_tokens + seen.usage.completion_tokens
    assert seen.usage.prompt_tokens > 0
    assert seen.cost > 0
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {secret}"}) as own:
        await check_cost_everywhere(seen, stack, own, books)
    assert credit_before - await books.remaining_credit() == seen.cost
    assert await books.clickhouse_cost_of_key(key) == seen.cost


async def test_models_and_endpoints_are_listed(client: AsyncOpenAI, stack: Stack, http: aiohttp.ClientSession) -> None:
    listed = {model.id async for model in client.models.list()}
    assert SMOLLM2 in listed
    async with http.get(f"{stack.base_url}/models/{SMOLLM2}/endpoints") as answer:
        endpoints = (await answer.json())["data"]["endpoints"]
    assert {endpoint["provider_name"] for endpoint in endpoints} == {"Local A", "Local B", "Local A (Messages)"}
    assert len({endpoint["pricing"]["prompt"] for endpoint in endpoints}) == 3


@pytest.mark.parametrize("provider", ["local-a", "local-a-messages"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_the_same_conversation_works_in_both_dialects_of_the_model_server(
    provider: str, streamed: bool, client: AsyncOpenAI, stack: Stack
) -> None:
    turns: list[Any] = [
        *QUESTION,
        {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": "Are you sure?"},
    ]
    routing = {"provider": {"only": [provider]}}
    if streamed:
        text, last = "", None
        async for chunk in await client.chat.completions.create(
            model=SMOLLM2, messages=turns, max_tokens=16, temperature=0, stream=True, extra_body=routing
        ):
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            last = chunk
        assert last is not None
        seen = seen_by(text, last)
    else:
        answer = await client.chat.completions.create(
            model=SMOLLM2, messages=turns, max_tokens=16, temperature=0, extra_body=routing
        )
        seen = seen_by(answer.choices[0].message.content or "", answer)
    assert seen.text
    assert seen.usage.completion_tokens > 0
    assert seen.cost > 0


async def test_simulated_models_say_so(stack: Stack, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{stack.base_url}/models") as answer:
        models = (await answer.json())["data"]
    simulated = [model for model in models if model["id"].startswith("sim/")]
    assert simulated
    assert all("imulated" in model["name"] for model in simulated)


async def test_the_same_api_answers_under_v1(stack: Stack) -> None:
    base_url = stack.base_url.removesuffix("/api/v1") + "/v1"
    async with AsyncOpenAI(base_url=base_url, api_key=stack.api_key, max_retries=0) as client:
        answer = await client.chat.completions.create(model=SMOLLM2, messages=QUESTION, max_tokens=8)
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


async def test_errors_reach_the_client_as_its_own_exceptions(client: AsyncOpenAI) -> None:
    with pytest.raises(APIStatusError) as raised:
        await client.chat.completions.create(model="nobody/nothing", messages=QUESTION)
    assert raised.value.status_code == 400
