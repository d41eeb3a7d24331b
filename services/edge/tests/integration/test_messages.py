"""Anthropic's Messages API through the real HTTP port, to a scripted router over real gRPC."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from contracts.errors import ErrorReason
from edge.domain.errors import RefusedError
from edge.settings import StreamSettings
from edge.testing.router import (
    Message,
    Script,
    Stall,
    break_off,
    broken,
    completed,
    explained,
    model,
    piece,
    refuse,
    route,
    scripted,
)
from edge.testing.stack import Answer, EdgeStack, Neighbours, OpenEdge
from edge.testing.waiting import eventually
from servicekit.durations import parse_duration
from turnpike.router.v1 import completion_pb2

MESSAGES = [{"role": "user", "content": "Say something"}]
BODY = {"model": "acme/one", "max_tokens": 64, "messages": MESSAGES}


async def send(edge: EdgeStack, path: str = "/messages", **members: Any) -> Answer:
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "a-beta-2025-01-01", "x-api-key": edge.key}
    return await edge.call("POST", path, {**BODY, **members}, key="", headers=headers)


def call(**members: str) -> completion_pb2.ChoiceDelta:
    return completion_pb2.ChoiceDelta(tool_calls=[completion_pb2.ToolCallDelta(index=0, **members)])


def named_events(answer: Answer) -> list[tuple[str, Any]]:
    """Events with their names, which must be the types of their data."""
    found = []
    for event in answer.body.decode().strip().split("\n\n"):
        name, data = event.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "), parse_float=Decimal)))
    assert all(name == data["type"] for name, data in found)
    return found


def error_of(answer: Answer, status: int) -> dict[str, Any]:
    assert answer.status == status, answer.body
    document = answer.document
    assert document["type"] == "error"
    assert "request_id" in document
    error: dict[str, Any] = document["error"]
    assert error.keys() >= {"type", "message", "error_type"}
    return error


async def test_a_whole_answer_is_a_message(edge: EdgeStack) -> None:
    answer = await send(edge)
    assert answer.status == 200
    message = json.loads(answer.body, parse_float=Decimal)
    assert message["id"] == answer.headers["X-Generation-Id"]
    assert (message["type"], message["role"], message["model"]) == ("message", "assistant", "acme/one")
    assert message["provider"] == "Acme"
    assert message["content"] == [{"type": "text", "text": "Hello world", "citations": None}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)
    # The official document's required members are all there, null or not.
    assert {"container", "stop_details"} <= message.keys()
    usage = message["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (7, 3)
    assert {"cache_creation", "inference_geo", "server_tool_use", "service_tier"} <= usage.keys()
    assert usage["cost"] == Decimal("0.000013")
    assert "openrouter_metadata" not in message


async def test_the_router_gets_chat_completions(edge: EdgeStack) -> None:
    await send(edge, system="Be brief", stop_sequences=["END"])
    (request,) = edge.around.router.requests
    assert json.loads(request.request_json) == {
        "model": "acme/one",
        "max_tokens": 64,
        "messages": [{"role": "system", "content": "Be brief"}, *MESSAGES],
        "stop": ["END"],
    }


async def test_a_stream_has_anthropics_events_in_their_order(edge: EdgeStack) -> None:
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece(None, reasoning="hm")]),
        Message(deltas=[piece("Hel"), piece("lo")]),
        Message(deltas=[call(id="c1", name="f", arguments="{")]),
        Message(deltas=[call(arguments="}")]),
        Message(deltas=[piece(finish_reason="tool_calls", native_finish_reason="tool_calls")], outcome=completed()),
    )
    events = named_events(await send(edge, stream=True))
    assert [name for name, _ in events] == [
        "message_start",
        "content_block_start", "content_block_delta", "content_block_stop",
        "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert events[0][1]["message"]["provider"] == "Acme"
    assert [data["content_block"]["type"] for name, data in events if name == "content_block_start"] == [
        "thinking",
        "text",
        "tool_use",
    ]
    end = events[-2][1]
    assert end["delta"]["stop_reason"] == "tool_use"
    assert (end["usage"]["input_tokens"], end["usage"]["output_tokens"]) == (7, 3)
    assert end["usage"]["cost"] == Decimal("0.000013")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_stop_sequence_that_the_provider_names_is_named(edge: EdgeStack, streamed: bool) -> None:
    end = piece("x", finish_reason="stop", native_finish_reason="stop", stop_sequence="FIN")
    edge.around.router.script = scripted(Message(route=route(), deltas=[end], outcome=completed()))
    answer = await send(edge, stream=streamed, stop_sequences=["END", "FIN"])
    said = named_events(answer)[-2][1]["delta"] if streamed else answer.document
    assert (said["stop_reason"], said["stop_sequence"]) == ("stop_sequence", "FIN")


@pytest.mark.parametrize("streamed", [False, True])
async def test_metadata_is_there_when_it_is_asked_for(edge: EdgeStack, streamed: bool) -> None:
    end = piece("x", finish_reason="stop")
    edge.around.router.script = scripted(Message(route=explained(), deltas=[end], outcome=completed()))
    headers = {"X-OpenRouter-Metadata": "enabled"}
    answer = await edge.call("POST", "/messages", {**BODY, "stream": streamed}, headers=headers)
    holder = named_events(answer)[-1][1] if streamed else answer.document
    assert holder["openrouter_metadata"]["requested"] == "acme/newest"


async def test_context_editing_is_answered_with_what_was_edited(edge: EdgeStack) -> None:
    assert (await send(edge)).document["context_management"] is None
    answer = await send(edge, context_management={"edits": [{"type": "clear_tool_uses_20250919"}]})
    assert answer.document["context_management"] == {"applied_edits": []}


async def test_errors_have_anthropics_envelope_before_any_handler_has_run(edge: EdgeStack) -> None:
    url = f"http://127.0.0.1:{edge.port}"
    assert error_of(await edge.call("POST", "/messages", BODY, key=""), 401)["type"] == "authentication_error"
    assert error_of(await edge.call("GET", "/messages"), 405)["type"] == "invalid_request_error"
    assert error_of(await edge.call("POST", f"{url}/v1/messages", b"{"), 400)["type"] == "invalid_request_error"
    bad = await edge.call("POST", "/messages", {**BODY, "max_tokens": "many"})
    assert error_of(bad, 400)["message"].startswith("max_tokens: ")
    assert bad.document["metadata"] == {"param": "max_tokens"}
    assert bad.document["request_id"] is None
    management = await edge.call("POST", "/messages", BODY, key=edge.management_key)
    assert error_of(management, 403)["type"] == "permission_error"


async def test_a_refusal_of_the_router_names_the_generation(edge: EdgeStack) -> None:
    error = RefusedError(
        ErrorReason.PROVIDER_UNAVAILABLE, "Every provider failed", {"error_type": "provider_unavailable"}
    )
    edge.around.router.script = refuse(error)
    answer = await send(edge)
    assert error_of(answer, 502) == {
        "type": "api_error",
        "message": "Every provider failed",
        "error_type": "provider_unavailable",
    }
    assert answer.document["request_id"] == answer.headers["X-Generation-Id"]


@pytest.mark.parametrize(
    ("script", "types"),
    [
        (
            scripted(
                Message(route=route(), deltas=[piece("Hel")]), Message(outcome=broken(503, "provider_overloaded"))
            ),
            ("overloaded_error", "provider_overloaded"),
        ),
        (break_off(None, "Hel"), ("api_error", "provider_unavailable")),
    ],
    ids=["outcome", "cut"],
)
async def test_a_stream_that_breaks_ends_with_an_error_event(
    edge: EdgeStack, script: Script, types: tuple[str, str]
) -> None:
    edge.around.router.script = script
    answer = await send(edge, stream=True)
    events = named_events(answer)
    names = [name for name, _ in events]
    assert names[-1] == "error"
    assert "message_stop" not in names
    error = events[-1][1]["error"]
    assert (error["type"], error["error_type"]) == types
    assert events[-1][1]["request_id"] == answer.headers["X-Generation-Id"]


async def test_mixed_pieces_of_tool_calls_end_the_stream_rather_than_become_other_calls(edge: EdgeStack) -> None:
    mixed = [
        completion_pb2.ToolCallDelta(index=index, id=f"c{index}", name="f", arguments=text)
        for index, text in ((0, "{"), (1, "{"), (0, "}"))
    ]
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[completion_pb2.ChoiceDelta(tool_calls=[each]) for each in mixed]),
        Message(deltas=[piece(finish_reason="tool_calls")], outcome=completed()),
    )
    answer = await send(edge, stream=True)
    error = named_events(answer)[-1][1]["error"] if answer.status == 200 else answer.document["error"]
    assert error["error_type"] == "provider_unavailable"


async def test_a_slow_stream_is_kept_alive_by_pings(open_edge: OpenEdge, around: Neighbours) -> None:
    stall = Stall()
    around.router.script = stall
    edge = await open_edge(stream=StreamSettings(keep_alive=parse_duration("50ms")))
    async with edge.http.post(
        f"{edge.url}/messages", json={**BODY, "stream": True}, headers={"x-api-key": edge.key}
    ) as response:
        first = await response.content.readuntil(b"\n\n")
        assert first == b'event: ping\ndata: {"type":"ping"}\n\n'
        stall.go_on.set()
        rest = await response.content.read()
    assert b"event: message_stop" in rest


async def test_tokens_are_counted_by_the_tokenizer_where_it_is_known(edge: EdgeStack) -> None:
    gpt = model("openai/gpt-4o")
    gpt.tokenizer = "GPT"
    edge.around.router.models.append(gpt)
    edge.around.router.version = "2"

    async def counted(name: str, **members: Any) -> dict[str, Any]:
        answer = await send(edge, "/messages/count_tokens", model=name, **members)
        assert answer.status == 200, answer.body
        document: dict[str, Any] = answer.document
        return document

    async def known() -> bool:
        return bool((await counted("openai/gpt-4o"))["source"] == "tokenizer")

    await eventually(known)
    # Two tokens of text, three around the message and three before the answer.
    assert await counted("openai/gpt-4o") == {"input_tokens": 8, "source": "tokenizer"}
    # "Say something" has 13 bytes; the estimate is four to a token and four a message.
    assert await counted("acme/one") == {"input_tokens": 8, "source": "estimate"}
    assert await counted("acme/unheard-of") == {"input_tokens": 8, "source": "estimate"}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    with_image = await counted("openai/gpt-4o", messages=[{"role": "user", "content": [image]}])
    assert with_image["source"] == "estimate"
    assert edge.around.router.requests == []
    assert error_of(await send(edge, "/messages/count_tokens", messages=[]), 400)["message"].startswith("messages")


async def test_a_caller_that_leaves_stops_the_work(edge: EdgeStack) -> None:
    stall = Stall("Hel")
    edge.around.router.script = stall
    async with edge.http.post(
        f"{edge.url}/messages", json={**BODY, "stream": True}, headers={"x-api-key": edge.key}
    ) as response:
        await response.content.readany()
    await eventually(stall.cancelled.is_set)


async def test_s08_the_key_of_anthropics_clients_is_a_header_and_never_in_the_address(edge: EdgeStack) -> None:
    url = f"http://127.0.0.1:{edge.port}/v1/messages"
    assert (await edge.call("POST", url, BODY, key="", headers={"x-api-key": edge.key})).status == 200
    assert (await edge.call("POST", f"{url}?x-api-key={edge.key}", BODY, key="")).status == 401
    made_up = await edge.call("POST", url, BODY, headers={"x-api-key": "tp_live_nothing"})
    # Where both are sent the bearer token counts.
    assert made_up.status == 200
    assert (await edge.call("POST", url, BODY, key="tp_live_nothing", headers={"x-api-key": edge.key})).status == 401
