"""Answers, streams and errors of Cohere's chat API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.answers import Answer, FinishReason, ToolCallPiece, UpstreamErrorKind, Usage
from dialects.chat import decode_chat_request
from dialects.cohere import Cohere
from dialects.errors import UpstreamAnswerError
from dialects.upstream import Target

USAGE = {
    "billed_units": {"input_tokens": 5.0, "output_tokens": 9},
    "tokens": {"input_tokens": 71, "output_tokens": 11},
    "cached_tokens": 3,
}
CITATION = {
    "start": 0,
    "end": 4,
    "text": "noon",
    "sources": [
        {"type": "document", "id": "d1", "document": {"url": "https://a.example", "title": "A"}},
        {"type": "tool", "id": "c1:0", "tool_output": {"time": "noon"}},
    ],
    "type": "TEXT_CONTENT",
}
ANNOTATION = {
    "type": "url_citation",
    "url_citation": {"url": "https://a.example", "title": "A", "content": "noon", "start_index": 0, "end_index": 4},
}


def encode(document: Any) -> bytes:
    return json.dumps(document).encode()


def read(message: dict[str, Any], finish: str = "COMPLETE", **more: Any) -> Answer:
    document = {"id": "a1", "finish_reason": finish, "message": {"role": "assistant", **message}, "usage": USAGE}
    return Cohere().read_answer(encode({**document, **more}))


def event(kind: str, delta: dict[str, Any] | None = None, **more: Any) -> bytes:
    document = {"type": kind, **({"delta": delta} if delta is not None else {}), **more}
    return f"event: {kind}\n".encode() + b"data: " + encode(document) + b"\n\n"


def stream(*events: bytes) -> list[Answer]:
    return list(Cohere().read_stream().feed(b"".join(events)))


START = event("message-start", {"message": {"role": "assistant", "content": []}}, id="a1")
END = event("message-end", {"finish_reason": "COMPLETE", "usage": USAGE})


def content(index: int, **pieces: str) -> bytes:
    return event("content-delta", {"message": {"content": pieces}}, index=index)


def test_a_whole_answer() -> None:
    answer = read(
        {
            "content": [
                {"type": "thinking", "thinking": "The clock says"},
                {"type": "text", "text": "noon"},
                {"type": "text", "text": "."},
            ],
            "citations": [CITATION],
        },
        logprobs=[{"text": "noon", "token_ids": [1, 2], "logprobs": [-0.25, -0.5]}],
    )
    (choice,) = answer.choices
    assert answer.id == "a1"
    assert (choice.content, choice.reasoning) == ("noon.", "The clock says")
    assert (choice.finish_reason, choice.native_finish_reason) == (FinishReason.STOP, "COMPLETE")
    assert choice.extra == {
        "reasoning_details": [
            {"type": "reasoning.text", "text": "The clock says", "id": "thinking", "format": "unknown", "index": 0}
        ],
        "annotations": [ANNOTATION],
    }
    assert choice.logprobs["content"][0]["logprob"] == -0.75
    # What is billed counts, and not more of it can be cached.
    assert answer.usage == Usage(5, 9, 0, 3)


def test_a_citation_without_an_address_stays_as_it_is() -> None:
    citation = {**CITATION, "sources": [{"type": "tool", "id": "c1:0", "tool_output": {"time": "noon"}}]}
    (choice,) = read({"content": [{"type": "text", "text": "noon"}], "citations": [citation]}).choices
    assert (choice.extra or {})["annotations"] == [{"type": "citation", "citation": citation}]


def test_a_turn_goes_back_as_it_came() -> None:
    message = {
        "tool_plan": "I ask both.",
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Wait."}],
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.0, "b": "é"}'}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }
    (choice,) = read(message, "TOOL_CALL").choices
    assert choice.finish_reason is FinishReason.TOOL_CALLS
    assert choice.reasoning == "Hm.\nI ask both."
    turn = {
        "role": "assistant",
        "content": choice.content,
        "reasoning": choice.reasoning,
        **(choice.extra or {}),
        "tool_calls": [
            {"id": piece.id, "type": piece.type, "function": {"name": piece.name, "arguments": piece.arguments}}
            for piece in choice.tool_calls
        ],
    }
    request = decode_chat_request(encode({"messages": [turn]}))
    written = json.loads(Cohere().request(request, Target("m", frozenset(), stream=False)).body)
    assert written["messages"] == [{"role": "assistant", **message}]


def test_a_stream_of_text() -> None:
    answers = stream(
        START,
        event("content-start", {"message": {"content": {"type": "thinking", "thinking": ""}}}, index=0),
        content(0, thinking="Hm"),
        event("content-end", index=0),
        event("content-start", {"message": {"content": {"type": "text", "text": ""}}}, index=1),
        content(1, text="noo"),
        event(
            "content-delta",
            {"message": {"content": {"text": "n"}}},
            index=1,
            logprobs={"text": "n", "token_ids": [1], "logprobs": [-1]},
        ),
        event("citation-start", {"message": {"citations": CITATION}}, index=0),
        event("citation-end", index=0),
        event("content-end", index=1),
        END,
        b"data: [DONE]\n\n",
    )
    choices = [choice for answer in answers for choice in answer.choices]
    assert {answer.id for answer in answers} == {"a1"}
    assert "".join(choice.content or "" for choice in choices) == "noon"
    assert "".join(choice.reasoning or "" for choice in choices) == "Hm"
    assert [choice.logprobs["content"][0]["logprob"] for choice in choices if choice.logprobs] == [-1]
    annotations = [note for choice in choices for note in (choice.extra or {}).get("annotations", [])]
    assert annotations == [ANNOTATION]
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == [FinishReason.STOP]
    assert answers[-1].usage == Usage(5, 9, 0, 3)


def test_a_stream_of_calls() -> None:
    def start(index: int, call_id: str, name: str) -> bytes:
        function = {"name": name, "arguments": ""}
        call = {"id": call_id, "type": "function", "function": function}
        return event("tool-call-start", {"message": {"tool_calls": call}}, index=index)

    def arguments(index: int, text: str) -> bytes:
        return event("tool-call-delta", {"message": {"tool_calls": {"function": {"arguments": text}}}}, index=index)

    answers = stream(
        START,
        event("tool-plan-delta", {"message": {"tool_plan": "I ask"}}),
        event("tool-plan-delta", {"message": {"tool_plan": " both."}}),
        start(0, "c1", "f"),
        arguments(0, '{"a"'),
        arguments(0, ": 1}"),
        event("tool-call-end", index=0),
        start(1, "c2", "g"),
        arguments(1, "{}"),
        event("tool-call-end", index=1),
        event("message-end", {"finish_reason": "TOOL_CALL", "usage": USAGE}),
    )
    choices = [choice for answer in answers for choice in answer.choices]
    assert "".join(choice.reasoning or "" for choice in choices) == "I ask both."
    assert [piece for choice in choices for piece in choice.tool_calls] == [
        ToolCallPiece(0, "c1", "function", "f", ""),
        ToolCallPiece(0, arguments='{"a"'),
        ToolCallPiece(0, arguments=": 1}"),
        ToolCallPiece(1, "c2", "function", "g", ""),
        ToolCallPiece(1, arguments="{}"),
    ]
    assert choices[-1].finish_reason is FinishReason.TOOL_CALLS


def test_nothing_counts_after_the_end() -> None:
    reader = Cohere().read_stream()
    answers = list(reader.feed(START + content(0, text="a") + END + content(0, text="b") + END))
    assert reader.done
    assert [choice.content for answer in answers for choice in answer.choices if choice.content] == ["a"]
    assert list(reader.feed(content(0, text="c"))) == []


def test_the_type_may_be_in_the_framing_alone() -> None:
    data = encode({"delta": {"message": {"content": {"text": "a"}}}, "index": 0})
    (answer,) = stream(b"event: content-delta\ndata: " + data + b"\n\n")
    assert answer.choices[0].content == "a"


@pytest.mark.parametrize(
    ("native", "expected"),
    [("STOP_SEQUENCE", "stop"), ("MAX_TOKENS", "length"), ("ERROR_TOXIC", "content_filter"), ("NEW_WORD", "stop")],
)
def test_finish_reasons(native: str, expected: str) -> None:
    (choice,) = read({"content": [{"type": "text", "text": "x"}]}, native).choices
    assert (choice.finish_reason, choice.native_finish_reason) == (expected, native)


@pytest.mark.parametrize(
    ("native", "kind"), [("ERROR", UpstreamErrorKind.SERVER), ("TIMEOUT", UpstreamErrorKind.TIMEOUT)]
)
def test_an_answer_that_ends_with_an_error_is_one(native: str, kind: UpstreamErrorKind) -> None:
    end = event("message-end", {"finish_reason": native, "error": "it broke", "usage": USAGE})
    for answer in (read({"content": []}, native), stream(START, content(0, text="a"), end)[-1]):
        assert answer.error is not None
        assert (answer.error.kind, answer.error.code) == (kind, native)
        assert answer.usage == Usage(5, 9, 0, 3)
        assert answer.choices == ()


def test_an_error_inside_a_stream_is_found() -> None:
    data = encode({"message": "too many tokens"})
    for raw in (b"event: error\ndata: " + data, b"data: " + data, event("error", message="too many tokens")):
        answer = stream(raw + b"\n\n")[0]
        assert answer.error is not None
        assert answer.error.kind is UpstreamErrorKind.CONTEXT_LENGTH


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"tokens": {"input_tokens": 7, "output_tokens": 2}}, Usage(7, 2)),
        ({**USAGE, "cached_tokens": 64}, Usage(5, 9, 0, 5)),
        ({"billed_units": {"input_tokens": -1}}, None),
        ({"billed_units": {"input_tokens": 1, "output_tokens": 0.5}}, None),
        ({"billed_units": {}}, None),
        ({}, None),
        (3, None),
    ],
)
def test_usage_is_consistent_or_missing(usage: Any, expected: Usage | None) -> None:
    assert read({"content": [{"type": "text", "text": "x"}]}, usage=usage).usage == expected


@pytest.mark.parametrize(
    "document", [[], {}, {"id": "x"}, {"message": {"tool_calls": [{}] * 1_025}, "finish_reason": "TOOL_CALL"}]
)
def test_what_is_no_answer_is_refused(document: Any) -> None:
    with pytest.raises(UpstreamAnswerError):
        Cohere().read_answer(encode(document))


@pytest.mark.parametrize("index", [-1, 1_024, "0", None])
def test_a_call_out_of_range_is_refused(index: Any) -> None:
    with pytest.raises(UpstreamAnswerError):
        stream(event("tool-call-delta", {"message": {"tool_calls": {}}}, index=index))


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "too many tokens: size limit exceeded by 11326 tokens.", "context_length"),
        (400, "invalid request: messages must not be empty", "invalid_request"),
        (401, "invalid api token", "authentication"),
        (403, "forbidden", "authentication"),
        (402, "Please add or update your payment method to continue", "quota_exhausted"),
        (404, "model 'x' not found, make sure the correct model ID was used", "model_not_found"),
        (404, "model 'command-r' was removed, this version is not supported", "model_not_found"),
        (422, "tools is not supported with this model", "unsupported_parameter"),
        (429, "You are using a Trial key, which is limited to 20 API calls / minute.", "rate_limited"),
        (429, "You are using a Trial key, which is limited to 1000 API calls / month.", "quota_exhausted"),
        (498, "blocked", "authentication"),
        (499, "client closed request", "server"),
        (500, "internal server error", "server"),
        (503, "service unavailable", "overloaded"),
        (504, "gateway timeout", "timeout"),
    ],
)
def test_errors_are_classified(status: int, message: str, kind: str) -> None:
    error = Cohere().read_error(encode({"id": "e1", "message": message}), status)
    assert (error.kind, error.status, error.message) == (kind, status, message)
    assert Cohere().read_error(b"<html>", status).status == status
