"""Requests in the words of Ollama's chat API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.chat import decode_chat_request
from dialects.errors import UnsupportedRequestError
from dialects.ollama import Ollama
from dialects.upstream import Target

PNG = "data:image/png;base64,aVZCT1I="
NOW = {"type": "function", "function": {"name": "now"}}


def build(document: dict[str, Any], supported: set[str] | None = None, *, stream: bool = False) -> Any:
    request = decode_chat_request(json.dumps({"messages": [{"role": "user", "content": "hi"}], **document}).encode())
    written = Ollama().request(request, Target("qwen3:8b", frozenset(supported or ()), stream))
    assert written.path == "/api/chat"
    return json.loads(written.body)


def test_a_conversation() -> None:
    body = build(
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {
                    "role": "user",
                    "name": "Ann",
                    "content": [
                        {"type": "text", "text": "What"},
                        {"type": "image_url", "image_url": {"url": PNG}},
                        {"type": "text", "text": "is it?"},
                    ],
                },
                {
                    "role": "assistant",
                    "reasoning": "I look.",
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "now", "arguments": '{"tz":"CET"}'}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "noon"}]},
                {"role": "assistant", "content": "It"},
            ]
        }
    )
    assert body == {
        "model": "qwen3:8b",
        "stream": False,
        "truncate": False,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Ann: What\nis it?", "images": ["aVZCT1I="]},
            {
                "role": "assistant",
                "content": "",
                "thinking": "I look.",
                "tool_calls": [{"id": "c1", "function": {"name": "now", "arguments": {"tz": "CET"}}}],
            },
            {"role": "tool", "content": "noon", "tool_name": "now", "tool_call_id": "c1"},
            {"role": "assistant", "content": "It"},
        ],
    }


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "JVBERi0x"}}]},
        {"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
        {"role": "tool", "tool_call_id": "nobody", "content": "x"},
    ],
)
def test_what_cannot_be_said_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedRequestError):
        build({"messages": [message]})


def test_an_image_that_is_not_in_base64_is_put_into_it() -> None:
    content = [{"type": "image_url", "image_url": {"url": "data:image/svg+xml;charset=utf-8,%3Csvg/%3E"}}]
    assert build({"messages": [{"role": "user", "content": content}]})["messages"][0]["images"] == ["PHN2Zy8+"]


def test_options() -> None:
    sent = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "seed": 7,
        "max_completion_tokens": 20,
        "stop": "END",
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "repetition_penalty": 1.1,
        "logit_bias": {"1": 2},
        "n": 2,
    }
    body = build({**sent, "logprobs": True, "top_logprobs": 3}, {*sent, "logprobs"}, stream=True)
    assert body["options"] == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "seed": 7,
        "num_predict": 20,
        "stop": ["END"],
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "repeat_penalty": 1.1,
    }
    assert (body["logprobs"], body["top_logprobs"], body["stream"]) == (True, 3, True)
    assert set(build({**sent, "logprobs": True})) == {"model", "messages", "stream", "truncate"}


def test_tools() -> None:
    function = {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}
    sent = {"tools": [NOW, {"type": "openrouter:web_search"}]}
    assert build(sent, {"tools"})["tools"] == [{"type": "function", "function": function}]
    assert "tools" not in build(sent)
    assert "tools" not in build({**sent, "tool_choice": "none"}, {"tools"})
    for choice in ("required", {"type": "function", "function": {"name": "now"}}):
        with pytest.raises(UnsupportedRequestError):
            build({**sent, "tool_choice": choice}, {"tools"})


def test_structured_output() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wanted = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}
    assert build(wanted, {"structured_outputs"})["format"] == schema
    assert build({"response_format": {"type": "json_object"}}, {"response_format"})["format"] == "json"
    assert "format" not in build(wanted)
    with pytest.raises(UnsupportedRequestError):
        build({"response_format": {"type": "grammar", "grammar": "x"}}, {"response_format"})


@pytest.mark.parametrize(
    ("document", "think"),
    [
        ({"reasoning": {"effort": "none"}}, False),
        ({"reasoning": {"enabled": True}}, "medium"),
        ({"reasoning_effort": "minimal"}, "low"),
        ({"reasoning_effort": "max"}, "high"),
        ({"reasoning": {"max_tokens": 500}}, True),
    ],
)
def test_thinking(document: dict[str, Any], think: bool | str) -> None:
    assert build(document, {"reasoning"})["think"] == think
    assert "think" not in build(document)
    assert "think" not in build({}, {"reasoning"})
