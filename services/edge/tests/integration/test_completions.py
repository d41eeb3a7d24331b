"""Completions through the real HTTP port, to a scripted router over real gRPC."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import Any

import pytest

from contracts.errors import ErrorReason
from contracts.ids import parse_generation_id
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
from edge.testing.stack import EdgeStack, Neighbours, OpenEdge, chat_body
from edge.testing.waiting import eventually
from servicekit.durations import parse_duration
from turnpike.router.v1 import completion_pb2, router_service_pb2


def text_of(events: list[Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for event in events[:-1] for choice in event["choices"])


async def test_a_whole_answer_has_openrouters_members(edge: EdgeStack) -> None:
    answer = await edge.chat(max_tokens=16)
    assert answer.status == 200
    document = json.loads(answer.body, parse_float=Decimal)
    parse_generation_id(document["id"])
    assert answer.headers["X-Generation-Id"] == document["id"]
    assert answer.headers["X-Provider-Name"] == document["provider"] == "Acme"
    assert (document["object"], document["model"]) == ("chat.completion", "acme/one")
    (choice,) = document["choices"]
    assert choice["message"]["content"] == "Hello world"
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("stop", "end")
    usage = document["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (7, 3, 10)
    assert usage["cost"] == Decimal("0.000013")


async def test_a_stream_ends_with_usage_and_done(edge: EdgeStack) -> None:
    answer = await edge.chat(stream=True)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    *chunks, last = answer.events
    assert last == "[DONE]"
    assert text_of(answer.events) == "Hello world"
    assert {chunk["id"] for chunk in chunks} == {answer.headers["X-Generation-Id"]}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["model"] for chunk in chunks} == {"acme/one"}
    assert {chunk["provider"] for chunk in chunks} == {"Acme"}
    assert [chunk for chunk in chunks if "usage" in chunk] == chunks[-1:]
    assert chunks[-1]["usage"]["cost"] == pytest.approx(0.000013, abs=1e-15)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_s32_the_router_learns_who_calls_and_nothing_else_of_the_request_head(edge: EdgeStack) -> None:
    headers = {
        "HTTP-Referer": "https://app.example",
        "X-Title": "An app",
        "X-OpenRouter-Categories": "cli-agent, Roleplay,no category,,cli-agent",
        "User-Agent": "client/1",
        "X-Internal-Org": "another",
        "Forwarded": "for=1.2.3.4",
        "Grpc-Timeout": "1n",
    }
    answer = await edge.call("POST", "/chat/completions", chat_body(user="someone", x_custom=[1]), headers=headers)
    assert answer.status == 200
    (request,) = edge.around.router.requests
    caller = request.caller
    assert (caller.org_id, caller.key_id) == (edge.org.org_id, edge.key_record.key_id)
    assert (caller.http_referer, caller.app_title) == ("https://app.example", "An app")
    assert (caller.user_agent, caller.request_id) == ("client/1", answer.headers["X-Request-Id"])
    assert list(caller.app_categories) == ["cli-agent", "roleplay"]
    assert not caller.country  # no proxy is trusted to say it
    assert caller.hold_nano_usd > 0
    assert json.loads(request.request_json) == chat_body(user="someone", x_custom=[1])
    assert request.generation_id == answer.document["id"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "error_type"),
    [
        (RefusedError(ErrorReason.MODEL_NOT_FOUND, "acme/none is not a model"), 400, "invalid_request"),
        (RefusedError(ErrorReason.NO_ENDPOINTS, "No endpoints found"), 404, "not_found"),
        (RefusedError(ErrorReason.RATE_LIMITED, "Rate limited", {"http_status": "429"}), 429, "rate_limit_exceeded"),
        (RefusedError(ErrorReason.PROVIDER_REJECTED, "Too hot", {"http_status": "422"}), 422, "invalid_request"),
        (RefusedError(ErrorReason.PROVIDER_UNAVAILABLE, "Provider down"), 502, "provider_unavailable"),
        (RefusedError(ErrorReason.TIMEOUT, "Too slow"), 504, "timeout"),
        (DependencyError("router"), 503, "provider_overloaded"),
        (BrokenAnswerError("the process died"), 503, "provider_overloaded"),
    ],
    ids=lambda value: getattr(value, "reason", value) if isinstance(value, Exception) else str(value),
)
async def test_a_refusal_before_the_first_token_has_its_status(
    stream: bool, error: Exception, status: int, error_type: str, edge: EdgeStack
) -> None:
    edge.around.router.script = refuse(error)
    answer = await edge.chat(stream=stream)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.error["metadata"]["error_type"] == error_type
    parse_generation_id(answer.headers["X-Generation-Id"])


async def test_a_refusal_carries_what_the_router_says_about_it(edge: EdgeStack) -> None:
    availability = {"code": "capacity_exhausted", "retryable": True}
    metadata = {"availability": json.dumps(availability), "provider_name": "Acme"}
    edge.around.router.script = refuse(RefusedError(ErrorReason.RATE_LIMITED, "Busy", metadata, 7.2))
    answer = await edge.chat()
    assert answer.headers["Retry-After"] == "8"
    docs_url = "/docs/errors#capacity_exhausted"
    assert answer.error["availability"] == availability | {"docs_url": docs_url}
    page = await edge.call("GET", edge.url.removesuffix("/api/v1") + docs_url, key="")
    assert (page.status, b'id="capacity_exhausted"' in page.body) == (200, True)
    assert answer.error["metadata"]["provider_name"] == "Acme"
    assert answer.error["metadata"]["limit_source"] == "upstream"
    assert not [name for name in answer.headers if name.lower().startswith("x-ratelimit")]


@pytest.mark.parametrize(
    "script",
    [
        break_off(BrokenAnswerError("died"), "Hel", "lo"),
        break_off(None, "Hel", "lo"),
        speak("Hel", "lo", outcome=broken()),
    ],
    ids=["the router dies", "the stream merely ends", "the provider breaks off"],
)
async def test_a_failure_in_mid_stream_is_one_error_event(script: Any, edge: EdgeStack) -> None:
    edge.around.router.script = script
    answer = await edge.chat(stream=True)
    assert answer.status == 200
    events = answer.events
    assert "[DONE]" not in events
    failed = [event for event in events if "error" in event]
    assert failed == events[-1:]
    assert failed[0]["error"]["code"] == 502
    assert failed[0]["error"]["metadata"]["error_type"] == "provider_unavailable"
    assert failed[0]["choices"][0]["finish_reason"] == "error"
    assert not [event for event in events if "usage" in event]
    assert text_of([*events, None]) == "Hello"


@pytest.mark.parametrize(
    "script", [break_off(None, "Hel"), speak("Hel", outcome=broken(504, "timeout"))], ids=["cut off", "broken"]
)
async def test_a_failure_of_a_whole_answer_is_an_error(script: Any, edge: EdgeStack) -> None:
    edge.around.router.script = script
    answer = await edge.chat()
    assert answer.status in {502, 504}
    assert answer.error


@pytest.mark.parametrize("stream", [False, True])
async def test_s37_a_piece_that_is_not_json_is_one_error_that_says_nothing(stream: bool, edge: EdgeStack) -> None:
    bad = completion_pb2.ChoiceDelta(content="x", extra_json=b'{"a":\n"secret}')
    edge.around.router.script = scripted(
        router_service_pb2.CompleteResponse(route=route(), deltas=[piece("Hel")]),
        router_service_pb2.CompleteResponse(deltas=[bad], outcome=completed()),
    )
    answer = await edge.chat(stream=stream)
    assert b"secret" not in answer.body
    if stream:
        assert answer.status == 200
        assert answer.body.count(b"HTTP/1.1") == 0
        assert answer.events[-1]["error"] == {
            "code": 500,
            "message": "Internal Server Error",
            "metadata": {"error_type": "server"},
        }
    else:
        assert answer.status == 500
        assert answer.error["message"] == "Internal Server Error"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_that_goes_away_cancels_the_routers_work(stream: bool, edge: EdgeStack) -> None:
    stall = Stall("Hel", "lo")
    edge.around.router.script = stall
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(edge.chat(stream=stream))
        await stall.began.wait()
        calling.cancel()
    async with asyncio.timeout(20):
        await stall.cancelled.wait()


async def test_a_silent_stream_gets_comments_and_then_its_answer(open_edge: OpenEdge, around: Neighbours) -> None:
    edge = await open_edge(stream=StreamSettings(keep_alive=parse_duration("100ms")))
    stall = Stall()
    around.router.script = stall
    headers = {"Authorization": f"Bearer {edge.key}"}
    async with edge.http.post(edge.url + "/chat/completions", json=chat_body(stream=True), headers=headers) as response:
        received = b""
        while received.count(b": TURNPIKE PROCESSING\n\n") < 3:
            received += await response.content.readany()
        assert received.replace(b": TURNPIKE PROCESSING\n\n", b"") == b""
        stall.go_on.set()
        received = await response.read()
    assert received.endswith(b"data: [DONE]\n\n")


async def test_an_error_after_a_comment_is_an_event(open_edge: OpenEdge, around: Neighbours) -> None:
    edge = await open_edge(stream=StreamSettings(keep_alive=parse_duration("50ms")))
    let_go = asyncio.Event()
    refusal = refuse(RefusedError(ErrorReason.NO_ENDPOINTS, "No endpoints found"))

    async def late(request: Request) -> AsyncGenerator[Message, None]:
        await let_go.wait()
        async for message in refusal(request):
            yield message

    around.router.script = late
    headers = {"Authorization": f"Bearer {edge.key}"}
    async with edge.http.post(edge.url + "/chat/completions", json=chat_body(stream=True), headers=headers) as response:
        await response.content.readany()
        let_go.set()
        received = (await response.read()).decode()
    (event,) = re.findall(r"^data: (.*)$", received, re.MULTILINE)
    assert json.loads(event)["error"]["code"] == 404


async def test_more_than_fits_is_refused_as_busy(open_edge: OpenEdge, around: Neighbours) -> None:
    edge = await open_edge(http=HttpSettings(port=0, max_in_flight=1))
    stall = Stall("x")
    around.router.script = stall
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(edge.chat())
        await stall.began.wait()
        refused = await edge.chat()
        assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
        stall.go_on.set()
        assert (await first).status == 200

    async def served() -> bool:
        return (await edge.chat()).status == 200

    # The place is free once the router's side has ended too, a moment after the answer.
    await eventually(served)


async def test_credit_is_set_aside_while_a_generation_lasts(open_edge: OpenEdge, around: Neighbours) -> None:
    edge = await open_edge()
    # 2,048 output tokens at 2 micro-dollars each: two such holds do not fit into this balance.
    poor = around.accounts.add_org(5_000_000)
    key, record = around.accounts.add_key(poor.org_id)
    await edge.publisher.publish(poor, record)
    stall = Stall("x")
    around.router.script = stall
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(edge.chat(key=key, max_tokens=2_048))
        await stall.began.wait()
        refused = await edge.chat(key=key, max_tokens=2_048)
        assert refused.status == 402
        assert "can only afford" in refused.error["message"]
        stall.go_on.set()
        assert (await first).status == 200
    around.router.script = speak("Hello")
    assert (await edge.chat(key=key, max_tokens=2_048)).status == 200


async def test_a_request_is_one_trace_over_both_services(edge: EdgeStack) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await edge.call("POST", "/chat/completions", chat_body(), headers={"traceparent": traceparent})
    assert answer.status == 200
    # The span ends after the answer was sent.
    await eventually(lambda: any(span.name.startswith("POST") for span in edge.telemetry.spans))
    server = edge.telemetry.span("POST /api/v1/chat/completions")
    client = edge.telemetry.span("turnpike.router.v1.RouterService/Complete")
    assert server.context is not None
    assert client.parent is not None
    assert client.parent.span_id == server.context.span_id
    assert f"{server.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert server.attributes is not None
    assert server.attributes["turnpike.generation_id"] == answer.document["id"]
    assert not [name for name in server.attributes if "prompt" in name or "message" in name]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_caller_that_asks_learns_how_it_was_routed(streamed: bool, edge: EdgeStack) -> None:
    edge.around.router.script = scripted(
        Message(route=explained(["busy"]), deltas=[piece("Hi", finish_reason="stop")], outcome=completed())
    )
    headers = {"X-OpenRouter-Metadata": "Enabled"}
    answer = await edge.call("POST", "/chat/completions", chat_body(stream=streamed), headers=headers)
    assert edge.around.router.requests[-1].with_metadata
    metadata = (answer.events[-2] if streamed else answer.document)["openrouter_metadata"]
    assert (metadata["requested"], metadata["strategy"], metadata["region"]) == ("acme/newest", "alias", "eu-1")
    assert metadata["summary"] == "available=2, selected=Acme"
    assert metadata["attempt"] == 2
    assert metadata["attempts"] == [
        {"provider": "Busy", "model": "acme/one", "status": 503},
        {"provider": "Acme", "model": "acme/one", "status": 200},
    ]
    assert metadata["endpoints"]["total"] == 3
    assert [each["selected"] for each in metadata["endpoints"]["available"]] == [False, True]
    if streamed:
        assert all("openrouter_metadata" not in event for event in answer.events[:-2])


@pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
async def test_what_was_sent_to_providers_comes_first_for_those_who_debug(path: str, edge: EdgeStack) -> None:
    answered = route()
    answered.upstream_bodies.extend([b'{"model":"first"}', b'{\n"model":"second"}'])
    edge.around.router.script = scripted(
        Message(route=answered, deltas=[piece("Hi", finish_reason="stop")], outcome=completed())
    )
    members = {"stream": True, "debug": {"echo_upstream_body": True}}
    body = chat_body(**members) if path == "/chat/completions" else {"model": "acme/one", "input": "Hi", **members}
    events = (await edge.call("POST", path, body)).events
    debugged = [event for event in events if "debug" in event]
    assert [event["debug"]["echo_upstream_body"]["model"] for event in debugged] == ["first", "second"]
    assert json.loads(edge.around.router.requests[0].request_json)["debug"] == {"echo_upstream_body": True}
    if path == "/chat/completions":
        assert events[:2] == debugged
        assert [event["choices"] for event in debugged] == [[], []]
    else:
        assert [event["type"] for event in events[:4]] == [
            "response.created",
            "response.in_progress",
            "response.debug",
            "response.debug",
        ]


async def test_nobody_else_is_told_how_it_was_routed(edge: EdgeStack) -> None:
    headers = {"X-OpenRouter-Metadata": "yes please"}
    answer = await edge.call("POST", "/chat/completions", chat_body(), headers=headers)
    assert not edge.around.router.requests[-1].with_metadata
    assert "openrouter_metadata" not in answer.document
