"""Requests in the words of the Messages API."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from dialects.anthropic import NO_PREFILL
from dialects.anthropic.caching import read_cache_mark
from dialects.errors import UnsupportedRequestError

BodyOf = Callable[..., dict[str, Any]]
MessagesOf = Callable[..., list[dict[str, Any]]]
EVERYTHING = frozenset(
    {"max_tokens", "temperature", "top_p", "top_k", "stop", "tools", "tool_choice", "response_format", "structured_outputs",
     "reasoning", "verbosity"}
)  # fmt: skip
USER = {"role": "user", "content": "Hello"}
HELLO = {"role": "user", "content": [{"type": "text", "text": "Hello"}]}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PNG = "data:image/png;base64,iVBORw0KGgo="


def test_the_least_request(body_of: BodyOf) -> None:
    assert body_of({}) == {"model": "claude-sonnet-4-5", "max_tokens": 4_096, "messages": [HELLO]}


def test_a_stream_is_asked_for(body_of: BodyOf) -> None:
    assert body_of({}, stream=True)["stream"] is True


@pytest.mark.parametrize(
    ("members", "most", "expected"),
    [
        ({}, 0, 4_096),
        ({}, 64_000, 64_000),
        ({"max_tokens": 7}, 64_000, 7),
        ({"max_completion_tokens": 9, "max_tokens": 7}, 64_000, 9),
        ({"max_tokens": 100_000}, 64_000, 64_000),
        ({"max_tokens": 100_000}, 0, 100_000),
    ],
)
def test_the_limit_that_the_api_requires(body_of: BodyOf, members: dict[str, Any], most: int, expected: int) -> None:
    assert body_of(members, most=most)["max_tokens"] == expected


def test_instructions_go_to_the_front_and_messages_of_one_role_together(body_of: BodyOf) -> None:
    body = body_of(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "a", "name": "Ann"},
                {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "  "}]},
                {"role": "assistant", "content": "c"},
                {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
                {"role": "user", "content": "d"},
            ]
        }
    )
    assert body["system"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Ann: a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "c"}]},
        {"role": "user", "content": [{"type": "text", "text": "d"}]},
    ]


def test_instructions_alone_are_what_the_user_says(body_of: BodyOf) -> None:
    body = body_of({"messages": [{"role": "system", "content": "Say hi."}]})
    assert "system" not in body
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say hi."}]}]


def test_a_conversation_that_the_model_begins_gets_a_turn_before(messages_of: MessagesOf) -> None:
    first, second, third = messages_of({"role": "assistant", "content": "Hi!"}, USER)
    assert (first["role"], second["role"], third) == ("user", "assistant", HELLO)


def test_a_conversation_of_blanks_cannot_be_said(messages_of: MessagesOf) -> None:
    with pytest.raises(UnsupportedRequestError):
        messages_of({"role": "user", "content": " \n"})


def test_images_by_address_and_inline(messages_of: MessagesOf) -> None:
    (turn,) = messages_of(
        {
            "role": "user",
            "content": [
                {
                    "type": "image_url",
                    "image_url": {"url": PNG, "detail": "high"},
                    "cache_control": {"type": "ephemeral"},
                },
                {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
            ],
        }
    )
    assert turn["content"] == [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.jpg"}},
    ]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"},
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"},
        ),
        (
            {"filename": "a.pdf", "file_data": "JVBERi0xLjQ="},
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="},
        ),
        (
            {"filename": "a.pdf", "file_data": "https://example.com/a.pdf"},
            {"type": "url", "url": "https://example.com/a.pdf"},
        ),
        (
            {"filename": "a.pdf", "file_data": "data:text/plain;charset=utf-8;base64," + base64.b64encode("hé".encode()).decode()},
            {"type": "text", "media_type": "text/plain", "data": "hé"},
        ),
        ({"filename": "a.pdf", "file_data": "data:,a%20b"}, {"type": "text", "media_type": "text/plain", "data": "a b"}),
    ],
)  # fmt: skip
def test_files(messages_of: MessagesOf, file: dict[str, str], source: dict[str, str]) -> None:
    (turn,) = messages_of({"role": "user", "content": [{"type": "file", "file": file}]})
    assert turn["content"] == [{"type": "document", "source": source, "title": "a.pdf"}]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "data:application/zip;base64,AAAA"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,/////w=="}},
        {"type": "file", "file": {"file_data": "no address"}},
    ],
)
def test_what_the_api_cannot_take_is_not_dropped(messages_of: MessagesOf, part: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedRequestError):
        messages_of({"role": "user", "content": [{"type": "text", "text": "see"}, part]})


def test_an_image_within_instructions_is_not_dropped(messages_of: MessagesOf) -> None:
    with pytest.raises(UnsupportedRequestError):
        messages_of({"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}, USER)


def call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_calls_and_their_results_in_one_turn_before_what_the_user_says(messages_of: MessagesOf) -> None:
    messages = messages_of(
        USER,
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [call("t1", "get_weather", '{"city":"Rome"}'), call("t2", "now", "")],
        },
        {"role": "user", "content": "Quick!"},
        {"role": "tool", "tool_call_id": "t1", "content": "Sunny"},
        {
            "role": "tool",
            "tool_call_id": "t2",
            "content": [
                {"type": "text", "text": "12:00", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                {"type": "image_url", "image_url": {"url": PNG}},
            ],
        },
        tools=[WEATHER],
    )
    assert messages[1]["content"] == [
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Rome"}},
        {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
    ]
    assert messages[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "Sunny"}]},
        {
            "type": "tool_result",
            "tool_use_id": "t2",
            "content": [
                {"type": "text", "text": "12:00"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
            ],
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
        },
        {"type": "text", "text": "Quick!"},
    ]


@pytest.mark.parametrize("arguments", ["{", "[1]", "3", '"x"'])
def test_arguments_that_are_no_object_are_kept_as_text(messages_of: MessagesOf, arguments: str) -> None:
    messages = messages_of(
        USER,
        {"role": "assistant", "tool_calls": [call("t1", "f", arguments)]},
        {"role": "tool", "tool_call_id": "t1", "content": ""},
    )
    assert messages[1]["content"][0]["input"] == {"INVALID_JSON": arguments}
    assert messages[2]["content"] == [{"type": "tool_result", "tool_use_id": "t1"}]


def test_ids_of_other_providers_stay_equal_and_apart(messages_of: MessagesOf) -> None:
    ids = ["functions.f:0", "functions_f:0", "x" * 100, "call_1"]
    messages = messages_of(
        USER,
        {"role": "assistant", "tool_calls": [call(id, "f", "{}") for id in ids]},
        *({"role": "tool", "tool_call_id": id, "content": "r"} for id in ids),
    )
    called = [block["id"] for block in messages[1]["content"]]
    assert called == [block["tool_use_id"] for block in messages[2]["content"]]
    assert len(set(called)) == 4
    assert called[3] == "call_1"
    assert all(len(id) <= 64 and id.replace("_", "").replace("-", "").isalnum() for id in called)


def test_tools_that_only_earlier_turns_know_are_declared_and_forbidden(body_of: BodyOf) -> None:
    body = body_of(
        {
            "messages": [
                USER,
                {"role": "assistant", "tool_calls": [call("t1", "f", "{}")]},
                {"role": "tool", "tool_call_id": "t1", "content": "r"},
            ]
        }
    )
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert body["tool_choice"] == {"type": "none"}


def test_a_refusal_of_an_earlier_turn_is_what_the_model_said(messages_of: MessagesOf) -> None:
    assert messages_of(USER, {"role": "assistant", "refusal": "No."}, USER)[1]["content"] == [
        {"type": "text", "text": "No."}
    ]


def test_a_prefill_ends_without_blanks(messages_of: MessagesOf) -> None:
    assert messages_of(USER, {"role": "assistant", "content": "The answer is: "})[-1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "The answer is:"}],
    }


def test_a_model_without_prefill_does_not_get_one(body_of: BodyOf) -> None:
    with pytest.raises(UnsupportedRequestError):
        body_of({"messages": [USER, {"role": "assistant", "content": "x"}]}, quirks=frozenset({NO_PREFILL}))


def test_a_breakpoint_in_the_words_of_openai_is_a_marker() -> None:
    assert read_cache_mark({"prompt_cache_breakpoint": {"mode": "explicit"}}) == {"type": "ephemeral"}
    both = {"prompt_cache_breakpoint": {"mode": "explicit"}, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert read_cache_mark(both) == {"type": "ephemeral", "ttl": "1h"}
    assert read_cache_mark({"prompt_cache_breakpoint": {"mode": "other"}}) is None
