"""The other dialects of OpenAI's client through every service, answered by a real model, at the cost that the books have."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI
from openai.types import Completion
from openai.types.responses import Response

from e2e_support.stack import SMOLLM2, Stack

QUESTION = "What is the capital of France? Answer in one sentence."


async def respond(client: AsyncOpenAI, *, streamed: bool) -> Response:
    """Ask the question by the Responses API."""
    members: dict[str, Any] = {"model": SMOLLM2, "input": QUESTION, "max_output_tokens": 200, "temperature": 0}
    if not streamed:
        response: Response = await client.responses.create(**members)
        return response
    text = ""
    async with client.responses.stream(**members) as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                text += event.delta
        final = await stream.get_final_response()
    assert text == final.output_text
    return final


async def recorded_cost(stack: Stack, http: aiohttp.ClientSession, generation_id: str) -> float:
    """What the record of a generation says that it cost."""
    async with http.get(f"{stack.base_url}/generation", params={"id": generation_id}) as answer:
        assert answer.status == 200, await answer.text()
        return float((await answer.json())["data"]["total_cost"])


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_real_model_answers_by_the_responses_api(
    streamed: bool, client: AsyncOpenAI, stack: Stack, http: aiohttp.ClientSession
) -> None:
    response = await respond(client, streamed=streamed)
    assert response.status == "completed"
    assert response.output_text
    assert response.usage is not None
    assert response.usage.output_tokens > 0
    cost = (response.usage.model_extra or {})["cost"]
    assert await recorded_cost(stack, http, response.id) == pytest.approx(cost, abs=1e-12)


async def test_an_answer_that_was_cut_is_incomplete(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model=SMOLLM2, input=QUESTION, max_output_tokens=2, temperature=0)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


async def test_a_conversation_goes_on_with_the_items_that_came_back(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model=SMOLLM2, input=QUESTION, max_output_tokens=100, temperature=0)
    history: list[Any] = [{"role": "user", "content": QUESTION}]
    history += [item.to_dict() for item in first.output]
    history.append({"role": "user", "content": "Thank you. And of Spain?"})
    second = await client.responses.create(model=SMOLLM2, input=history, max_output_tokens=100, temperature=0)
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens
    assert second.output_text


async def test_a_real_model_continues_a_prompt(client: AsyncOpenAI) -> None:
    answer: Completion = await client.completions.create(
        model=SMOLLM2, prompt=QUESTION, max_tokens=20, temperature=0, echo=True
    )
    assert answer.choices[0].text.startswith(QUESTION)
    assert len(answer.choices[0].text) > len(QUESTION)
