"""Requests in the words of Cohere's chat API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.chat import decode_chat_request
from dialects.cohere import Cohere
from dialects.errors import UnsupportedRequestError
from dialects.upstream import Target

PNG = "data:image/png;base64,aVZCT1I="
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
NOW = {"type": "function", "function": {"name": "now", "description": "The time", "strict": True}}


def build(document: dict[str, Any], supported: set[str] | None = None, *, stream: bool = False) -> Any:
    request = decode_chat_request(json.dumps({"messages": [{"role": "user", "content": "hi"}], **document}).encode())
    written = Cohere().request(request, Target("command-a", frozenset(supported or ()), stream, 8_000))
    assert written.path == "/v2/chat"
    return json.loads(written.body)


def test_a_conversation() -> None:
    body = build(
        {
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]},
                {
                    "role": "user",
                    "name": "Ann",
                    "content": [
                        {"type": "text", "text": "What?", "cache_control": {"type": "ephemeral"}},
                        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "original"}},
                    ],
                },
                {"role": "assistant", "content": ""},
                {"role": "assistant", "content": "A cat", "reasoning": "Paws."},
            ]
        },
        stream=True,
    )
    assert body == {
        "model": "command-a",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Be\nbrief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Ann:"},
                    {"type": "text", "text": "What?"},
                    {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                ],
            },
            {"role": "assistant", "content": "A cat"},
        ],
    }


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0x"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/x.png"}}]},
        {"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
    ],
)
def test_attachments_that_cannot_be_said_are_refused(message: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedRequestError):
        build({"messages": [message]})


def test_parameters_go_by_their_names_and_within_bounds() -> None:
    sent = {
        "temperature": 1.5,
        "top_p": 1,
        "top_k": 9_000,
        "seed": -1,
        "max_tokens": 10,
        "stop": "END",
        "presence_penalty": -1,
        "frequency_penalty": 2,
        "logprobs": True,
        "n": 2,
        "min_p": 0.5,
        "user": "someone",
    }
    body = build(sent, set(sent))
    assert {name: value for name, value in body.items() if name not in ("model", "messages", "stream")} == {
        "temperature": 1.5,
        "p": 0.99,
        "k": 500,
        "seed": 2**63 - 1,
        "max_tokens": 10,
        "stop_sequences": ["END"],
        "presence_penalty": 0.0,
        "frequency_penalty": 1.0,
        "logprobs": True,
    }
    assert set(build(sent)) == {"model", "messages", "stream"}


def test_tools() -> None:
    body = build({"tools": [WEATHER, NOW, {"type": "openrouter:web_search"}]}, {"tools"})
    empty = {"type": "object", "properties": {}}
    assert body["tools"] == [
        {"type": "function", "function": {"name": "get_weather", "parameters": empty}},
        {"type": "function", "function": {"name": "now", "description": "The time", "parameters": empty}},
    ]
    assert body["strict_tools"] is True
    assert "tool_choice" not in body
    assert build({"tools": [WEATHER], "tool_choice": "required"}, {"tools"})["tool_choice"] == "REQUIRED"
    assert build({"tools": [WEATHER], "tool_choice": "none"}, {"tools"})["tool_choice"] == "NONE"
    assert "tool_choice" not in build({"tools": [WEATHER], "tool_choice": "required"})


def test_the_function_that_is_chosen_by_name_is_the_only_one() -> None:
    choice = {"type": "function", "function": {"name": "now"}}
    body = build({"tools": [WEATHER, NOW], "tool_choice": choice}, {"tools"})
    assert [tool["function"]["name"] for tool in body["tools"]] == ["now"]
    assert body["tool_choice"] == "REQUIRED"


def test_structured_output() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wanted = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}
    assert build(wanted, {"response_format"})["response_format"] == {"type": "json_object", "json_schema": schema}
    some_object = build({"response_format": {"type": "json_object"}}, {"response_format"})
    assert some_object["response_format"] == {"type": "json_object"}
    assert "response_format" not in build(wanted)
    with pytest.raises(UnsupportedRequestError):
        build({**wanted, "tools": [WEATHER]}, {"response_format", "tools"})
    with pytest.raises(UnsupportedRequestError):
        build({"response_format": {"type": "python"}}, {"response_format"})


@pytest.mark.parametrize(
    ("document", "thinking"),
    [
        ({}, None),
        ({"reasoning": {"effort": "none"}}, {"type": "disabled"}),
        ({"reasoning": {"enabled": True}}, {"type": "enabled", "token_budget": 4_000}),
        ({"reasoning_effort": "low", "max_tokens": 1_000}, {"type": "enabled", "token_budget": 200}),
        ({"reasoning": {"max_tokens": 77}}, {"type": "enabled", "token_budget": 77}),
    ],
)
def test_thinking(document: dict[str, Any], thinking: dict[str, Any] | None) -> None:
    assert build(document, {"reasoning"}).get("thinking") == thinking
    assert "thinking" not in build(document)


def test_calls_and_results() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": '{"tz":"CET"}'}}
    body = build(
        {
            "messages": [
                {"role": "assistant", "reasoning": "I ask the clock.", "tool_calls": [{**call, "index": 0}]},
                {"role": "tool", "tool_call_id": "c1", "content": "noon"},
            ]
        }
    )
    assert body["messages"] == [
        {"role": "assistant", "tool_calls": [call], "tool_plan": "I ask the clock."},
        {"role": "tool", "tool_call_id": "c1", "content": "noon"},
    ]
