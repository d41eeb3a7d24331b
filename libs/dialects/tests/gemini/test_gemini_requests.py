"""Requests in the words of the Gemini API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.chat import decode_chat_request
from dialects.errors import UnsupportedRequestError
from dialects.gemini import Gemini
from dialects.upstream import Target, UpstreamRequest

PNG = "data:image/png;base64,aVZCT1I="
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place",
        "strict": True,
        "parameters": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"const": "celsius"}, "const": {"type": "integer"}},
            "required": ["city"],
        },
    },
    "cache_control": {"type": "ephemeral"},
}


def write(
    document: dict[str, Any],
    supported: set[str] | None = None,
    *,
    model: str = "gemini-3.1-pro",
    stream: bool = False,
    quirks: set[str] | None = None,
) -> UpstreamRequest:
    request = decode_chat_request(json.dumps({"messages": [{"role": "user", "content": "hi"}], **document}).encode())
    target = Target(model, frozenset(supported or ()), stream, 65_536, frozenset(quirks or ()))
    return Gemini().request(request, target)


def build(document: dict[str, Any], supported: set[str] | None = None, **options: Any) -> Any:
    return json.loads(write(document, supported, **options).body)


def messages(*items: dict[str, Any], supported: set[str] | None = None, **options: Any) -> Any:
    return build({"messages": list(items)}, supported, **options)


def call(call_id: str, name: str = "get_weather", arguments: str = '{"city":"Bern"}') -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_the_path_names_method_and_model() -> None:
    assert write({}).path == "/models/gemini-3.1-pro:generateContent"
    assert write({}, stream=True).path == "/models/gemini-3.1-pro:streamGenerateContent?alt=sse"
    assert write({}, model="../x?key=1#:a").path == "/models/..%2Fx%3Fkey%3D1%23%3Aa:generateContent"


def test_a_conversation() -> None:
    body = messages(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello", "name": "Ann"},
        {"role": "user", "content": [{"type": "text", "text": "again"}]},
        {"role": "assistant", "content": "Hi."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "Good"},
    )
    assert body == {
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Ann: Hello"}, {"text": "again"}]},
            {"role": "model", "parts": [{"text": "Hi."}]},
            {"role": "user", "parts": [{"text": "Bye"}]},
            {"role": "model", "parts": [{"text": "Good"}]},
        ],
    }


def test_instructions_alone_are_a_turn() -> None:
    body = messages({"role": "system", "content": "Write a haiku."})
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Write a haiku."}]}]}


def test_attachments() -> None:
    (turn,) = messages(
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a/b.JPG?size=1"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/picture"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
                {"type": "video_url", "video_url": {"url": "https://www.youtube.com/watch?v=x"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"}},
                {"type": "file", "file": {"file_data": "JVBERi0xLjQ="}},
                {"type": "file", "file": {"file_data": "data:text/plain,a%20b"}},
            ],
        }
    )["contents"]
    assert turn["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "aVZCT1I="}},
        {"fileData": {"fileUri": "https://example.com/a/b.JPG?size=1", "mimeType": "image/jpeg"}},
        {"fileData": {"fileUri": "https://example.com/picture"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}},
        {"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0x"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0xLjQ="}},
        {"inlineData": {"mimeType": "text/plain", "data": "YSBi"}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://10.0.0.1/x.png"}},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": {"url": "https://[bad"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "a/b; c"}},
    ],
)
def test_attachments_that_cannot_be_said_are_refused(part: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedRequestError):
        messages({"role": "user", "content": [part]})


def test_an_image_among_instructions_is_refused() -> None:
    with pytest.raises(UnsupportedRequestError):
        messages({"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]})


def test_tools() -> None:
    server_tool = {"type": "openrouter:web_search"}
    body = build({"tools": [WEATHER, {"type": "function", "function": {"name": "now"}}, server_tool]}, {"tools"})
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "get_weather",
                    "description": "The weather of a place",
                    "parametersJsonSchema": {
                        "type": "object",
                        "properties": {
                            "city": {"type": "string"},
                            "unit": {"enum": ["celsius"]},
                            "const": {"type": "integer"},
                        },
                        "required": ["city"],
                    },
                },
                {"name": "now"},
            ]
        }
    ]
    assert "toolConfig" not in body
    assert "tools" not in build({"tools": [WEATHER]})
    assert "tools" not in build({"tools": [server_tool]}, {"tools"})


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "get_weather"}},
            {"mode": "ANY", "allowedFunctionNames": ["get_weather"]},
        ),
    ],
)
def test_tool_choice(choice: Any, config: dict[str, Any]) -> None:
    body = build({"tools": [WEATHER], "tool_choice": choice, "parallel_tool_calls": False}, {"tools"})
    assert body["toolConfig"] == {"functionCallingConfig": config}


def test_results_of_tools_are_a_turn_of_their_own() -> None:
    body = messages(
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "tool_calls": [call("a1"), call("call_0123456789abcdef01234567", "now", "")]},
        {"role": "tool", "tool_call_id": "a1", "content": '{"celsius": 3}'},
        {"role": "tool", "tool_call_id": "call_0123456789abcdef01234567", "content": "noon"},
        {"role": "user", "content": "And?"},
        supported={"reasoning", "tools"},
    )
    assert body["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"id": "a1", "name": "get_weather", "args": {"city": "Bern"}},
                    "thoughtSignature": "skip_thought_signature_validator",
                },
                {"functionCall": {"name": "now", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a1", "name": "get_weather", "response": {"celsius": 3}}},
                {"functionResponse": {"name": "now", "response": {"output": "noon"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "And?"}]},
    ]


def test_older_models_get_neither_ids_nor_a_stand_in_for_a_signature() -> None:
    body = messages(
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "tool_calls": [call("a1")]},
        {"role": "tool", "tool_call_id": "a1", "content": [{"type": "text", "text": "cold"}]},
        supported={"reasoning", "tools"},
        quirks={"thinking-budget"},
    )
    assert body["contents"][1]["parts"] == [{"functionCall": {"name": "get_weather", "args": {"city": "Bern"}}}]
    assert body["contents"][2]["parts"] == [
        {"functionResponse": {"name": "get_weather", "response": {"output": "cold"}}}
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("", {}), ("not json", {"arguments": "not json"}), ("[1]", {"arguments": "[1]"}), ('{"a":1.5}', {"a": 1.5})],
)
def test_arguments_are_an_object_whatever_the_model_wrote(arguments: str, expected: dict[str, Any]) -> None:
    body = messages({"role": "assistant", "tool_calls": [call("a1", arguments=arguments)]})
    assert body["contents"][0]["parts"][0]["functionCall"]["args"] == expected


def test_an_image_as_a_result() -> None:
    turns = [
        {"role": "assistant", "tool_calls": [call("a1")]},
        {"role": "tool", "tool_call_id": "a1", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
    ]
    result = messages(*turns, supported={"reasoning"})["contents"][1]["parts"][0]["functionResponse"]
    assert result["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "aVZCT1I="}}]
    with pytest.raises(UnsupportedRequestError):
        messages(*turns, supported={"reasoning"}, quirks={"thinking-budget"})


def test_a_result_without_its_call_is_refused() -> None:
    with pytest.raises(UnsupportedRequestError):
        messages({"role": "tool", "tool_call_id": "nobody", "content": "x"})


def test_signatures_of_other_providers_stay_away() -> None:
    foreign = [
        {"type": "reasoning.encrypted", "data": "theirs", "id": "a1", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "text": "hm", "signature": "theirs", "format": "anthropic-claude-v1", "index": 1},
    ]
    body = messages({"role": "assistant", "content": "x", "reasoning_details": foreign, "tool_calls": [call("a1")]})
    assert body["contents"][0]["parts"] == [
        {"text": "x"},
        {"functionCall": {"name": "get_weather", "args": {"city": "Bern"}}},
    ]
    assert "theirs" not in json.dumps(body)


def test_a_signature_finds_its_call_though_the_client_renamed_it() -> None:
    details = [{"type": "reasoning.encrypted", "data": "sig", "id": "before", "format": "google-gemini-v1", "index": 0}]
    turn = {"role": "assistant", "reasoning_details": details, "tool_calls": [call("after"), call("after2")]}
    first, second = messages(turn, supported={"reasoning"})["contents"][0]["parts"]
    assert first["thoughtSignature"] == "sig"
    assert "thoughtSignature" not in second


def test_a_signature_of_the_text_stays_there_though_the_call_has_none() -> None:
    details = [{"type": "reasoning.encrypted", "data": "sig", "id": "text", "format": "google-gemini-v1", "index": 0}]
    turn = {"role": "assistant", "content": "x", "reasoning_details": details, "tool_calls": [call("a")]}
    older = messages(turn, supported={"reasoning"}, quirks={"thinking-budget"})["contents"][0]["parts"]
    assert older == [
        {"text": "x", "thoughtSignature": "sig"},
        {"functionCall": {"name": "get_weather", "args": {"city": "Bern"}}},
    ]
