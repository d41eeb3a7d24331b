"""What every dialect of a provider's own must hold: streams however cut, and whatever bytes a provider sends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.answers import Answer
from dialects.azure_openai import AzureOpenAI
from dialects.chat import InvalidRequestError, chat_request_from_document
from dialects.cohere import Cohere
from dialects.errors import SseError, UnsupportedRequestError, UpstreamAnswerError
from dialects.gemini import Gemini
from dialects.ollama import Ollama
from dialects.upstream import Target, UpstreamDialect


def sse(*documents: dict[str, Any], event: bool = False, end: str = "\n") -> bytes:
    lines = []
    for document in documents:
        head = f"event: {document['type']}{end}" if event else ""
        lines.append(f"{head}data: {json.dumps(document, ensure_ascii=False)}{end}{end}")
    return "".join(lines).encode()


def gemini(parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": parts}, "index": 0, **more}], "responseId": "r"}


def cohere(kind: str, message: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": kind, "index": 0, "delta": {"message": message or {}, **more}, "id": "a"}


GEMINI = sse(
    gemini([{"text": "Hmé", "thought": True}]),
    gemini([{"text": "so "}, {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "s"}]),
    {
        **gemini([{"text": "", "thoughtSignature": "t"}], finishReason="STOP"),
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 1},
    },
    end="\r\n",
)
COHERE = sse(
    cohere("message-start"),
    cohere("tool-plan-delta", {"tool_plan": "Ich möchte"}),
    cohere("content-delta", {"content": {"text": "soé"}}),
    cohere("tool-call-start", {"tool_calls": {"id": "c", "function": {"name": "f", "arguments": ""}}}),
    cohere("tool-call-delta", {"tool_calls": {"function": {"arguments": "{}"}}}),
    cohere("citation-start", {"citations": {"start": 0, "end": 2, "text": "so", "sources": [{"document": {}}]}}),
    cohere(
        "message-end",
        finish_reason="TOOL_CALL",
        usage={"billed_units": {"input_tokens": 3, "output_tokens": 4}},
    ),
    event=True,
)
OLLAMA = b"".join(
    json.dumps(line, ensure_ascii=False).encode() + b"\n"
    for line in (
        {"message": {"thinking": "Hmé"}, "created_at": "t", "done": False},
        {"message": {"content": "so"}, "created_at": "t", "done": False},
        {"message": {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}, "created_at": "t"},
        {"message": {}, "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2},
    )
)
AZURE = (
    sse(
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
        {"choices": [{"index": 0, "delta": {"content": "soé"}, "content_filter_results": {}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    )
    + b"data: [DONE]\n\n"
)
CASES: list[tuple[UpstreamDialect, bytes]] = [
    (Gemini(), GEMINI),
    (Cohere(), COHERE),
    (Ollama(), OLLAMA),
    (AzureOpenAI(), AZURE),
]
NAMES = ["gemini", "cohere", "ollama", "azure_openai"]
EVERY = pytest.mark.parametrize(("dialect", "stream"), CASES, ids=NAMES)
DIALECTS = st.sampled_from(CASES)


def read(dialect: UpstreamDialect, pieces: list[bytes]) -> list[Answer]:
    reader = dialect.read_stream()
    answers: list[Answer] = []
    for piece in pieces:
        answers.extend(reader.feed(piece))
        if reader.done:
            break
    return answers


@EVERY
def test_a_stream_is_the_same_wherever_it_is_cut(dialect: UpstreamDialect, stream: bytes) -> None:
    whole = read(dialect, [stream])
    assert read(dialect, [bytes([byte]) for byte in stream]) == whole
    for cut in range(len(stream)):
        assert read(dialect, [stream[:cut], stream[cut:]]) == whole
    assert [choice.finish_reason for answer in whole for choice in answer.choices if choice.finish_reason]
    assert [answer.usage for answer in whole if answer.usage]
    assert all(answer.error is None for answer in whole)


@EVERY
def test_a_stream_that_is_cut_off_has_no_finish_reason(dialect: UpstreamDialect, stream: bytes) -> None:
    events = (
        [b"data: " + part for part in stream.split(b"data: ")[1:]] if b"data: " in stream else stream.splitlines(True)
    )
    last = next(
        number
        for number, event in enumerate(events)
        if b'"STOP"' in event or b"TOOL_CALL" in event or b'"stop"' in event
    )
    reader = dialect.read_stream()
    answers = [answer for event in events[:last] for answer in reader.feed(event)]
    assert len(answers) == last
    assert not reader.done
    assert not [choice for answer in answers for choice in answer.choices if choice.finish_reason]


@contextlib.contextmanager
def documented_errors() -> Iterator[None]:
    with contextlib.suppress(SseError, UpstreamAnswerError):
        yield


def poke(dialect: UpstreamDialect, data: bytes) -> None:
    """Show bytes to every reader: only documented errors are raised, and nothing grows beyond what was read."""
    with documented_errors():
        answers = read(dialect, [data])
        assert len(answers) <= data.count(b"\n") + data.count(b"\r")
    with documented_errors():
        dialect.read_answer(data)
    error = dialect.read_error(data, 500)
    assert len(error.message) <= 1_000
    assert len(error.code) <= 64


@given(DIALECTS, st.binary(max_size=300))
def test_any_bytes_are_answers_or_a_documented_error(case: tuple[UpstreamDialect, bytes], data: bytes) -> None:
    poke(case[0], data)
    poke(case[0], b"data: " + data.replace(b"\n", b" ") + b"\n\n")


MEMBERS = st.sampled_from(
    [
        "candidates",
        "content",
        "parts",
        "text",
        "thought",
        "thoughtSignature",
        "functionCall",
        "name",
        "args",
        "id",
        "inlineData",
        "mimeType",
        "data",
        "finishReason",
        "index",
        "usageMetadata",
        "promptTokenCount",
        "candidatesTokenCount",
        "promptFeedback",
        "blockReason",
        "error",
        "code",
        "status",
        "message",
        "details",
        "violations",
        "quotaId",
        "reason",
        "responseId",
        "groundingMetadata",
        "groundingChunks",
        "web",
        "uri",
        "logprobsResult",
        "chosenCandidates",
        "topCandidates",
        "token",
        "logProbability",
        "type",
        "delta",
        "tool_plan",
        "tool_calls",
        "function",
        "arguments",
        "citations",
        "sources",
        "document",
        "url",
        "usage",
        "billed_units",
        "tokens",
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "finish_reason",
        "logprobs",
        "thinking",
        "done",
        "done_reason",
        "prompt_eval_count",
        "eval_count",
        "created_at",
        "choices",
        "innererror",
        "prompt_tokens",
        "completion_tokens",
    ]
)
WORDS = st.sampled_from(
    [
        "STOP",
        "SAFETY",
        "COMPLETE",
        "ERROR",
        "message-start",
        "message-end",
        "content-delta",
        "tool-call-start",
        "tool-call-delta",
        "citation-start",
        "error",
        "stop",
        "image/png",
        "audio/wav",
        "RESOURCE_EXHAUSTED",
        "text",
        "thinking",
        "f",
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | WORDS,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(MEMBERS, children, max_size=4),
    max_leaves=20,
)


@given(DIALECTS, st.lists(JSON, min_size=1, max_size=4))
def test_any_json_is_answers_or_a_documented_error(case: tuple[UpstreamDialect, bytes], documents: list[Any]) -> None:
    for document in documents:
        poke(case[0], json.dumps(document).encode())
    lines = [json.dumps(document).encode() for document in documents]
    poke(case[0], b"".join(b"data: " + line + b"\n\n" for line in lines) + b"\n".join(lines) + b"\n")


@given(DIALECTS, st.data())
def test_a_damaged_stream_is_answers_or_a_documented_error(
    case: tuple[UpstreamDialect, bytes], data: st.DataObject
) -> None:
    dialect, stream = case
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(stream)))
        end = data.draw(st.integers(start, min(len(stream), start + 40)))
        stream = stream[:start] + data.draw(st.binary(max_size=6) | st.just(stream[start:end] * 2)) + stream[end:]
    poke(dialect, stream)


def replaced(document: Any, path: int, value: Any) -> Any:
    """Return the document with one of its values, in the order of a walk, replaced."""
    seen = -1

    def walk(node: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == path:
            return value
        if isinstance(node, dict):
            return {name: walk(child) for name, child in node.items()}
        return [walk(child) for child in node] if isinstance(node, list) else node

    return walk(document)


@given(DIALECTS, st.integers(0, 12), JSON)
def test_a_value_of_another_type_is_an_answer_or_a_documented_error(
    case: tuple[UpstreamDialect, bytes], path: int, value: Any
) -> None:
    dialect, stream = case
    lines = []
    for line in stream.splitlines(keepends=True):
        head, brace, rest = line.partition(b"{")
        if brace and rest.rstrip().endswith(b"}"):
            line = head + json.dumps(replaced(json.loads(brace + rest), path, value)).encode() + b"\n"
        lines.append(line)
    poke(dialect, b"".join(lines))


@pytest.mark.parametrize("dialect", [case[0] for case in CASES], ids=NAMES)
def test_an_event_without_end_is_refused(dialect: UpstreamDialect) -> None:
    reader = dialect.read_stream()
    piece = b"data: " + b"x" * (1024 * 1024)
    fed = 0
    with contextlib.suppress(SseError, UpstreamAnswerError):
        while fed < 64:
            list(reader.feed(piece))
            fed += 1
    assert fed < 64


@pytest.mark.parametrize("dialect", [case[0] for case in CASES], ids=NAMES)
def test_deep_nesting_is_refused(dialect: UpstreamDialect) -> None:
    deep = b"[" * 50_000
    poke(dialect, deep)
    poke(dialect, b'data: {"a":' + deep + b"\n\n")


PARTS = st.lists(
    st.sampled_from(
        [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "image_url", "image_url": {"url": "ftp://x"}},
            {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}},
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        ]
    ),
    max_size=3,
)
CALLS = st.lists(
    st.builds(
        lambda call_id, arguments: {"id": call_id, "function": {"name": "f", "arguments": arguments}},
        st.sampled_from(["a", "b"]),
        st.sampled_from(["{}", "", "x", '{"a":']),
    ),
    max_size=2,
)
MESSAGE = st.one_of(
    st.builds(lambda content: {"role": "system", "content": content}, st.text(max_size=3) | PARTS),
    st.builds(lambda content: {"role": "user", "content": content}, st.text(max_size=3) | PARTS),
    st.builds(
        lambda content, calls, details: {
            "role": "assistant", "content": content, "tool_calls": calls, "reasoning_details": details,
        },
        st.none() | st.text(max_size=3) | PARTS,
        st.none() | CALLS,
        st.lists(st.dictionaries(st.sampled_from(["type", "format", "data", "text", "id", "index"]), JSON | st.sampled_from(
            ["google-gemini-v1", "reasoning.encrypted", "reasoning.text", "a"]
        )), max_size=3),
    ),
    st.builds(lambda content: {"role": "tool", "tool_call_id": "a", "content": content}, st.text(max_size=3) | PARTS),
)  # fmt: skip


@given(DIALECTS, st.lists(MESSAGE, min_size=1, max_size=5), st.booleans())
def test_any_request_is_written_or_refused(
    case: tuple[UpstreamDialect, bytes], messages: list[Any], stream: bool
) -> None:
    target = Target("m", frozenset({"tools", "reasoning"}), stream)
    with contextlib.suppress(InvalidRequestError, UnsupportedRequestError):
        request = chat_request_from_document({"messages": messages})
        written = case[0].request(request, target)
        assert written.path.startswith("/")
        assert isinstance(json.loads(written.body), dict)
