"""Requests in the words of the Converse API."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from dialects.anthropic import ADAPTIVE_THINKING, NO_PREFILL, THINKING_TOGGLE
from dialects.bedrock import (
    CACHE_POINTS,
    REASONING_CONFIG,
    REASONING_EFFORT,
    REASONING_OBJECT,
    THINKING_BUDGET,
    TOOL_CACHE_POINTS,
    Bedrock,
)
from dialects.chat import chat_request_from_document
from dialects.errors import UnsupportedRequestError
from dialects.upstream import Target

EVERYTHING = frozenset(
    {"max_tokens", "temperature", "top_p", "top_k", "stop", "tools", "tool_choice", "response_format", "structured_outputs",
     "reasoning", "verbosity"}
)  # fmt: skip
USER = {"role": "user", "content": "Hello"}
HELLO = {"role": "user", "content": [{"text": "Hello"}]}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather of a city", "parameters": PARAMETERS},
}
PNG = "data:image/png;base64,iVBORw0KGgo="


@cache
def converse_shape() -> Shape:
    """The request as AWS publishes it."""
    model = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")
    return model.operation_model("Converse").input_shape


def body_of(
    document: dict[str, Any],
    *,
    quirks: frozenset[str] = frozenset(),
    supported: frozenset[str] = EVERYTHING,
    most: int = 0,
) -> dict[str, Any]:
    request = chat_request_from_document({"messages": [USER], **document})
    target = Target("amazon.nova-pro-v1:0", supported, stream=False, max_completion_tokens=most, quirks=quirks)
    body: dict[str, Any] = json.loads(Bedrock().request(request, target).body)
    report = ParamValidator().validate({"modelId": target.model, **body}, converse_shape())
    assert not report.has_errors(), report.generate_report()
    known = converse_shape().members
    assert set(body) <= set(known)
    return body


def content_of(*messages: dict[str, Any], quirks: frozenset[str] = frozenset(), **members: Any) -> list[list[Any]]:
    body = body_of({"messages": list(messages), **members}, quirks=quirks)
    return [message["content"] for message in body["messages"]]


def call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        ("amazon.nova-pro-v1:0", False, "/model/amazon.nova-pro-v1%3A0/converse"),
        ("amazon.nova-pro-v1:0", True, "/model/amazon.nova-pro-v1%3A0/converse-stream"),
        (
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.x",
            False,
            "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2Feu.x/converse",
        ),
        ("../../x?a=b#c", False, "/model/..%2F..%2Fx%3Fa%3Db%23c/converse"),
    ],
)
def test_the_path_holds_the_model_and_nothing_of_it_leaves_its_place(model: str, stream: bool, path: str) -> None:
    request = chat_request_from_document({"messages": [USER], "model": "a/b"})
    assert Bedrock().request(request, Target(model, frozenset(), stream)).path == path


def test_the_least_request() -> None:
    assert body_of({}) == {"messages": [HELLO]}


def test_instructions_and_turns() -> None:
    body = body_of(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                USER,
                {"role": "user", "content": "again"},
                {"role": "assistant", "content": "hi"},
                {"role": "user", "content": "bye"},
            ]
        }
    )
    assert body == {
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "Hello"}, {"text": "again"}]},
            {"role": "assistant", "content": [{"text": "hi"}]},
            {"role": "user", "content": [{"text": "bye"}]},
        ],
    }


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "image_url", "image_url": {"url": PNG}}, {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}),
        (
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
            {"video": {"format": "mp4", "source": {"bytes": "AAAA"}}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"audio": {"format": "wav", "source": {"bytes": "AAAA"}}},
        ),
        (
            {"type": "file", "file": {"filename": "my_file: v2.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"}},
            {"document": {"name": "my-file v2", "format": "pdf", "source": {"bytes": "JVBERi0x"}}},
        ),
    ],
)  # fmt: skip
def test_attachments(part: dict[str, Any], block: dict[str, Any]) -> None:
    (content,) = content_of({"role": "user", "content": [{"type": "text", "text": "see"}, part]})
    assert content == [{"text": "see"}, block]


def test_documents_have_names_of_their_own_and_text_beside_them() -> None:
    file = {"type": "file", "file": {"filename": "a.csv", "file_data": "data:text/csv;base64,YSxi"}}
    (content,) = content_of(
        {"role": "user", "content": [file, file, {"type": "file", "file": {"file_data": "JVBERi0x"}}]}
    )
    assert [block["document"]["name"] for block in content[1:]] == ["a", "a (2)", "document"]
    assert list(content[0]) == ["text"]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AAAA"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "midi"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}},
        {"type": "file", "file": {"file_data": "data:application/zip;base64,AAAA"}},
    ],
)
def test_what_the_api_cannot_take_is_not_dropped(part: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedRequestError):
        content_of({"role": "user", "content": [{"type": "text", "text": "see"}, part]})


CALLS = (
    USER,
    {"role": "assistant", "content": "Let me see.", "tool_calls": [call("t1", "get_weather", '{"city":"Rome"}'), call("t2", "now", "")]},
    {"role": "tool", "tool_call_id": "t1", "content": "Sunny"},
    {"role": "tool", "tool_call_id": "t2", "content": ""},
    {"role": "user", "content": "Thanks"},
)  # fmt: skip


def test_calls_and_their_results() -> None:
    _, calls, results = content_of(*CALLS, tools=[WEATHER])
    assert calls == [
        {"text": "Let me see."},
        {"toolUse": {"toolUseId": "t1", "name": "get_weather", "input": {"city": "Rome"}}},
        {"toolUse": {"toolUseId": "t2", "name": "now", "input": {}}},
    ]
    assert results == [
        {"toolResult": {"toolUseId": "t1", "content": [{"text": "Sunny"}]}},
        {"toolResult": {"toolUseId": "t2", "content": [{"text": "(nothing)"}]}},
        {"text": "Thanks"},
    ]


@pytest.mark.parametrize("members", [{}, {"tools": [WEATHER], "tool_choice": "none"}])
def test_without_tools_calls_are_told_as_text(members: dict[str, Any]) -> None:
    body = body_of({"messages": list(CALLS), **members})
    assert "toolConfig" not in body
    blocks = [block for message in body["messages"] for block in message["content"]]
    assert all(list(block) == ["text"] for block in blocks)
    assert '{"city":"Rome"}' in blocks[2]["text"]
    assert {"text": "Sunny"} in blocks


def test_tools() -> None:
    strict = {"type": "function", "function": {"name": "g", "strict": True}}
    assert body_of({"tools": [WEATHER, strict, {"type": "openrouter:web_search"}]})["toolConfig"] == {
        "tools": [
            {"toolSpec": {"name": "get_weather", "description": "Weather of a city", "inputSchema": {"json": PARAMETERS}}},
            {
                "toolSpec": {
                    "name": "g",
                    "strict": True,
                    "inputSchema": {"json": {"type": "object", "properties": {}, "additionalProperties": False}},
                }
            },
        ]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "get_weather"}}, {"tool": {"name": "get_weather"}}),
        ({"type": "openrouter:web_search"}, None),
        (None, None),
    ],
)
def test_the_choice_among_tools(choice: Any, expected: dict[str, Any] | None) -> None:
    assert body_of({"tools": [WEATHER], "tool_choice": choice})["toolConfig"].get("toolChoice") == expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"max_tokens": 5, "temperature": 1.5, "stop": ["END", " "]}, {"maxTokens": 5, "temperature": 1.0, "stopSequences": ["END"]}),
        ({"top_p": 0.9}, {"topP": 0.9}),
        ({"seed": 1, "frequency_penalty": 1.0, "user": "u", "unknown": 1}, None),
    ],
)  # fmt: skip
def test_parameters(members: dict[str, Any], expected: dict[str, Any] | None) -> None:
    body = body_of(members)
    assert body.get("inferenceConfig") == expected
    assert set(body) <= {"messages", "inferenceConfig"}


def test_parameters_that_the_endpoint_does_not_honour_are_dropped() -> None:
    members = {"temperature": 1, "top_k": 1, "stop": "x", "tools": [WEATHER], "reasoning": {"effort": "high"}, "verbosity": "low"}  # fmt: skip
    assert body_of(members, supported=frozenset(), quirks=frozenset({ADAPTIVE_THINKING})) == {"messages": [HELLO]}


def test_top_k_is_a_field_of_the_models_own() -> None:
    assert body_of({"top_k": 7})["additionalModelRequestFields"] == {"top_k": 7}


def test_the_limit_of_the_endpoint() -> None:
    assert body_of({}, most=8_192)["inferenceConfig"] == {"maxTokens": 8_192}
    assert body_of({"max_tokens": 9_000}, most=8_192)["inferenceConfig"] == {"maxTokens": 8_192}


def test_structured_outputs() -> None:
    schema = {
        "name": "person",
        "description": "d",
        "schema": {"type": "object", "properties": {"n": {"type": "string"}}},
    }
    body = body_of({"response_format": {"type": "json_schema", "json_schema": schema}})
    definition = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert body["outputConfig"]["textFormat"]["type"] == "json_schema"
    assert (definition["name"], definition["description"]) == ("person", "d")
    assert json.loads(definition["schema"]) == {
        "type": "object",
        "properties": {"n": {"type": "string"}},
        "additionalProperties": False,
    }
    assert "JSON" in body_of({"response_format": {"type": "json_object"}})["system"][-1]["text"]


@pytest.mark.parametrize(
    ("quirk", "reasoning", "fields", "effort"),
    [
        (THINKING_BUDGET, {"effort": "high"}, {"thinking": {"type": "enabled", "budget_tokens": 8_000}}, None),
        (THINKING_BUDGET, {"effort": "none"}, None, None),
        (ADAPTIVE_THINKING, {"effort": "max"}, {"thinking": {"type": "adaptive", "display": "summarized"}}, "max"),
        (THINKING_TOGGLE, {"enabled": False}, {"thinking": {"type": "disabled"}}, None),
        (REASONING_EFFORT, {"effort": "xhigh"}, {"reasoning_effort": "high"}, None),
        (REASONING_EFFORT, {"effort": "minimal"}, {"reasoning_effort": "low"}, None),
        (REASONING_EFFORT, {"effort": "none"}, None, None),
        (REASONING_OBJECT, {"effort": "xhigh"}, {"reasoning": {"effort": "xhigh"}}, None),
        (REASONING_OBJECT, {"effort": "none"}, {"reasoning": {"effort": "none"}}, None),
        (REASONING_CONFIG, {"effort": "low"}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}, None),
        ("nothing", {"effort": "high"}, None, None),
    ],
)  # fmt: skip
def test_each_family_has_its_own_word_for_reasoning(
    quirk: str, reasoning: dict[str, Any], fields: dict[str, Any] | None, effort: str | None
) -> None:
    body = body_of({"reasoning": reasoning, "max_tokens": 10_000}, quirks=frozenset({quirk}))
    assert body.get("additionalModelRequestFields") == fields
    assert body.get("outputConfig", {}).get("effort") == effort
    assert body["inferenceConfig"] == {"maxTokens": 10_000}


def test_a_budget_states_the_limit_that_it_is_within() -> None:
    body = body_of({"reasoning": {"effort": "medium"}, "temperature": 0.2}, quirks=frozenset({THINKING_BUDGET}))
    assert body["inferenceConfig"] == {"maxTokens": 4_096}
    assert body["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 2_048


def test_the_highest_effort_of_nova_takes_no_limit_so_a_limit_takes_it_down() -> None:
    quirks = frozenset({REASONING_CONFIG})
    free = body_of({"reasoning": {"effort": "high"}, "temperature": 0.2, "top_p": 1}, quirks=quirks, most=5_000)
    assert "inferenceConfig" not in free
    assert free["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"] == "high"
    bound = body_of({"reasoning": {"effort": "high"}, "max_tokens": 9, "temperature": 0.2}, quirks=quirks)
    assert bound["inferenceConfig"] == {"maxTokens": 9, "temperature": 0.2}
    assert bound["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"] == "medium"


def test_a_forced_tool_does_without_reasoning() -> None:
    members = {"reasoning": {"effort": "high"}, "tools": [WEATHER], "tool_choice": "required"}
    assert "additionalModelRequestFields" not in body_of(members, quirks=frozenset({THINKING_BUDGET}))


def test_reasoning_goes_back_to_the_models_that_it_came_from() -> None:
    details = [
        {"type": "reasoning.text", "index": 0, "text": "hm"},
        {"type": "reasoning.text", "index": 0, "signature": "sig", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "index": 1, "data": "b3BhcXVl", "format": "amazon-bedrock-converse-v1"},
        {"type": "reasoning.encrypted", "index": 2, "data": "theirs", "format": "google-gemini-v1"},
    ]
    messages = (USER, {"role": "assistant", "content": "x", "reasoning_details": details}, USER)
    thought = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}}
    hidden = {"reasoningContent": {"redactedContent": "b3BhcXVl"}}
    said = {"text": "x"}
    assert content_of(*messages, quirks=frozenset({ADAPTIVE_THINKING}))[1] == [thought, hidden, said]
    assert content_of(*messages, quirks=frozenset({REASONING_OBJECT}))[1] == [hidden, said]
    assert content_of(*messages)[1] == [said]


MARK = {"cache_control": {"type": "ephemeral"}}
POINT = {"cachePoint": {"type": "default"}}


def test_cache_markers_are_blocks_after_what_they_mark() -> None:
    document: dict[str, Any] = {
        "tools": [{**WEATHER, **MARK}],
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
            {"role": "user", "content": [{"type": "text", "text": "a", **MARK}, {"type": "text", "text": "b"}]},
        ],
    }  # fmt: skip
    body = body_of(document, quirks=frozenset({CACHE_POINTS, TOOL_CACHE_POINTS}))
    assert body["toolConfig"]["tools"][1] == POINT
    assert body["system"] == [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert body["messages"][0]["content"] == [{"text": "a"}, POINT, {"text": "b"}]
    assert len(body_of(document, quirks=frozenset({CACHE_POINTS}))["toolConfig"]["tools"]) == 1
    assert "cachePoint" not in json.dumps(body_of(document))
    automatic = body_of({**document, **MARK}, quirks=frozenset({CACHE_POINTS}))
    assert automatic["messages"][0]["content"] == [{"text": "a"}, POINT, {"text": "b"}, POINT]


def test_a_marker_within_a_result_comes_after_it() -> None:
    result = {"role": "tool", "tool_call_id": "t1", "content": [{"type": "text", "text": "r", **MARK}]}
    messages = (USER, {"role": "assistant", "tool_calls": [call("t1", "f", "{}")]}, result)
    assert content_of(*messages, tools=[WEATHER], quirks=frozenset({CACHE_POINTS}))[2] == [
        {"toolResult": {"toolUseId": "t1", "content": [{"text": "r"}]}},
        POINT,
    ]


def test_no_more_cache_markers_than_the_api_takes() -> None:
    parts = [{"type": "text", "text": str(number), **MARK} for number in range(6)]
    (content,) = content_of({"role": "user", "content": parts}, quirks=frozenset({CACHE_POINTS}))
    assert [next(iter(block)) for block in content] == ["text"] * 2 + ["text", "cachePoint"] * 4


def test_a_prefill() -> None:
    messages = [USER, {"role": "assistant", "content": "The answer is "}]
    assert content_of(*messages)[1] == [{"text": "The answer is"}]
    with pytest.raises(UnsupportedRequestError):
        content_of(*messages, quirks=frozenset({NO_PREFILL}))
