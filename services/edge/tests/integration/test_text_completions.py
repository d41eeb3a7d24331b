"""The legacy completions through the real HTTP port, to a scripted router over real gRPC."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from contracts.errors import ErrorReason
from edge.domain.errors import BrokenAnswerError, RefusedError
from edge.testing.router import Message, break_off, completed, explained, piece, refuse, route, scripted
from edge.testing.stack import Answer, EdgeStack

LOGPROBS = json.dumps({"content": [{"token": "Hi", "logprob": -0.5, "top_logprobs": []}]}).encode()


async def ask(edge: EdgeStack, headers: dict[str, str] | None = None, **members: Any) -> Answer:
    body = {"model": "acme/one", "prompt": "Say: ", **members}
    return await edge.call("POST", "/completions", body, headers=headers)


def text_of(answer: Answer, index: int = 0) -> str:
    chunks = [event for event in answer.events if event != "[DONE]"]
    return "".join(choice["text"] for event in chunks for choice in event["choices"] if choice["index"] == index)


async def test_a_whole_answer(edge: EdgeStack) -> None:
    answer = await ask(edge, max_tokens=5)
    assert answer.status == 200
    document = json.loads(answer.body, parse_float=Decimal)
    assert (document["object"], document["model"], document["provider"]) == ("text_completion", "acme/one", "Acme")
    assert document["id"] == answer.headers["X-Generation-Id"]
    (choice,) = document["choices"]
    assert (choice["text"], choice["finish_reason"], choice["native_finish_reason"]) == ("Hello world", "stop", "end")
    assert choice["logprobs"] is None
    assert document["usage"]["cost"] == Decimal("0.000013")
    sent = json.loads(edge.around.router.requests[0].request_json)
    assert sent == {"messages": [{"role": "user", "content": "Say: "}], "model": "acme/one", "max_tokens": 5}


async def test_a_stream_ends_with_usage_and_done(edge: EdgeStack) -> None:
    answer = await ask(edge, stream=True)
    *chunks, last = answer.events
    assert last == "[DONE]"
    assert text_of(answer) == "Hello world"
    assert [chunk for chunk in chunks if "usage" in chunk] == chunks[-1:]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_prompt_comes_back_before_each_answer_for_those_who_ask(streamed: bool, edge: EdgeStack) -> None:
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece("one", logprobs_json=LOGPROBS), piece("two", index=1, reasoning="Hm")]),
        Message(deltas=[piece(".", finish_reason="stop"), piece(".", index=1, finish_reason="length")]),
        Message(outcome=completed(service_tier="flex", system_fingerprint="fp")),
    )
    answer = await ask(edge, stream=streamed, echo=True, n=2, logprobs=0)
    if streamed:
        assert (text_of(answer), text_of(answer, 1)) == ("Say: one.", "Say: two.")
        document = answer.events[-2]
    else:
        document = answer.document
        first, second = document["choices"]
        assert (first["text"], second["text"]) == ("Say: one.", "Say: two.")
        assert (first["finish_reason"], second["finish_reason"]) == ("stop", "length")
        assert first["logprobs"]["text_offset"] == [len("Say: ")]
        assert (first["reasoning"], second["reasoning"]) == (None, "Hm")
    assert (document["service_tier"], document["system_fingerprint"]) == ("flex", "fp")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_refusal_has_its_status(streamed: bool, edge: EdgeStack) -> None:
    edge.around.router.script = refuse(RefusedError(ErrorReason.NO_ENDPOINTS, "No endpoints found"))
    answer = await ask(edge, stream=streamed)
    assert (answer.status, answer.error["metadata"]["error_type"]) == (404, "not_found")


async def test_bad_input_names_its_field(edge: EdgeStack) -> None:
    answer = await ask(edge, suffix="end")
    assert (answer.status, answer.error["metadata"]["param"]) == (400, "suffix")
    assert edge.around.router.requests == []


async def test_a_failure_in_mid_stream_is_one_error_event(edge: EdgeStack) -> None:
    edge.around.router.script = break_off(BrokenAnswerError("died"), "Hel")
    answer = await ask(edge, stream=True)
    assert "[DONE]" not in answer.events
    assert answer.events[-1]["error"]["code"] == 502
    assert answer.events[-1]["choices"][0]["finish_reason"] == "error"


async def test_metadata_and_debug_are_where_chat_completions_have_them(edge: EdgeStack) -> None:
    chosen = explained(["busy"])
    chosen.upstream_bodies.append(b'{"model":"one"}')
    edge.around.router.script = scripted(
        Message(route=chosen, deltas=[piece("Hi", finish_reason="stop")], outcome=completed())
    )
    answer = await ask(edge, {"X-OpenRouter-Metadata": "enabled"}, stream=True, debug={"echo_upstream_body": True})
    assert answer.events[0]["debug"] == {"echo_upstream_body": {"model": "one"}}
    assert answer.events[-2]["openrouter_metadata"]["attempt"] == 2
