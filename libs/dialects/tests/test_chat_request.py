"""Reading and writing chat completions requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.chat import (
    MAX_DEPTH,
    ChatRequest,
    ImagePart,
    InvalidRequestError,
    JsonSchemaFormat,
    NamedToolChoice,
    ProviderPreferences,
    SortPreference,
    TextPart,
    UserMessage,
    decode_chat_request,
    encode_chat_request,
)

USER = {"role": "user", "content": "Hello"}

FULL: dict[str, Any] = {
    "model": "meta-llama/llama-3.3-70b-instruct",
    "models": ["openai/gpt-5", "mistralai/mistral-large"],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Very brief."}]},
        {
            "role": "user",
            "name": "Ada",
            "content": [
                {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "high"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
                {"type": "input_video", "video_url": {"url": "https://example.org/a.mp4"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}],
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_completion_tokens": 100,
    "temperature": 0.7,
    "top_p": 1,
    "top_k": 40,
    "min_p": 0.05,
    "top_a": 0,
    "frequency_penalty": -2,
    "presence_penalty": 2,
    "repetition_penalty": 1.1,
    "seed": -1,
    "stop": ["a", "b", "c", "d"],
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "top_logprobs": 20,
    "tools": [
        {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}},
        {"type": "openrouter:web_search"},
    ],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    "reasoning": {"effort": "high", "exclude": True},
    "provider": {
        "order": ["local-a"],
        "only": ["local-a", "local-b"],
        "ignore": [],
        "allow_fallbacks": False,
        "require_parameters": True,
        "data_collection": "deny",
        "quantizations": ["fp8", "unknown"],
        "sort": {"by": "price", "partition": "none"},
        "max_price": {"prompt": 1, "completion": "2.50"},
        "preferred_max_latency": {"p90": 2},
    },
    "session_id": "s" * 256,
    "user": "u",
    "metadata": {"a": "b"},
    "usage": {"include": True},
    "transforms": ["middle-out"],
    "route": "fallback",
}


def decode(document: Any) -> ChatRequest:
    return decode_chat_request(json.dumps(document).encode())


def test_every_documented_member_is_typed() -> None:
    request = decode(FULL)
    body = request.body
    assert body.output_limit == 100
    assert isinstance(body.messages[2], UserMessage)
    parts = body.messages[2].content
    assert isinstance(parts[0], TextPart)
    assert isinstance(parts[1], ImagePart)
    assert isinstance(body.tool_choice, NamedToolChoice)
    assert isinstance(body.response_format, JsonSchemaFormat)
    assert isinstance(body.provider, ProviderPreferences)
    assert body.provider.sort == SortPreference(by="price", partition="none")
    assert json.loads(encode_chat_request(request)) == FULL


def test_unknown_members_survive_at_every_level() -> None:
    document = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x", "new": 1}], "later": [None]}],
        "brand_new": {"deep": [1, {"er": None}]},
        "provider": {"zdr": True, "future": "yes"},
    }
    request = decode(document)
    assert json.loads(encode_chat_request(request)) == document
    assert decode_chat_request(encode_chat_request(request)) == request


def test_null_members_count_as_absent() -> None:
    request = decode({"messages": [USER], "temperature": None, "tools": None, "unknown": None})
    assert request.document == {"messages": [USER]}


def test_a_repeated_member_is_written_once() -> None:
    request = decode_chat_request(b'{"model":"a/b","messages":[{"role":"user","content":"x"}],"model":"c/d"}')
    assert request.body.model == "c/d"
    assert encode_chat_request(request).count(b'"model"') == 1


def test_members_are_replaced_in_a_copy() -> None:
    request = decode({"messages": [USER], "model": "a/b", "seed": 1})
    changed = request.with_members({"model": "c/d", "seed": None})
    assert changed.document == {"messages": [USER], "model": "c/d"}
    assert request.body.model == "a/b"
    with pytest.raises(InvalidRequestError):
        request.with_members({"temperature": 9})


def test_a_repr_never_shows_the_prompt() -> None:
    assert "Hello" not in repr(decode({"messages": [USER]}))


@pytest.mark.parametrize(
    ("member", "value", "param"),
    [
        ("messages", [], "messages"),
        ("messages", "x", "messages"),
        ("messages", [3], "messages[0]"),
        ("messages", [USER] * 2_001, "messages"),
        ("messages", [{"content": "x"}], "messages[0].role"),
        ("messages", [USER, {"role": "robot", "content": "x"}], "messages[1].role"),
        ("messages", [{"role": "user"}], "messages[0].content"),
        ("messages", [{"role": "user", "content": None}], "messages[0].content"),
        ("messages", [{"role": "user", "content": [{"type": "smell"}]}], "messages[0].content[0].type"),
        ("messages", [{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0].image_url"),
        ("messages", [{"role": "tool", "content": "x"}], "messages[0].tool_call_id"),
        ("model", "", "model"),
        ("model", 3, "model"),
        ("models", ["a/b", 3], "models[1]"),
        ("stream", "yes", "stream"),
        ("max_tokens", -1, "max_tokens"),
        ("max_tokens", 0, "max_tokens"),
        ("max_tokens", 1.5, "max_tokens"),
        ("max_completion_tokens", "10", "max_completion_tokens"),
        ("temperature", 2.1, "temperature"),
        ("temperature", True, "temperature"),
        ("top_p", -0.1, "top_p"),
        ("frequency_penalty", -2.5, "frequency_penalty"),
        ("presence_penalty", 2.5, "presence_penalty"),
        ("repetition_penalty", 3, "repetition_penalty"),
        ("seed", 2**70, "seed"),
        ("stop", ["1", "2", "3", "4", "5"], "stop"),
        ("stop", [1], "stop[0]"),
        ("logit_bias", {"1": 101}, "logit_bias[...]"),
        ("top_logprobs", 21, "top_logprobs"),
        ("tools", [{"type": "function"}], "tools[0].function"),
        ("tools", [{"type": "function", "function": {"name": "x" * 65}}], "tools[0].function.name"),
        ("tool_choice", {"type": "function"}, "tool_choice.function"),
        ("response_format", {"type": "xml"}, "response_format.type"),
        ("reasoning", {"effort": "huge"}, "reasoning.effort"),
        ("provider", {"sort": "luck"}, "provider.sort"),
        ("provider", {"quantizations": ["int3"]}, "provider.quantizations[0]"),
        ("provider", {"max_price": {"prompt": "-1"}}, "provider.max_price.prompt"),
        ("provider", {"only": "openai"}, "provider.only"),
        ("session_id", "s" * 257, "session_id"),
        ("metadata", {str(n): "x" for n in range(17)}, "metadata"),
        ("metadata", {"a": "x" * 513}, "metadata[...]"),
        ("metadata", {"a" * 65: "x"}, "metadata"),
    ],
)
def test_a_wrong_member_is_named(member: str, value: Any, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decode({"messages": [USER], member: value})
    assert caught.value.param == param
    assert param in caught.value.message


def test_disagreeing_efforts_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="reasoning_effort"):
        decode({"messages": [USER], "reasoning_effort": "low", "reasoning": {"effort": "high"}})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"{}garbage",
        b"\xff\xfe",
        b'{"messages":[{"role":"user","content":"\xff"}]}',
        b'{"messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"messages":[{"role":"user","content":"x"}],"temperature":NaN}',
        b'{"messages":[{"role":"user","content":"x"}],"unknown":1e999}',
        b"[" * 100_000,
        b'{"messages":[{"role":"user","content":"x"}],"x":' + b"[" * 80 + b"]" * 80 + b"}",
    ],
)
def test_what_is_not_a_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        decode_chat_request(data)


def test_nesting_up_to_the_limit_is_accepted() -> None:
    inner = MAX_DEPTH - 1
    decode_chat_request(b'{"messages":[{"role":"user","content":"x"}],"x":' + b"[" * inner + b"]" * inner + b"}")
    with pytest.raises(InvalidRequestError, match="levels deep"):
        decode_chat_request(
            b'{"messages":[{"role":"user","content":"x"}],"x":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"
        )


def test_an_error_quotes_no_value() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decode({"messages": [{"role": "my secret", "content": "x"}]})
    assert "my secret" not in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*FULL, "x"]), JSON, max_size=6))
def test_any_json_is_either_a_request_or_a_named_error(changes: dict[str, Any]) -> None:
    try:
        request = decode({"messages": [USER], **changes})
    except InvalidRequestError:
        return
    assert decode_chat_request(encode_chat_request(request)) == request
