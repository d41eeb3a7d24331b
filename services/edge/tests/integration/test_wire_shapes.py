"""Answers have the members that OpenRouter's recorded answers have, in the same places.

The names below are facts read from recorded exchanges of 2025-11 to 2026-08. Of members that only some providers cause, only
their place is checked.
"""

from __future__ import annotations

import json
from typing import Any

from contracts.errors import ErrorReason
from edge.domain.errors import RefusedError
from edge.testing.router import Message, break_off, completed, piece, refuse, route, scripted
from edge.testing.stack import EdgeStack
from turnpike.router.v1 import completion_pb2

CALL = completion_pb2.ToolCallDelta
CHUNK = {"id", "object", "created", "model", "provider", "choices"}
CHOICE = {"index", "delta", "finish_reason", "native_finish_reason", "logprobs"}
USAGE = {
    "prompt_tokens": {"cached_tokens", "audio_tokens"},
    "completion_tokens": {"reasoning_tokens", "image_tokens"},
    "cost": {"upstream_inference_cost", "upstream_inference_prompt_cost", "upstream_inference_completions_cost"},
}
DETAIL = {"type": "reasoning.text", "text": "We need", "index": 0, "format": None}


def check_usage(usage: dict[str, Any]) -> None:
    assert {"prompt_tokens", "completion_tokens", "total_tokens", "cost", "is_byok"} <= set(usage)
    for name, members in USAGE.items():
        assert members <= set(usage[f"{name}_details"])


async def test_a_whole_chat_completion_that_calls_a_tool(edge: EdgeStack) -> None:
    call = CALL(index=0, id="3sn", type="function", name="divide", arguments="{}")
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece("", tool_calls=[call], finish_reason="tool_calls")], outcome=completed())
    )
    document = (await edge.chat()).document
    assert {"id", "object", "created", "model", "provider", "choices", "usage", "system_fingerprint"} <= set(document)
    (choice,) = document["choices"]
    assert set(choice) == {"index", "logprobs", "finish_reason", "native_finish_reason", "message"}
    assert set(choice["message"]) == {"role", "content", "refusal", "reasoning", "tool_calls"}
    assert choice["message"]["content"] == ""
    (called,) = choice["message"]["tool_calls"]
    assert called == {"index": 0, "id": "3sn", "type": "function", "function": {"name": "divide", "arguments": "{}"}}
    check_usage(document["usage"])


async def test_chunks_with_reasoning_and_the_usage_chunk(edge: EdgeStack) -> None:
    extra = json.dumps({"reasoning_details": [DETAIL]}).encode()
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece(reasoning="We need", extra_json=extra), piece("4")]),
        Message(deltas=[piece("", finish_reason="stop", native_finish_reason="completed")], outcome=completed()),
    )
    *chunks, usage, done = (await edge.chat(stream=True)).events
    assert done == "[DONE]"
    for chunk in chunks:
        assert set(chunk) == CHUNK
        assert set(chunk["choices"][0]) == CHOICE
    thought = chunks[0]["choices"][0]["delta"]
    assert thought == {
        "role": "assistant",
        "content": "",
        "reasoning": "We need",
        "reasoning_details": [DETAIL],
    }
    assert chunks[-1]["choices"][0]["native_finish_reason"] == "completed"
    assert CHUNK | {"usage", "service_tier"} == set(usage)
    assert usage["choices"][0]["delta"] == {"content": ""}
    assert usage["choices"][0]["finish_reason"] == "stop"
    check_usage(usage["usage"])


async def test_an_error_after_the_first_byte_is_beside_the_choices(edge: EdgeStack) -> None:
    edge.around.router.script = break_off(None, "Hel")
    error = (await edge.chat(stream=True)).events[-1]
    assert CHUNK | {"error"} == set(error)
    assert {"code", "message"} <= set(error["error"])
    assert isinstance(error["error"]["code"], int)


async def test_an_error_of_a_provider_names_it(edge: EdgeStack) -> None:
    refusal = RefusedError(ErrorReason.RATE_LIMITED, "Provider returned error", {"provider_name": "Google"})
    edge.around.router.script = refuse(refusal)
    error = (await edge.chat()).error
    assert error["metadata"]["provider_name"] == "Google"


async def test_a_streamed_response_that_calls_a_tool_has_the_seven_events_of_the_wire(edge: EdgeStack) -> None:
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece(tool_calls=[CALL(index=0, id="c", type="function", name="version")])]),
        Message(deltas=[piece(tool_calls=[CALL(index=0, arguments="{}")])]),
        Message(deltas=[piece(finish_reason="tool_calls")], outcome=completed()),
    )
    tool = {"type": "function", "name": "version", "description": "x", "parameters": {"type": "object"}}
    sent = {"model": "acme/one", "input": [{"role": "user", "content": "Hi"}], "tools": [tool], "store": False}
    answer = await edge.call("POST", "/responses", {**sent, "stream": True})
    *events, done = answer.events
    assert done == "[DONE]"
    assert [(event["sequence_number"], event["type"]) for event in events] == list(
        enumerate(
            [
                "response.created",
                "response.in_progress",
                "response.output_item.added",
                "response.function_call_arguments.delta",
                "response.function_call_arguments.done",
                "response.output_item.done",
                "response.completed",
            ]
        )
    )
    assert events[0]["response"]["tools"] == [{**tool, "strict": None}]
    assert events[0]["response"]["usage"] is None
    item = events[5]["item"]
    assert {"type", "id", "call_id", "name", "arguments", "status"} == set(item)
