"""Answers, streams and errors of Ollama's chat API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.answers import Answer, FinishReason, UpstreamErrorKind, Usage
from dialects.chat import decode_chat_request
from dialects.errors import UpstreamAnswerError
from dialects.ollama import Ollama
from dialects.upstream import Target


def encode(document: Any) -> bytes:
    return json.dumps(document).encode()


def line(message: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    said = {"message": {"role": "assistant", "content": "", **message}} if message is not None else {}
    return {"model": "m", "created_at": "2026-03-01T10:00:00.123456789Z", **said, "done": False, **more}


def end(reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    counts = {"total_duration": 5, "prompt_eval_count": 26, "eval_count": 7, "eval_duration": 3}
    said = {"done_reason": reason} if reason else {}
    return line({}, done=True, **said, **{**counts, **more})


def stream(*lines: Any) -> list[Answer]:
    return list(Ollama().read_stream().feed(b"".join(encode(each) + b"\n" for each in lines)))


def test_a_whole_answer() -> None:
    document = {**end(), "message": {"role": "assistant", "content": "noon", "thinking": "Hm."}}
    document["logprobs"] = [{"token": "noon", "logprob": -0.5, "top_logprobs": []}]
    answer = Ollama().read_answer(encode(document))
    (choice,) = answer.choices
    assert (choice.content, choice.reasoning, choice.extra) == ("noon", "Hm.", None)
    assert (choice.finish_reason, choice.native_finish_reason) == (FinishReason.STOP, "stop")
    assert choice.logprobs == {"content": document["logprobs"], "refusal": None}
    assert answer.usage == Usage(26, 7)


def test_a_stream() -> None:
    reader = Ollama().read_stream()
    raw = b"".join(
        encode(each) + b"\n"
        for each in (line({"thinking": "Hm"}), line({"content": "no"}), line({"content": "on"}), end("length"))
    )
    answers = list(reader.feed(raw + encode(line({"content": "more"})) + b"\n"))
    choices = [choice for answer in answers for choice in answer.choices]
    assert reader.done
    assert "".join(choice.content or "" for choice in choices) == "noon"
    assert "".join(choice.reasoning or "" for choice in choices) == "Hm"
    assert [choice.finish_reason for choice in choices] == [None, None, None, FinishReason.LENGTH]
    assert [answer.usage for answer in answers] == [None, None, None, Usage(26, 7)]


def test_a_stream_that_is_cut_off_is_never_done() -> None:
    reader = Ollama().read_stream()
    answers = list(reader.feed(encode(line({"content": "no"})) + b"\n" + encode(end())))
    assert not reader.done
    assert [answer.choices[0].finish_reason for answer in answers] == [None]


def test_calls() -> None:
    calls = [
        {"function": {"name": "f", "arguments": {"a": 1}}},
        {"function": {"name": "f", "arguments": {"a": 1}}},
        {"id": "theirs", "function": {"index": 2, "name": "g", "arguments": {}}},
    ]
    first, _, last = stream(line({"tool_calls": calls[:2]}), line({"tool_calls": calls[2:]}), end())
    pieces = first.choices[0].tool_calls
    assert [(piece.index, piece.name, piece.arguments) for piece in pieces] == [
        (0, "f", '{"a":1}'),
        (1, "f", '{"a":1}'),
    ]
    assert last.choices[0].finish_reason is FinishReason.TOOL_CALLS
    whole = Ollama().read_answer(encode({**end(), **line({"tool_calls": calls}, done=True)}))
    assert whole.choices[0].tool_calls[:2] == pieces
    assert whole.choices[0].tool_calls[2].id == "theirs"
    later = stream({**line({"tool_calls": calls[:2]}), "created_at": "2026-03-01T10:00:01Z"})[0].choices[0].tool_calls
    assert len({piece.id for piece in (*pieces, *later)}) == 4


def test_a_turn_goes_back_as_it_came() -> None:
    message = {
        "role": "assistant",
        "content": "Wait.",
        "thinking": "Hm.",
        "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"a": [1, 2.5, None], "ü": "é"}}}],
    }
    (choice,) = Ollama().read_answer(encode({**end(), "message": message})).choices
    turn = {
        "role": "assistant",
        "content": choice.content,
        "reasoning": choice.reasoning,
        "tool_calls": [
            {"id": piece.id, "type": piece.type, "function": {"name": piece.name, "arguments": piece.arguments}}
            for piece in choice.tool_calls
        ],
    }
    request = decode_chat_request(encode({"messages": [turn]}))
    written = json.loads(Ollama().request(request, Target("m", frozenset(), stream=False)).body)
    assert written["messages"] == [message]


@pytest.mark.parametrize(
    ("reason", "expected", "native"),
    [(None, "stop", "stop"), ("length", "length", "length"), ("load", "stop", "load")],
)
def test_finish_reasons(reason: str | None, expected: str, native: str) -> None:
    (choice,) = Ollama().read_answer(encode(end(reason))).choices
    assert (choice.finish_reason, choice.native_finish_reason) == (expected, native)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"eval_count": None}, Usage(26, 0)),
        ({"prompt_eval_count": 0}, Usage(0, 7)),
        ({"prompt_eval_count": -1}, None),
        ({"eval_count": "7"}, None),
    ],
)
def test_usage_is_consistent_or_missing(counts: dict[str, Any], expected: Usage | None) -> None:
    assert stream(end(**counts))[0].usage == expected


def test_a_server_that_counts_no_prompt_has_no_usage() -> None:
    document = end()
    del document["prompt_eval_count"]
    assert Ollama().read_answer(encode(document)).usage is None


@pytest.mark.parametrize(
    "document",
    [[], {}, {"message": 3}, {"done": True}, line({"tool_calls": [{"function": {}}]}),
     line({"tool_calls": [{"function": {"name": "f"}}] * 1_025})],
)  # fmt: skip
def test_what_is_no_answer_is_refused(document: Any) -> None:
    with pytest.raises(UpstreamAnswerError):
        Ollama().read_answer(encode(document))


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, '"gemma:2b" does not support thinking', "unsupported_parameter"),
        (400, "registry.ollama.ai/library/gemma:2b does not support tools", "unsupported_parameter"),
        (400, "the input length exceeds the context length", "context_length"),
        (400, "invalid image input", "invalid_request"),
        (401, "unauthorized", "authentication"),
        (404, "model 'x' not found", "model_not_found"),
        (429, "too many requests", "rate_limited"),
        (500, "llama runner process has terminated: exit status 2", "server"),
        (503, "server busy, please try again. maximum pending requests exceeded", "overloaded"),
    ],
)
def test_errors_are_classified(status: int, message: str, kind: str) -> None:
    error = Ollama().read_error(encode({"error": message}), status)
    assert (error.kind, error.status, error.message) == (kind, status, message)


def test_an_error_inside_a_stream_is_found() -> None:
    answers = stream(line({"content": "no"}), {"error": "an error was encountered while running the model"})
    assert answers[-1].error is not None
    assert answers[-1].error.kind is UpstreamErrorKind.SERVER
