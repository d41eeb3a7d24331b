"""The Responses API through the real HTTP port, to a scripted router over real gRPC."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import Any

import pytest

from contracts.errors import ErrorReason
from edge.domain.errors import BrokenAnswerError, DependencyError, RefusedError
from edge.settings import HttpSettings, StreamSettings
from edge.testing.router import (
    Message,
    Request,
    Stall,
    break_off,
    broken,
    completed,
    explained,
    piece,
    refuse,
    route,
    scripted,
    speak,
)
from edge.testing.stack import Answer, EdgeStack, Neighbours, OpenEdge
from servicekit.durations import parse_duration
from turnpike.router.v1 import completion_pb2

# The members of a whole response on the wire, and two that the schema has besides.
WHOLE = {
    "background", "completed_at", "created_at", "error", "frequency_penalty", "id", "incomplete_details", "instructions",
    "max_output_tokens", "max_tool_calls", "metadata", "model", "object", "output", "parallel_tool_calls",
    "presence_penalty", "previous_response_id", "prompt_cache_key", "prompt_cache_options", "reasoning", "safety_identifier", "service_tier",
    "status", "store", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "usage",
    "output_text", "user", "prompt",
}  # fmt: skip
USAGE = {
    "input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details", "total_tokens", "cost", "is_byok",
    "cost_details",
}  # fmt: skip
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
CALL = completion_pb2.ToolCallDelta


def body(**members: Any) -> dict[str, Any]:
    return {"model": "acme/one", "input": "Say something", **members}


async def ask(edge: EdgeStack, headers: dict[str, str] | None = None, **members: Any) -> Answer:
    return await edge.call("POST", "/responses", body(**members), headers=headers)


def kinds(answer: Answer) -> list[str]:
    return [event["type"].removeprefix("response.") for event in answer.events if event != "[DONE]"]


async def test_a_whole_response_has_every_member(edge: EdgeStack) -> None:
    answer = await ask(edge, instructions="Be brief", temperature=0.5, metadata={"k": "v"})
    assert answer.status == 200
    document = json.loads(answer.body, parse_float=Decimal)
    assert set(document) == WHOLE
    assert (document["object"], document["status"], document["model"]) == ("response", "completed", "acme/one")
    assert answer.headers["X-Generation-Id"] == document["id"]
    assert answer.headers["X-Provider-Name"] == "Acme"
    assert document["completed_at"] >= document["created_at"]
    assert (document["instructions"], document["temperature"]) == ("Be brief", Decimal("0.5"))
    assert (document["metadata"], document["store"], document["tool_choice"]) == ({"k": "v"}, False, "auto")
    (message,) = document["output"]
    assert message["id"].startswith("msg_tmp_")
    assert message["content"] == [{"type": "output_text", "text": "Hello world", "annotations": [], "logprobs": []}]
    assert document["output_text"] == "Hello world"
    usage = document["usage"]
    assert set(usage) == USAGE
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (7, 3, 10)
    assert usage["cost"] == Decimal("0.000013")


async def test_a_stream_has_the_events_of_the_wire_in_order(edge: EdgeStack) -> None:
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece(reasoning="Hm"), piece(reasoning=".")]),
        Message(deltas=[piece("Hel"), piece("lo")]),
        Message(deltas=[piece(finish_reason="stop")], outcome=completed()),
    )
    answer = await ask(edge, stream=True)
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert b"event:" not in answer.body
    assert kinds(answer) == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta",
        "reasoning_text.done", "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    events = answer.events[:-1]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert set(events[0]["response"]) == set(events[-1]["response"]) == WHOLE
    assert (events[0]["response"]["status"], events[0]["response"]["output"]) == ("in_progress", [])
    assert {event["response"]["id"] for event in events if "response" in event} == {answer.headers["X-Generation-Id"]}
    reasoning, message = events[-1]["response"]["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    assert message["content"][0]["text"] == "Hello"
    assert set(events[-1]["response"]["usage"]) == USAGE


@pytest.mark.parametrize("streamed", [False, True])
async def test_calls_of_tools(streamed: bool, edge: EdgeStack) -> None:
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece(tool_calls=[CALL(index=0, id="a", type="function", name="look")])]),
        Message(deltas=[piece(tool_calls=[CALL(index=0, arguments='{"x"')])]),
        Message(deltas=[piece(tool_calls=[CALL(index=1, id="b", type="function", name="patch", arguments='{"input":"z"}')])]),
        Message(deltas=[piece(tool_calls=[CALL(index=0, arguments=":1}")], finish_reason="tool_calls")], outcome=completed()),
    )  # fmt: skip
    answer = await ask(edge, stream=streamed, tools=[LOOK, {"type": "custom", "name": "patch"}])
    response = answer.events[-2]["response"] if streamed else answer.document
    look, patch = response["output"]
    assert (look["type"], look["call_id"], look["name"], look["arguments"]) == ("function_call", "a", "look", '{"x":1}')
    assert (patch["type"], patch["call_id"], patch["name"], patch["input"]) == ("custom_tool_call", "b", "patch", "z")
    assert response["tools"] == [{**LOOK, "strict": None}, {"type": "custom", "name": "patch"}]
    sent = json.loads(edge.around.router.requests[0].request_json)
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["look", "patch"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_an_answer_that_was_cut_is_incomplete(streamed: bool, finish: str, reason: str, edge: EdgeStack) -> None:
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece("Hel", finish_reason=finish)], outcome=completed())
    )
    answer = await ask(edge, stream=streamed)
    assert answer.status == 200
    response = answer.events[-2]["response"] if streamed else answer.document
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert response["output"][0]["status"] == "incomplete"
    assert response["error"] is None
    assert response["usage"]["output_tokens"] == 3
    if streamed:
        assert kinds(answer)[-1] == "incomplete"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_request_that_is_too_long_is_an_incomplete_response(streamed: bool, edge: EdgeStack) -> None:
    edge.around.router.script = refuse(RefusedError(ErrorReason.CONTEXT_LENGTH_EXCEEDED, "Too long"))
    answer = await ask(edge, stream=streamed)
    assert answer.status == 200
    response = answer.events[-2]["response"] if streamed else answer.document
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert (response["error_type"], response["output"]) == ("context_length_exceeded", [])
    if streamed:
        assert kinds(answer) == ["created", "in_progress", "incomplete"]
        assert answer.events[-1] == "[DONE]"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "error_type"),
    [
        (RefusedError(ErrorReason.MODEL_NOT_FOUND, "acme/none is not a model"), 400, "invalid_request"),
        (RefusedError(ErrorReason.NO_ENDPOINTS, "No endpoints found"), 404, "not_found"),
        (RefusedError(ErrorReason.RATE_LIMITED, "Rate limited", {"http_status": "429"}), 429, "rate_limit_exceeded"),
        (DependencyError("router"), 503, "provider_overloaded"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_refusal_before_the_first_event_has_its_status(
    streamed: bool, error: Exception, status: int, error_type: str, edge: EdgeStack
) -> None:
    edge.around.router.script = refuse(error)
    answer = await ask(edge, stream=streamed)
    assert answer.status == status
    assert answer.document["error_type"] == error_type
    assert answer.error["metadata"]["error_type"] == error_type


@pytest.mark.parametrize(
    ("method", "sent", "key", "status", "error_type"),
    [
        ("POST", body(), "", 401, "authentication"),
        ("POST", body(), "tp_live_nonsense", 401, "authentication"),
        ("GET", None, None, 405, "invalid_request"),
        ("POST", body(store=True), None, 400, "invalid_request"),
        ("POST", b"{", None, 400, "invalid_request"),
    ],
    ids=["no key", "no such key", "method", "not offered", "no JSON"],
)
async def test_errors_of_the_route_are_in_its_form(
    method: str, sent: Any, key: str | None, status: int, error_type: str, edge: EdgeStack
) -> None:
    answer = await edge.call(method, "/responses", sent, key=key)
    assert answer.status == status
    assert answer.document["error_type"] == error_type
    assert answer.error["message"]


async def test_a_body_that_is_too_large_is_refused_in_the_form_of_the_route(open_edge: OpenEdge) -> None:
    edge = await open_edge(http=HttpSettings(port=0, body_limit=1_024))
    answer = await ask(edge, instructions="x" * 1_024)
    assert (answer.status, answer.document["error_type"]) == (413, "payload_too_large")


@pytest.mark.parametrize(
    "script",
    [
        break_off(BrokenAnswerError("died"), "Hel", "lo"),
        break_off(None, "Hel", "lo"),
        speak("Hel", "lo", outcome=broken()),
    ],
    ids=["the router dies", "the stream merely ends", "the provider breaks off"],
)
async def test_a_failure_in_mid_stream_is_a_failed_response(script: Any, edge: EdgeStack) -> None:
    edge.around.router.script = script
    answer = await ask(edge, stream=True)
    assert answer.status == 200
    assert "[DONE]" not in answer.events
    last = answer.events[-1]
    assert last["type"] == "response.failed"
    response = last["response"]
    assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
    assert response["error_type"] == "provider_unavailable"
    assert response["output"][0]["content"][0]["text"] == "Hello"
    assert response["output"][0]["status"] == "incomplete"
    assert [event["sequence_number"] for event in answer.events] == list(range(len(answer.events)))


async def test_an_error_after_a_comment_and_before_the_response_is_an_event(
    open_edge: OpenEdge, around: Neighbours
) -> None:
    edge = await open_edge(stream=StreamSettings(keep_alive=parse_duration("50ms")))
    let_go = asyncio.Event()
    refusal = refuse(RefusedError(ErrorReason.NO_ENDPOINTS, "No endpoints found"))

    async def late(request: Request) -> AsyncGenerator[Message, None]:
        await let_go.wait()
        async for message in refusal(request):
            yield message

    around.router.script = late
    headers = {"Authorization": f"Bearer {edge.key}"}
    async with edge.http.post(edge.url + "/responses", json=body(stream=True), headers=headers) as response:
        assert (await response.content.readany()).startswith(b": TURNPIKE PROCESSING")
        let_go.set()
        received = await response.read()
    (event,) = Answer(200, {}, received).events
    assert event == {
        "type": "error",
        "code": "server_error",
        "message": "No endpoints found",
        "param": None,
        "error_type": "not_found",
        "sequence_number": 0,
    }


async def test_a_reader_that_goes_away_cancels_the_work(edge: EdgeStack) -> None:
    stall = Stall("Hel", "lo")
    edge.around.router.script = stall
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(ask(edge, stream=True))
        await stall.began.wait()
        calling.cancel()
    async with asyncio.timeout(20):
        await stall.cancelled.wait()


@pytest.mark.parametrize("included", [False, True])
async def test_reasoning_for_the_model_alone_is_sent_to_those_who_ask(included: bool, edge: EdgeStack) -> None:
    details = [
        {"type": "reasoning.summary", "summary": "Hm", "id": "rs_1", "format": "openai-responses-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "E", "id": "rs_1", "format": "openai-responses-v1", "index": 1},
    ]
    extra = json.dumps({"reasoning_details": details}).encode()
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece("Hi", extra_json=extra, finish_reason="stop")], outcome=completed())
    )
    answer = await ask(edge, include=["reasoning.encrypted_content"] if included else None)
    reasoning, _ = answer.document["output"]
    assert (reasoning["id"], reasoning["summary"]) == ("rs_1", [{"type": "summary_text", "text": "Hm"}])
    assert reasoning.get("encrypted_content") == ("E" if included else None)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_caller_that_asks_learns_how_it_was_routed(streamed: bool, edge: EdgeStack) -> None:
    edge.around.router.script = scripted(
        Message(route=explained(["busy"]), deltas=[piece("Hi", finish_reason="stop")], outcome=completed())
    )
    answer = await ask(edge, {"X-OpenRouter-Metadata": "enabled"}, stream=streamed)
    response = answer.events[-2]["response"] if streamed else answer.document
    assert response["openrouter_metadata"]["attempt"] == 2


async def test_citations_and_images_are_parts_of_the_output(edge: EdgeStack) -> None:
    citation = {"url": "https://x.example", "title": "X", "start_index": 0, "end_index": 2}
    extra = {
        "annotations": [{"type": "url_citation", "url_citation": citation}],
        "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}],
    }
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece("Hi", extra_json=json.dumps(extra).encode())]),
        Message(deltas=[piece(finish_reason="stop")], outcome=completed()),
    )
    answer = await ask(edge, stream=True)
    assert "output_text.annotation.added" in kinds(answer)
    message, image = answer.events[-2]["response"]["output"]
    assert message["content"][0]["annotations"] == [{"type": "url_citation", **citation}]
    assert (image["type"], image["result"]) == ("image_generation_call", "iVBORw0KGgo=")


@pytest.mark.parametrize("streamed", [False, True])
async def test_log_probabilities_are_sent_to_those_who_ask(streamed: bool, edge: EdgeStack) -> None:
    logprobs = json.dumps({"content": [{"token": "Hi", "logprob": -0.5, "bytes": [72], "top_logprobs": []}]}).encode()
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece("Hi", logprobs_json=logprobs, finish_reason="stop")], outcome=completed())
    )
    answer = await ask(edge, stream=streamed, top_logprobs=1)
    response = answer.events[-2]["response"] if streamed else answer.document
    (each,) = response["output"][0]["content"][0]["logprobs"]
    assert (each["token"], each["logprob"]) == ("Hi", -0.5)
    assert json.loads(edge.around.router.requests[0].request_json)["top_logprobs"] == 1


async def test_the_session_may_be_named_by_a_header(edge: EdgeStack) -> None:
    await ask(edge, {"x-session-id": "s-1"})
    await ask(edge, {"x-session-id": "s-1"}, session_id="s-2")
    sent = [json.loads(request.request_json)["session_id"] for request in edge.around.router.requests]
    assert sent == ["s-1", "s-2"]
    refused = await ask(edge, {"x-session-id": "x" * 300})
    assert (refused.status, refused.error["metadata"]["param"]) == (400, "session_id")
