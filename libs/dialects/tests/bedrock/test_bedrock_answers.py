"""Answers, streams and errors of the Converse API."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.answers import Answer, FinishReason, ToolCallPiece, UpstreamErrorKind, Usage
from dialects.anthropic import ADAPTIVE_THINKING
from dialects.bedrock import Bedrock, ConverseStream
from dialects.chat import chat_request_from_document
from dialects.errors import UpstreamAnswerError
from dialects.testing.collected_answer import CollectedAnswer
from dialects.testing.converse_api import (
    ANNOTATION,
    CONTENT,
    EVENTS,
    IMAGE,
    RESPONSE,
    STREAM,
    block,
    encode,
    stream_of,
)
from dialects.testing.event_stream import write_event, write_message
from dialects.upstream import Target

DIALECT = Bedrock()
MESSAGE_STOP_AT = len(stream_of(*EVENTS[:-2]))


def read(stream: bytes, size: int = 1 << 30) -> list[Answer]:
    reader = ConverseStream()
    return [answer for at in range(0, len(stream), size) for answer in reader.feed(stream[at : at + size])]


def test_a_whole_answer() -> None:
    answer = DIALECT.read_answer(encode(RESPONSE))
    (choice,) = answer.choices
    assert (choice.content, choice.reasoning) == ("Let me look.", "The user asks.")
    assert choice.tool_calls == (
        ToolCallPiece(0, "tooluse_1", "function", "get_weather", '{"city":"Rome","days":3}'),
        ToolCallPiece(1, "tooluse_2", "function", "now", "{}"),
    )
    assert choice.extra == {
        "reasoning_details": [
            {
                "type": "reasoning.text",
                "index": 0,
                "text": "The user asks.",
                "signature": "c2lnbmF0dXJl",
                "format": "anthropic-claude-v1",
            },
            {"type": "reasoning.encrypted", "index": 1, "data": "b3BhcXVl", "format": "amazon-bedrock-converse-v1"},
        ],
        "annotations": [ANNOTATION],
        "images": [IMAGE],
    }
    assert (choice.finish_reason, choice.native_finish_reason) == (FinishReason.TOOL_CALLS, "tool_use")
    assert answer.usage == Usage(prompt=1_110, completion=50, cached=1_000, cache_write=100)
    assert answer.service_tier == "default"


def test_unsigned_reasoning_says_nothing_of_its_format() -> None:
    content = [{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "x"}]
    response = {**RESPONSE, "output": {"message": {"content": content}}}
    (choice,) = DIALECT.read_answer(encode(response)).choices
    assert choice.extra == {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "hm"}]}


def test_a_stream_says_the_same_as_the_whole_answer() -> None:
    collected = CollectedAnswer(read(STREAM))
    (whole,) = DIALECT.read_answer(encode(RESPONSE)).choices
    assert collected.texts == {"content": whole.content, "reasoning": whole.reasoning, "refusal": ""}
    assert collected.calls == {
        0: ["tooluse_1", "get_weather", '{"city":"Rome","days":3}'],
        1: ["tooluse_2", "now", "{}"],
    }
    assert collected.extra["annotations"] == [ANNOTATION]
    assert collected.extra["images"] == [IMAGE]
    assert collected.extra["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "The user "},
        {"type": "reasoning.text", "index": 0, "text": "asks."},
        {"type": "reasoning.text", "index": 0, "signature": "c2lnbmF0dXJl", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "index": 1, "data": "b3BhcXVl", "format": "amazon-bedrock-converse-v1"},
    ]
    assert collected.finish == (FinishReason.TOOL_CALLS, "tool_use")
    assert collected.usage == Usage(1_110, 50, 0, 1_000, 100)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_pieces_of_any_size_give_the_same_answers(size: int) -> None:
    assert read(STREAM, size) == read(STREAM)


@given(st.integers(0, len(STREAM)))
def test_a_cut_anywhere_gives_the_same_answers(cut: int) -> None:
    reader = ConverseStream()
    answers = [*reader.feed(STREAM[:cut]), *reader.feed(STREAM[cut:])]
    assert answers == read(STREAM)
    assert reader.done


@given(st.integers(0, MESSAGE_STOP_AT))
def test_a_truncated_stream_never_finishes(cut: int) -> None:
    reader = ConverseStream()
    assert CollectedAnswer(list(reader.feed(STREAM[:cut]))).finish == (None, None)
    assert not reader.done


def test_what_follows_the_end_is_not_read() -> None:
    reader = ConverseStream()
    assert list(reader.feed(STREAM + b"\0" * 16)) == read(STREAM)


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("throttlingException", UpstreamErrorKind.RATE_LIMITED, 429),
        ("internalServerException", UpstreamErrorKind.SERVER, 500),
        ("modelStreamErrorException", UpstreamErrorKind.SERVER, 424),
        ("serviceUnavailableException", UpstreamErrorKind.OVERLOADED, 503),
        ("validationException", UpstreamErrorKind.INVALID_REQUEST, 400),
        ("somethingNewException", UpstreamErrorKind.SERVER, 0),
    ],
)
def test_exceptions_in_a_stream(name: str, kind: UpstreamErrorKind, status: int) -> None:
    for payload in (b'{"message":"x"}', b"not JSON"):
        (answer,) = read(write_event(name, payload, "exception"))
        assert answer.error is not None
        assert (answer.error.kind, answer.error.status, answer.error.code) == (kind, status, name)


def test_an_error_of_the_framing_itself() -> None:
    (answer,) = read(write_message({":message-type": "error", ":error-code": "x", ":error-message": "y"}, b""))
    assert answer.error is not None
    assert (answer.error.kind, answer.error.code, answer.error.message) == (UpstreamErrorKind.SERVER, "x", "y")


@pytest.mark.parametrize(
    ("native", "expected"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("model_context_window_exceeded", "length"),
     ("tool_use", "tool_calls"), ("guardrail_intervened", "content_filter"), ("content_filtered", "content_filter"),
     ("malformed_model_output", "error"), ("malformed_tool_use", "error"), ("new", "stop")],
)  # fmt: skip
def test_finish_reasons(native: str, expected: str) -> None:
    (choice,) = DIALECT.read_answer(encode({**RESPONSE, "stopReason": native})).choices
    assert (choice.finish_reason, choice.native_finish_reason) == (expected, native)
    assert CollectedAnswer(read(stream_of(("messageStop", {"stopReason": native})))).finish == (expected, native)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}, Usage(3, 4)),
        # Beside the input, and within it.
        ({"inputTokens": 3, "outputTokens": 4, "totalTokens": 17, "cacheReadInputTokens": 10}, Usage(13, 4, 0, 10)),
        ({"inputTokens": 13, "outputTokens": 4, "totalTokens": 17, "cacheReadInputTokens": 10}, Usage(13, 4, 0, 10)),
        ({"inputTokens": 3, "outputTokens": 4, "totalTokens": 7, "cacheReadInputTokens": 10}, Usage(13, 4, 0, 10)),
        ({"inputTokens": -1, "outputTokens": 4}, None),
        ({"inputTokens": 3, "outputTokens": 4, "cacheReadInputTokens": "x"}, None),
        ({"inputTokens": 3}, None),
        (None, None),
    ],
)
def test_usage_is_consistent_or_missing(usage: Any, expected: Usage | None) -> None:
    assert DIALECT.read_answer(encode({**RESPONSE, "usage": usage})).usage == expected


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"", b"[]", b"{}", b'{"output":{}}', b'{"output":{"message":{"content":3}}}',
     b'{"output":{"message":{"content":[3]}}}', b'{"output":{"message":{"content":[{"text":3}]}}}',
     b'{"output":{"message":{"content":[{"image":{"format":"exe","source":{"bytes":"AAAA"}}}]}}}',
     b'{"output":{"message":{"content":[{"image":{"format":"png","source":{"bytes":"?"}}}]}}}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamAnswerError):
        DIALECT.read_answer(body)


@pytest.mark.parametrize(
    "event",
    [
        ("contentBlockDelta", {"delta": {"text": "x"}}),
        ("contentBlockDelta", {"contentBlockIndex": -1, "delta": {"text": "x"}}),
        ("contentBlockDelta", {"contentBlockIndex": 10**9, "delta": {"text": "x"}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": 3}}),
        ("contentBlockDelta", {"contentBlockIndex": 0}),
        ("contentBlockStart", {"contentBlockIndex": 0, "start": 3}),
        ("messageStop", {}),
        ("messageStop", []),
        ("metadata", 3),
    ],
)
def test_a_malformed_event_is_refused(event: tuple[str, Any]) -> None:
    with pytest.raises(UpstreamAnswerError):
        read(stream_of(event))


def test_images_are_bounded() -> None:
    piece = base64.b64encode(b"x" * 3_000_000).decode()
    deltas = [{"image": {"source": {"bytes": piece}}}] * 12
    with pytest.raises(UpstreamAnswerError, match="larger"):
        read(stream_of(*block(0, {"image": {"format": "png"}}, *deltas)))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"message": "The value at messages.0 is wrong"}, UpstreamErrorKind.INVALID_REQUEST),
        (400, {"message": "Input is too long for requested model."}, UpstreamErrorKind.CONTEXT_LENGTH),
        (400, {"message": "The model returned the following errors: prompt is too long: 2 > 1"}, UpstreamErrorKind.CONTEXT_LENGTH),
        (400, {"message": "The provided model identifier is invalid."}, UpstreamErrorKind.MODEL_NOT_FOUND),
        (400, {"message": "Invocation of model ID x with on-demand throughput isn\u2019t supported."}, UpstreamErrorKind.MODEL_NOT_FOUND),
        (400, {"message": "This model doesn\u2019t support the stopSequences field."}, UpstreamErrorKind.UNSUPPORTED_PARAMETER),
        (400, {"message": "Malformed input request: extraneous key [top_z] is not permitted"}, UpstreamErrorKind.UNSUPPORTED_PARAMETER),
        (400, {"message": "Output blocked by content filtering policy"}, UpstreamErrorKind.CONTENT_POLICY),
        (400, {"__type": "com.amazon#ServiceQuotaExceededException", "message": "x"}, UpstreamErrorKind.QUOTA_EXHAUSTED),
        (403, {"Message": "The security token included in the request is invalid."}, UpstreamErrorKind.AUTHENTICATION),
        (403, {"message": "You don't have access to the model with the specified model ID."}, UpstreamErrorKind.AUTHENTICATION),
        (404, {"message": "This model version has reached the end of its life."}, UpstreamErrorKind.MODEL_NOT_FOUND),
        (408, {"message": "Model timed out"}, UpstreamErrorKind.TIMEOUT),
        (424, {"message": "x"}, UpstreamErrorKind.SERVER),
        (424, {"message": "x", "originalStatusCode": 429}, UpstreamErrorKind.RATE_LIMITED),
        (424, {"message": "x", "originalStatusCode": 529}, UpstreamErrorKind.OVERLOADED),
        (429, {"message": "Too many requests, please wait before trying again."}, UpstreamErrorKind.RATE_LIMITED),
        (429, {"message": "Too many tokens per day, please wait before trying again."}, UpstreamErrorKind.QUOTA_EXHAUSTED),
        (429, {"__type": "ModelNotReadyException", "message": "x"}, UpstreamErrorKind.OVERLOADED),
        (429, {"message": "The model is not ready for inference."}, UpstreamErrorKind.OVERLOADED),
        (500, {"message": "x"}, UpstreamErrorKind.SERVER),
        (503, {"message": "Bedrock is unable to process your request."}, UpstreamErrorKind.OVERLOADED),
        (502, [], UpstreamErrorKind.SERVER),
    ],
)  # fmt: skip
def test_documented_errors(status: int, body: Any, kind: UpstreamErrorKind) -> None:
    error = DIALECT.read_error(encode(body), status)
    assert (error.kind, error.status) == (kind, status)


def test_a_turn_goes_back_without_loss() -> None:
    collected = CollectedAnswer(read(STREAM))
    assistant = {
        "role": "assistant",
        "content": collected.texts["content"],
        "reasoning_details": collected.extra["reasoning_details"],
        "tool_calls": [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id, name, arguments in collected.calls.values()
        ],
    }
    results = [{"role": "tool", "tool_call_id": id, "content": "r"} for id, _, _ in collected.calls.values()]
    tools = [{"type": "function", "function": {"name": "now"}}]
    request = chat_request_from_document(
        {"messages": [{"role": "user", "content": "hi"}, assistant, *results], "tools": tools}
    )
    target = Target("m", frozenset({"tools"}), stream=False, quirks=frozenset({ADAPTIVE_THINKING}))
    body = json.loads(DIALECT.request(request, target).body)
    assert body["messages"][1]["content"] == [
        CONTENT[0],
        CONTENT[1],
        {"text": "Let me look."},
        CONTENT[-2],
        CONTENT[-1],
    ]
