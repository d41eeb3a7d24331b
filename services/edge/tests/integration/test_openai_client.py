"""OpenAI's own Python client, unmodified, against the edge: chat completions, responses, completions, models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseFunctionToolCall, ResponseReasoningItem
from pydantic import BaseModel

from contracts.errors import ErrorReason
from edge.domain.errors import BrokenAnswerError, RefusedError
from edge.testing.router import Message, Stall, break_off, completed, piece, refuse, route, scripted
from edge.testing.stack import EdgeStack
from turnpike.router.v1 import completion_pb2

MODEL = "acme/one"
HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say something"}]
CALL = completion_pb2.ToolCallDelta
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
ARGUMENTS = '{"city":"Vienna"}'


class City(BaseModel):
    """What an answer in JSON is read into."""

    name: str
    people: int


@pytest.fixture
async def client(edge: EdgeStack) -> AsyncIterator[AsyncOpenAI]:
    """The client, which does not repeat what fails."""
    async with AsyncOpenAI(base_url=edge.url, api_key=edge.key, max_retries=0) as made:
        yield made


def calls_a_tool(edge: EdgeStack) -> None:
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece(tool_calls=[CALL(index=0, id="c1", type="function", name="weather")])]),
        Message(deltas=[piece(tool_calls=[CALL(index=0, arguments=ARGUMENTS[:8])])]),
        Message(deltas=[piece(tool_calls=[CALL(index=0, arguments=ARGUMENTS[8:])])]),
        Message(deltas=[piece(finish_reason="tool_calls")], outcome=completed()),
    )


def answers_in_json(edge: EdgeStack) -> None:
    text = json.dumps({"name": "Vienna", "people": 2_000_000})
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece(text[:9]), piece(text[9:], finish_reason="stop")], outcome=completed())
    )


def sent(edge: EdgeStack) -> Any:
    return json.loads(edge.around.router.requests[-1].request_json)


class TestChatCompletions:
    """`client.chat.completions`."""

    async def test_a_whole_answer(self, client: AsyncOpenAI) -> None:
        answer = await client.chat.completions.create(model=MODEL, messages=HI)
        assert answer.choices[0].message.content == "Hello world"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (7, 10)

    async def test_a_stream(self, client: AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=HI,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello world"
        assert chunks[-1].usage is not None
        assert len({chunk.id for chunk in chunks}) == 1

    async def test_a_tool_is_called_and_its_result_sent_back(self, client: AsyncOpenAI, edge: EdgeStack) -> None:
        calls_a_tool(edge)
        tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS, "strict": True}}]
        messages: list[Any] = list(HI)
        async with client.chat.completions.stream(model=MODEL, messages=messages, tools=tools) as stream:
            answer = await stream.get_final_completion()
        message = answer.choices[0].message
        assert message.role == "assistant"
        assert message.tool_calls is not None
        assert (message.tool_calls[0].id, message.tool_calls[0].function.arguments) == ("c1", ARGUMENTS)
        assert answer.choices[0].finish_reason == "tool_calls"
        messages += [
            message.to_dict(exclude_unset=False),
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        ]
        await client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
        assert sent(edge)["messages"][1]["tool_calls"][0]["function"]["arguments"] == ARGUMENTS

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_an_answer_is_parsed_into_a_type(self, streamed: bool, client: AsyncOpenAI, edge: EdgeStack) -> None:
        answers_in_json(edge)
        messages: list[Any] = list(HI)
        if streamed:
            async with client.chat.completions.stream(model=MODEL, messages=messages, response_format=City) as stream:
                answer = await stream.get_final_completion()
        else:
            answer = await client.chat.completions.parse(model=MODEL, messages=messages, response_format=City)
        assert answer.choices[0].message.parsed == City(name="Vienna", people=2_000_000)
        assert sent(edge)["response_format"]["json_schema"]["name"] == "City"

    async def test_a_stream_that_breaks_is_an_error(self, client: AsyncOpenAI, edge: EdgeStack) -> None:
        edge.around.router.script = break_off(BrokenAnswerError("died"), "Hel")
        stream = await client.chat.completions.create(model=MODEL, messages=HI, stream=True)
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass

    async def test_a_caller_that_closes_its_stream_ends_the_work(self, client: AsyncOpenAI, edge: EdgeStack) -> None:
        stall = Stall("Hel", "lo")
        edge.around.router.script = stall
        stream = await client.chat.completions.create(model=MODEL, messages=HI, stream=True)
        async for _ in stream:
            break
        await stream.close()
        async with asyncio.timeout(20):
            await stall.cancelled.wait()


class TestCompletions:
    """`client.completions`."""

    async def test_a_whole_answer(self, client: AsyncOpenAI) -> None:
        answer = await client.completions.create(model=MODEL, prompt="Say something", max_tokens=5)
        assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("Hello world", "stop")

    async def test_a_stream(self, client: AsyncOpenAI) -> None:
        stream = await client.completions.create(model=MODEL, prompt="Say something", stream=True)
        assert "".join([chunk.choices[0].text async for chunk in stream]) == "Hello world"


class TestResponses:
    """`client.responses`."""

    async def test_a_whole_response(self, client: AsyncOpenAI, edge: EdgeStack) -> None:
        response = await client.responses.create(model=MODEL, input="Hi", instructions="Be brief", store=False)
        assert response.output_text == "Hello world"
        assert response.status == "completed"
        assert response.usage is not None
        assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 3)
        assert [message["role"] for message in sent(edge)["messages"]] == ["system", "user"]

    async def test_a_stream(self, client: AsyncOpenAI, edge: EdgeStack) -> None:
        edge.around.router.script = scripted(
            Message(route=route(), deltas=[piece(reasoning="Hm"), piece("Hello"), piece(" world")]),
            Message(deltas=[piece(finish_reason="stop")], outcome=completed()),
        )
        async with client.responses.stream(model=MODEL, input="Hi") as stream:
            events = [event async for event in stream]
            response = await stream.get_final_response()
        said = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(said) == response.output_text == "Hello world"
        assert events[0].type == "response.created"
        assert events[-1].type == "response.completed"
        reasoning = response.output[0]
        assert isinstance(reasoning, ResponseReasoningItem)
        assert reasoning.content is not None
        assert reasoning.content[0].text == "Hm"

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_tool_is_called_and_its_result_sent_back(
        self, streamed: bool, client: AsyncOpenAI, edge: EdgeStack
    ) -> None:
        calls_a_tool(edge)
        tools: Any = [{"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}]
        if streamed:
            async with client.responses.stream(model=MODEL, input="Hi", tools=tools) as stream:
                response: Any = await stream.get_final_response()
        else:
            response = await client.responses.create(model=MODEL, input="Hi", tools=tools)
        (call,) = response.output
        assert isinstance(call, ResponseFunctionToolCall)
        assert (call.name, call.call_id, call.arguments) == ("weather", "c1", ARGUMENTS)
        history: list[Any] = [{"role": "user", "content": "Hi"}]
        history += [item.to_dict(exclude_unset=False) for item in response.output]
        history.append({"type": "function_call_output", "call_id": "c1", "output": "sunny"})
        await client.responses.create(model=MODEL, input=history, tools=tools)
        roles = [message["role"] for message in sent(edge)["messages"]]
        assert roles == ["user", "assistant", "tool"]

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_a_response_is_parsed_into_a_type(self, streamed: bool, client: AsyncOpenAI, edge: EdgeStack) -> None:
        answers_in_json(edge)
        if streamed:
            async with client.responses.stream(model=MODEL, input="Hi", text_format=City) as stream:
                response = await stream.get_final_response()
        else:
            response = await client.responses.parse(model=MODEL, input="Hi", text_format=City)
        assert response.output_parsed == City(name="Vienna", people=2_000_000)
        assert sent(edge)["response_format"]["json_schema"]["strict"] is True

    async def test_a_stream_that_breaks_is_a_failed_response(self, client: AsyncOpenAI, edge: EdgeStack) -> None:
        edge.around.router.script = break_off(BrokenAnswerError("died"), "Hel")
        stream = await client.responses.create(model=MODEL, input="Hi", stream=True)
        events = [event async for event in stream]
        assert events[-1].type == "response.failed"
        assert events[-1].response.error is not None
        assert events[-1].response.error.code == "server_error"

    async def test_a_caller_that_closes_its_stream_ends_the_work(self, client: AsyncOpenAI, edge: EdgeStack) -> None:
        stall = Stall("Hel", "lo")
        edge.around.router.script = stall
        stream = await client.responses.create(model=MODEL, input="Hi", stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        async with asyncio.timeout(20):
            await stall.cancelled.wait()


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (ErrorReason.MODEL_NOT_FOUND, openai.BadRequestError),
        (ErrorReason.NO_ENDPOINTS, openai.NotFoundError),
        (ErrorReason.RATE_LIMITED, openai.RateLimitError),
        (ErrorReason.PROVIDER_UNAVAILABLE, openai.InternalServerError),
    ],
)
async def test_errors_are_of_the_clients_own_classes(
    api: str, reason: ErrorReason, kind: type[openai.APIStatusError], client: AsyncOpenAI, edge: EdgeStack
) -> None:
    edge.around.router.script = refuse(RefusedError(reason, "No"))
    asking = (
        client.chat.completions.create(model=MODEL, messages=HI)
        if api == "chat"
        else client.responses.create(model=MODEL, input="Hi")
    )
    with pytest.raises(kind) as raised:
        await asking
    assert raised.value.request_id is not None
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["message"] == "No"


async def test_a_wrong_key_is_an_authentication_error(edge: EdgeStack) -> None:
    async with AsyncOpenAI(base_url=edge.url, api_key="sk-nothing", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.responses.create(model=MODEL, input="Hi")


async def test_the_models_are_listed(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == [MODEL]
