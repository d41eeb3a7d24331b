"""Answers, streams and errors of the Messages API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.answers import Answer, FinishReason, ToolCallPiece, UpstreamErrorKind, Usage
from dialects.anthropic import Anthropic, MessagesStream
from dialects.chat import chat_request_from_document
from dialects.errors import UpstreamAnswerError
from dialects.testing.collected_answer import CollectedAnswer
from dialects.testing.messages_api import ANNOTATION, MESSAGE, STREAM, block, encode, stream_of
from dialects.upstream import Target

DIALECT = Anthropic()


def read(stream: bytes, size: int = 1 << 30) -> list[Answer]:
    reader = MessagesStream()
    return [answer for at in range(0, len(stream), size) for answer in reader.feed(stream[at : at + size])]


def test_a_whole_answer() -> None:
    answer = DIALECT.read_answer(encode(MESSAGE))
    (choice,) = answer.choices
    assert (answer.id, answer.service_tier, answer.error) == ("msg_01XFDUDYJgAACzvnptvVoYEL", "standard", None)
    assert (choice.content, choice.reasoning, choice.refusal) == ("Let me look.", "The user asks.", None)
    assert choice.tool_calls == (
        ToolCallPiece(0, "toolu_1", "function", "get_weather", '{"city":"Rome","days":3}'),
        ToolCallPiece(1, "toolu_2", "function", "now", "{}"),
    )
    assert choice.extra == {
        "reasoning_details": [
            {
                "type": "reasoning.text",
                "index": 0,
                "text": "The user asks.",
                "signature": "EqQBCgIYAhIM",
                "format": "anthropic-claude-v1",
            },
            {"type": "reasoning.encrypted", "index": 1, "data": "EmwKAhgBEgy3va3pzix", "format": "anthropic-claude-v1"},
        ],
        "annotations": [ANNOTATION],
    }
    assert (choice.finish_reason, choice.native_finish_reason) == (FinishReason.TOOL_CALLS, "tool_use")
    assert answer.usage == Usage(prompt=1_110, completion=50, reasoning=20, cached=1_000, cache_write=100)


def test_a_stream_says_the_same_as_the_whole_answer() -> None:
    answers = read(STREAM)
    collected = CollectedAnswer(answers)
    (whole,) = DIALECT.read_answer(encode(MESSAGE)).choices
    assert collected.texts == {"content": whole.content, "reasoning": whole.reasoning, "refusal": ""}
    assert collected.calls == {
        0: ["toolu_1", "get_weather", '{"city":"Rome","days":3}'],
        1: ["toolu_2", "now", "{}"],
    }
    assert [detail.get("index") for detail in collected.extra["reasoning_details"]] == [0, 0, 0, 1]
    assert collected.extra["annotations"] == [ANNOTATION]
    assert collected.finish == (FinishReason.TOOL_CALLS, "tool_use")
    assert collected.usage == Usage(1_110, 50, 20, 1_000, 100)
    assert collected.id == MESSAGE["id"]


def test_pieces_of_any_size_give_the_same_answers() -> None:
    expected = read(STREAM)
    for size in (1, 2, 3, 7, 64):
        assert read(STREAM, size) == expected


@given(st.integers(0, len(STREAM)))
def test_a_cut_anywhere_gives_the_same_answers(cut: int) -> None:
    reader = MessagesStream()
    answers = [*reader.feed(STREAM[:cut]), *reader.feed(STREAM[cut:])]
    assert answers == read(STREAM)
    assert reader.done


@given(st.integers(0, STREAM.index(b"event: message_delta")))
def test_a_truncated_stream_never_finishes(cut: int) -> None:
    reader = MessagesStream()
    assert CollectedAnswer(list(reader.feed(STREAM[:cut]))).finish == (None, None)
    assert not reader.done


def test_what_follows_the_end_is_not_read() -> None:
    reader = MessagesStream()
    assert list(reader.feed(STREAM + b"data: {\n\n")) == read(STREAM)


def test_keep_alives_and_unknown_events_say_nothing() -> None:
    events = stream_of({"type": "ping"}, {"type": "content_block_flourish", "index": 0})
    assert read(events) == [Answer(), Answer()]


def test_an_error_in_a_stream() -> None:
    events = stream_of({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    (answer,) = read(events)
    assert answer.error is not None
    assert (answer.error.kind, answer.error.status) == (UpstreamErrorKind.OVERLOADED, 529)


def test_an_error_that_only_its_event_names() -> None:
    (answer,) = read(b'event: error\ndata: {"error":{"type":"api_error","message":"x"}}\n\n')
    assert answer.error is not None
    assert answer.error.kind is UpstreamErrorKind.SERVER


def test_arguments_that_come_with_the_beginning_of_a_call() -> None:
    events = stream_of(*block(0, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}))
    assert CollectedAnswer(read(events)).calls == {0: ["t", "f", '{"a":1}']}


@pytest.mark.parametrize(
    ("native", "expected"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("pause_turn", "stop"), ("max_tokens", "length"),
     ("model_context_window_exceeded", "length"), ("tool_use", "tool_calls"), ("refusal", "content_filter"), ("new", "stop")],
)  # fmt: skip
def test_finish_reasons(native: str, expected: str) -> None:
    (choice,) = DIALECT.read_answer(encode({**MESSAGE, "stop_reason": native})).choices
    assert (choice.finish_reason, choice.native_finish_reason) == (expected, native)
    assert CollectedAnswer(read(stream_of({"type": "message_delta", "delta": {"stop_reason": native}}))).finish == (
        expected,
        native,
    )


def test_a_refusal_with_its_explanation() -> None:
    ending = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "category": "bio", "explanation": "No."}}
    (choice,) = DIALECT.read_answer(encode({**MESSAGE, "content": [], **ending})).choices
    assert (choice.content, choice.refusal) == (None, "No.")
    assert CollectedAnswer(read(stream_of({"type": "message_delta", "delta": ending}))).texts["refusal"] == "No."


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 3, "output_tokens": 4}, Usage(3, 4)),
        ({"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": None}, Usage(3, 4)),
        ({"input_tokens": 3, "output_tokens": 4, "output_tokens_details": {"thinking_tokens": 5}}, Usage(3, 4, 4)),
        ({"input_tokens": -3, "output_tokens": 4}, None),
        ({"input_tokens": 3, "output_tokens": "4"}, None),
        ({"input_tokens": 3, "output_tokens": True}, None),
        ({"input_tokens": 3, "output_tokens": 4, "cache_creation_input_tokens": 10**12}, None),
        ({"output_tokens": 4}, None),
        (None, None),
    ],
)
def test_usage_is_consistent_or_missing(usage: Any, expected: Usage | None) -> None:
    assert DIALECT.read_answer(encode({**MESSAGE, "usage": usage})).usage == expected


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"", b"[]", b"{}", b'{"content":{}}', b'{"content":[3]}', b'{"content":[{"type":"text","text":3}]}',
     b'{"content":[{"type":"tool_use","id":"x"}]}', b'{"content":[],"stop_reason":3}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamAnswerError):
        DIALECT.read_answer(body)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message_start"},
        {"type": "content_block_start", "index": -1, "content_block": {"type": "text"}},
        {"type": "content_block_start", "index": 10**9, "content_block": {"type": "text"}},
        {"type": "content_block_start", "index": True, "content_block": {"type": "text"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": 3}},
        {"type": "message_delta"},
    ],
)
def test_a_malformed_event_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(UpstreamAnswerError):
        read(stream_of(event))


def native_error(type_: str, message: str = "x", **members: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": type_, "message": message, **members}, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("status", "type_", "message", "kind"),
    [
        (400, "invalid_request_error", "max_tokens: must be greater", UpstreamErrorKind.INVALID_REQUEST),
        (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum", UpstreamErrorKind.CONTEXT_LENGTH),
        (400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 2", UpstreamErrorKind.CONTEXT_LENGTH),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", UpstreamErrorKind.QUOTA_EXHAUSTED),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", UpstreamErrorKind.QUOTA_EXHAUSTED),
        (400, "invalid_request_error", "Output blocked by content filtering policy", UpstreamErrorKind.CONTENT_POLICY),
        (400, "invalid_request_error", "top_z: Extra inputs are not permitted", UpstreamErrorKind.UNSUPPORTED_PARAMETER),
        (400, "invalid_request_error", "This organization has been disabled.", UpstreamErrorKind.AUTHENTICATION),
        (401, "authentication_error", "invalid x-api-key", UpstreamErrorKind.AUTHENTICATION),
        (402, "billing_error", "x", UpstreamErrorKind.QUOTA_EXHAUSTED),
        (403, "permission_error", "x", UpstreamErrorKind.AUTHENTICATION),
        (404, "not_found_error", "model: claude-9", UpstreamErrorKind.MODEL_NOT_FOUND),
        (413, "request_too_large", "Request exceeds the maximum size", UpstreamErrorKind.CONTEXT_LENGTH),
        (429, "rate_limit_error", "x", UpstreamErrorKind.RATE_LIMITED),
        (500, "api_error", "x", UpstreamErrorKind.SERVER),
        (504, "timeout_error", "x", UpstreamErrorKind.TIMEOUT),
        (529, "overloaded_error", "Overloaded", UpstreamErrorKind.OVERLOADED),
    ],
)  # fmt: skip
def test_documented_errors(status: int, type_: str, message: str, kind: UpstreamErrorKind) -> None:
    document = native_error(type_, message)
    for error in (DIALECT.read_error(encode(document), status), DIALECT.read_answer(encode(document)).error):
        assert error is not None
        assert (error.kind, error.status, error.code, error.message) == (kind, status, type_, message)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("enforced_spend_limit_reached", "quota_exhausted"), ("contract_spend_limit_reached", "quota_exhausted"),
     ("ramp_limit_exceeded", "rate_limited")],
)  # fmt: skip
def test_a_spend_limit_is_no_rate_limit(code: str, kind: str) -> None:
    for members in ({"details": {"error_code": code}}, {"error_code": code}):
        error = DIALECT.read_error(encode(native_error("rate_limit_error", "x", **members)), 429)
        assert (error.kind, error.code) == (kind, code)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [(502, b"<html>", UpstreamErrorKind.SERVER), (429, b"\xff", UpstreamErrorKind.RATE_LIMITED),
     (403, b'{"message":"Forbidden"}', UpstreamErrorKind.AUTHENTICATION), (400, b'{"error":3}', UpstreamErrorKind.INVALID_REQUEST)],
)  # fmt: skip
def test_errors_of_what_stands_before_the_api(status: int, body: bytes, kind: UpstreamErrorKind) -> None:
    assert DIALECT.read_error(body, status).kind is kind


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
    request = chat_request_from_document({"messages": [{"role": "user", "content": "hi"}, assistant, *results]})
    body = json.loads(DIALECT.request(request, Target("m", frozenset(), stream=False)).body)
    thought, hidden, _, _, _, _, first, second = MESSAGE["content"]
    assert body["messages"][1]["content"] == [thought, hidden, {"type": "text", "text": "Let me look."}, first, second]
    assert [block["tool_use_id"] for block in body["messages"][2]["content"]] == ["toolu_1", "toolu_2"]
