"""Reading what OpenAI-compatible providers answer."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.answers import FinishReason, ToolCallPiece, UpstreamErrorKind, Usage
from dialects.errors import UpstreamAnswerError
from dialects.openai_compatible import normalise_finish_reason, read_answer, read_error_body, read_event, read_usage


def encode(document: Any) -> bytes:
    return json.dumps(document).encode()


def event(delta: Any, **choice: Any) -> bytes:
    return encode({"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": None, **choice}]})


def test_a_whole_answer() -> None:
    answer = read_answer(
        encode(
            {
                "id": "cmpl-1",
                "object": "chat.completion",
                "system_fingerprint": "fp",
                "service_tier": "default",
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "tool_calls",
                        "logprobs": {"content": []},
                        "message": {
                            "role": "assistant",
                            "content": "hi",
                            "reasoning": "hm",
                            "refusal": None,
                            "annotations": [{"type": "url_citation"}],
                            "audio": None,
                            "tool_calls": [
                                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                                {"id": "c2", "type": "function", "function": {"name": "g", "arguments": {"a": 1}}},
                            ],
                        },
                    }
                ],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
            }
        )
    )
    (choice,) = answer.choices
    assert (answer.id, answer.system_fingerprint, answer.service_tier) == ("cmpl-1", "fp", "default")
    assert (choice.content, choice.reasoning, choice.refusal) == ("hi", "hm", None)
    assert choice.tool_calls == (
        ToolCallPiece(0, "c1", "function", "f", "{}"),
        ToolCallPiece(1, "c2", "function", "g", '{"a":1}'),
    )
    assert choice.extra == {"annotations": [{"type": "url_citation"}]}
    assert choice.logprobs == {"content": []}
    assert (choice.finish_reason, choice.native_finish_reason) == (FinishReason.TOOL_CALLS, "tool_calls")
    assert answer.usage == Usage(3, 2)
    assert answer.error is None


def test_events_of_a_stream() -> None:
    first = read_event(event({"role": "assistant", "content": ""}))
    assert not first.choices[0].has_output
    (text,) = read_event(event({"content": "a"})).choices
    assert (text.content, text.has_output, text.finish_reason) == ("a", True, None)
    (thought,) = read_event(event({"reasoning_content": "b"})).choices
    assert (thought.content, thought.reasoning) == (None, "b")
    (extra,) = read_event(event({"content": None, "reasoning_details": [{"data": "x"}], "new": 1})).choices
    assert extra.extra == {"reasoning_details": [{"data": "x"}], "new": 1}
    (last,) = read_event(event({}, finish_reason="max_tokens")).choices
    assert (last.finish_reason, last.native_finish_reason) == (FinishReason.LENGTH, "max_tokens")
    usage = read_event(encode({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}))
    assert (usage.choices, usage.usage) == ((), Usage(1, 2))


def test_content_as_a_list_of_text_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert read_event(event({"content": parts})).choices[0].content == "ab"


@pytest.mark.parametrize(
    ("native", "expected"),
    [("stop", "stop"), ("end_turn", "stop"), ("SAFETY", "content_filter"), ("function_call", "tool_calls"),
     ("length", "length"), ("error", "error"), ("something new", "stop")],
)  # fmt: skip
def test_finish_reasons_are_normalised(native: str, expected: str) -> None:
    assert normalise_finish_reason(native) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"<html>502 Bad Gateway</html>",
        b"",
        b"[]",
        b"{}",
        b'{"choices":null}',
        b'{"choices":[]}',
        b'{"choices":[{}]}',
        b'{"choices":[3]}',
        b'{"choices":[{"message":{"content":3}}]}',
        b'{"choices":[{"index":-1,"message":{"content":"x"}}]}',
        b'{"choices":[{"index":true,"message":{"content":"x"}}]}',
        b'{"choices":[{"index":9999,"message":{"content":"x"}}]}',
        b'{"choices":[{"message":{"tool_calls":[{"index":100000}]}}]}',
        b'{"choices":[{"message":{"content":"\xff"}}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamAnswerError):
        read_answer(body)


@pytest.mark.parametrize("data", [b"{", b"3", b"[]", b'{"choices":{}}', b'{"choices":[{"delta":3}]}'])
def test_a_malformed_event_is_refused(data: bytes) -> None:
    with pytest.raises(UpstreamAnswerError):
        read_event(data)


def test_an_event_with_nothing_known_is_empty() -> None:
    assert read_event(b'{"type":"ping"}').choices == ()


@pytest.mark.parametrize(
    ("document", "kind", "status"),
    [
        ({"error": {"message": "Rate limit reached", "type": "tokens", "code": "rate_limit_exceeded"}}, "rate_limited", 0),
        ({"error": {"message": "busy", "code": 529}}, "overloaded", 529),
        ({"error": {"message": "busy", "code": "503"}}, "overloaded", 503),
        ({"error": {"type": "insufficient_quota", "message": "x"}}, "quota_exhausted", 0),
        ({"error": "something broke"}, "server", 0),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "overloaded", 0),
        ({"object": "error", "message": "This model's maximum context length is 2048", "code": 400}, "context_length", 400),
    ],
)  # fmt: skip
def test_errors_inside_a_success_are_found(document: Any, kind: str, status: int) -> None:
    for answer in (read_answer(encode(document)), read_event(encode(document))):
        assert answer.error is not None
        assert (answer.error.kind, answer.error.status) == (kind, status)


def test_an_error_inside_a_choice_is_found() -> None:
    answer = read_event(event({"content": ""}, finish_reason="error", error={"code": 502, "message": "x"}))
    assert answer.error is not None
    assert answer.error.status == 502


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "maximum context length is 8192 tokens"}}, UpstreamErrorKind.CONTEXT_LENGTH),
        (400, {"error": {"code": "context_length_exceeded"}}, UpstreamErrorKind.CONTEXT_LENGTH),
        (400, {"error": {"message": "Unsupported parameter: 'top_k'"}}, UpstreamErrorKind.UNSUPPORTED_PARAMETER),
        (400, {"error": {"code": "content_policy_violation"}}, UpstreamErrorKind.CONTENT_POLICY),
        (400, {"error": {"message": "temperature exceeds capacity"}}, UpstreamErrorKind.INVALID_REQUEST),
        (400, {"detail": "bad"}, UpstreamErrorKind.INVALID_REQUEST),
        (422, {}, UpstreamErrorKind.INVALID_REQUEST),
        (401, {"error": {"message": "bad key"}}, UpstreamErrorKind.AUTHENTICATION),
        (403, {}, UpstreamErrorKind.AUTHENTICATION),
        (402, {}, UpstreamErrorKind.QUOTA_EXHAUSTED),
        (404, {}, UpstreamErrorKind.MODEL_NOT_FOUND),
        (408, {}, UpstreamErrorKind.TIMEOUT),
        (429, {}, UpstreamErrorKind.RATE_LIMITED),
        (429, {"error": {"code": "insufficient_quota"}}, UpstreamErrorKind.QUOTA_EXHAUSTED),
        (500, {}, UpstreamErrorKind.SERVER),
        (503, {}, UpstreamErrorKind.OVERLOADED),
        (529, {}, UpstreamErrorKind.OVERLOADED),
    ],
)
def test_error_bodies_are_classified(status: int, body: Any, kind: UpstreamErrorKind) -> None:
    error = read_error_body(encode(body), status)
    assert (error.kind, error.status) == (kind, status)


def test_an_error_body_that_is_not_json_tells_its_status() -> None:
    assert read_error_body(b"<html>", 502).kind is UpstreamErrorKind.SERVER
    assert read_error_body(b"\xff", 429).kind is UpstreamErrorKind.RATE_LIMITED


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5}, Usage(10, 5)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(10, 5, 3, 4, 1),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 8}, Usage(10, 5, 0, 8)),
        ({"prompt_tokens": 10.0, "completion_tokens": 5}, Usage(10, 5)),
        # Reasoning beside the completion rather than in it.
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 22,
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            Usage(10, 12, 7),
        ),
        ({"prompt_tokens": -1, "completion_tokens": 5}, None),
        ({"prompt_tokens": 10, "completion_tokens": 10**12}, None),
        ({"prompt_tokens": "10", "completion_tokens": 5}, None),
        ({"prompt_tokens": True, "completion_tokens": 5}, None),
        ({"prompt_tokens": 10}, None),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 11}, None),
        ({"prompt_tokens": 10, "completion_tokens": 5, "reasoning_tokens": 6}, None),
        (None, None),
        ([], None),
    ],
)
def test_usage_is_consistent_or_missing(usage: Any, expected: Usage | None) -> None:
    assert read_usage(usage) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "delta", "message", "content", "error", "usage", "index", "tool_calls", "function", "code",
             "prompt_tokens", "completion_tokens", "finish_reason", "x"]
        ),
        children,
        max_size=4,
    ),
    max_leaves=15,
)  # fmt: skip


@given(JSON)
def test_any_json_is_an_answer_or_a_named_error(document: Any) -> None:
    for reader in (read_answer, read_event):
        with contextlib.suppress(UpstreamAnswerError):
            reader(encode(document))
    read_error_body(encode(document), 500)
