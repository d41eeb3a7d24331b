"""Parameters, tools, formats and reasoning in the words of the Messages API."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from dialects.anthropic import ADAPTIVE_THINKING, NO_XHIGH_EFFORT, THINKING_TOGGLE
from dialects.anthropic.caching import read_cache_mark
from dialects.errors import UnsupportedRequestError

BodyOf = Callable[..., dict[str, Any]]
MessagesOf = Callable[..., list[dict[str, Any]]]
USER = {"role": "user", "content": "Hello"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_tools(body_of: BodyOf) -> None:
    strict = {"type": "function", "function": {"name": "g", "strict": True, "parameters": {"properties": {"n": {"type": "integer", "minimum": 1}}}}}  # fmt: skip
    tools = [
        {**WEATHER, "cache_control": {"type": "ephemeral", "ttl": "5m"}},
        strict,
        {"type": "openrouter:web_search"},
    ]
    assert body_of({"tools": tools})["tools"] == [
        {
            "name": "get_weather",
            "description": "Weather of a city",
            "input_schema": WEATHER["function"]["parameters"],  # type: ignore[index]  # a literal of mixed types
            "cache_control": {"type": "ephemeral", "ttl": "5m"},
        },
        {
            "name": "g",
            "input_schema": {
                "type": "object",
                "properties": {"n": {"type": "integer", "description": '{"minimum":1}'}},
                "additionalProperties": False,
            },
            "strict": True,
        },
    ]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, None),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
        ({"tool_choice": {"type": "openrouter:web_search"}}, None),
        ({"parallel_tool_calls": True}, None),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": False, "tool_choice": "required"}, {"type": "any", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": False, "tool_choice": "none"}, {"type": "none"}),
    ],
)
def test_the_choice_among_tools(body_of: BodyOf, members: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert body_of({"tools": [WEATHER], **members}).get("tool_choice") == expected
    assert "tool_choice" not in body_of(members)


def test_a_tool_cannot_be_described_by_alternatives_at_its_root(body_of: BodyOf) -> None:
    variants = [
        {"properties": {"a": {"type": "string"}, "k": {"type": "string"}}, "required": ["k", "a"]},
        {"properties": {"b": {"type": "string"}, "k": {"type": "integer"}}, "required": ["k"]},
    ]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"oneOf": variants, "description": "d"}}}
    assert body_of({"tools": [tool]})["tools"][0]["input_schema"] == {
        "description": "d",
        "type": "object",
        "properties": {"a": {"type": "string"}, "k": {"type": "string"}, "b": {"type": "string"}},
        "required": ["k"],
    }


SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "description": "Full name"},
        "when": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"oneOf": [{"const": "a"}, {"$ref": "#/$defs/tag"}]}, "minItems": 2},
        "age": {"type": ["integer", "null"]},
    },
    "required": ["name"],
    "additionalProperties": True,
    "$defs": {"tag": {"type": "string", "pattern": "^x"}},
}


def test_structured_outputs_know_a_part_of_json_schema(body_of: BodyOf) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
    assert body_of({"response_format": wanted})["output_config"] == {
        "format": {
            "type": "json_schema",
            "schema": {
                "$defs": {"tag": {"type": "string", "description": '{"pattern":"^x"}'}},
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": 'Full name\n\n{"minLength":1}'},
                    "when": {"type": "string", "format": "date"},
                    "tags": {
                        "type": "array",
                        "items": {"anyOf": [{"const": "a"}, {"$ref": "#/$defs/tag"}]},
                        "description": '{"minItems":2}',
                    },
                    "age": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                },
                "additionalProperties": False,
                "required": ["name"],
            },
        }
    }


def test_without_structured_outputs_the_form_is_asked_for_in_words(body_of: BodyOf) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    body = body_of({"response_format": wanted}, supported=frozenset({"response_format"}))
    assert "output_config" not in body
    assert '{"type":"object"}' in body["system"][-1]["text"]
    assert "JSON" in body_of({"response_format": {"type": "json_object"}})["system"][-1]["text"]
    assert "system" not in body_of({"response_format": {"type": "text"}})
    assert "system" not in body_of({"response_format": wanted}, supported=frozenset())


def test_a_grammar_is_not_dropped(body_of: BodyOf) -> None:
    with pytest.raises(UnsupportedRequestError):
        body_of({"response_format": {"type": "grammar", "grammar": "root ::= x"}})


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"temperature": 0.3, "top_k": 5}, {"temperature": 0.3, "top_k": 5}),
        ({"temperature": 1.7}, {"temperature": 1.0}),
        ({"temperature": 0.3, "top_p": 0.9}, {"temperature": 0.3}),
        ({"top_p": 0.9}, {"top_p": 0.9}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["END", "\n", ""]}, {"stop_sequences": ["END"]}),
        ({"stop": ["\n"]}, {}),
        ({"seed": 1, "frequency_penalty": 1, "logit_bias": {"1": 1}, "n": 2, "unknown": {"x": 1}, "min_p": 0.1}, {}),
        ({"metadata": {"a": "b"}, "session_id": "s", "provider": {"sort": "price"}, "service_tier": "priority"}, {}),
        # Reasoning goes together with few of them.
        (
            {"temperature": 0.3, "top_k": 5, "top_p": 0.96, "reasoning": {"max_tokens": 2_000}},
            {"top_p": 0.96, "thinking": {"type": "enabled", "budget_tokens": 2_000}},
        ),
        (
            {"top_p": 0.5, "reasoning": {"max_tokens": 2_000}},
            {"thinking": {"type": "enabled", "budget_tokens": 2_000}},
        ),
    ],
)
def test_parameters(body_of: BodyOf, members: dict[str, Any], expected: dict[str, Any]) -> None:
    body = body_of(members)
    assert {name: body[name] for name in body if name not in ("model", "messages", "max_tokens")} == expected


def test_parameters_that_the_endpoint_does_not_honour_are_dropped(body_of: BodyOf) -> None:
    members = {"temperature": 1, "top_k": 1, "stop": "x", "tools": [WEATHER], "reasoning": {"effort": "high"}, "verbosity": "low"}  # fmt: skip
    assert set(body_of(members, supported=frozenset())) == {"model", "max_tokens", "messages"}


def test_who_the_user_is_does_not_leave(body_of: BodyOf) -> None:
    body = body_of({"user": "ann@example.com"})
    assert body["metadata"] == {"user_id": hashlib.sha256(b"ann@example.com").hexdigest()}


@pytest.mark.parametrize(
    ("reasoning", "limit", "expected"),
    [
        ({"effort": "high"}, 10_000, 8_000),
        ({"effort": "medium"}, 10_000, 5_000),
        ({"effort": "low"}, 10_000, 2_000),
        ({"effort": "minimal"}, 10_000, 1_024),
        ({"effort": "xhigh"}, 10_000, 9_500),
        ({"effort": "max"}, 400_000, 128_000),
        ({"enabled": True}, 10_000, 5_000),
        ({"max_tokens": 3_000}, 10_000, 3_000),
        ({"max_tokens": 100}, 10_000, 1_024),
        ({"max_tokens": 20_000}, 10_000, 9_999),
        ({"effort": "high"}, 1_025, 1_024),
        ({"effort": "high"}, 1_024, None),
        ({"effort": "none"}, 10_000, None),
        ({"enabled": False}, 10_000, None),
        ({"exclude": True}, 10_000, None),
    ],
)
def test_reasoning_as_a_budget(body_of: BodyOf, reasoning: dict[str, Any], limit: int, expected: int | None) -> None:
    thinking = body_of({"reasoning": reasoning, "max_tokens": limit}).get("thinking")
    assert thinking == (None if expected is None else {"type": "enabled", "budget_tokens": expected})


@pytest.mark.parametrize(
    ("members", "quirks", "thinking", "effort"),
    [
        ({"reasoning": {"effort": "high"}}, (), {"type": "adaptive", "display": "summarized"}, "high"),
        ({"reasoning_effort": "minimal"}, (), {"type": "adaptive", "display": "summarized"}, "low"),
        ({"reasoning": {"enabled": True}}, (), {"type": "adaptive", "display": "summarized"}, "medium"),
        ({"reasoning": {"effort": "max", "exclude": True}}, (), {"type": "adaptive", "display": "omitted"}, "max"),
        ({"reasoning": {"effort": "xhigh"}}, (), {"type": "adaptive", "display": "summarized"}, "xhigh"),
        ({"reasoning": {"effort": "xhigh"}}, (NO_XHIGH_EFFORT,), {"type": "adaptive", "display": "summarized"}, "high"),
        ({"reasoning": {"max_tokens": 2_000}}, (), {"type": "adaptive", "display": "summarized"}, "low"),
        ({"reasoning": {"max_tokens": 4_000}}, (), {"type": "adaptive", "display": "summarized"}, "medium"),
        ({"reasoning": {"max_tokens": 9_900}}, (), {"type": "adaptive", "display": "summarized"}, "max"),
        ({"reasoning": {"effort": "none"}}, (), None, None),
        ({"reasoning": {"effort": "none"}}, (THINKING_TOGGLE,), {"type": "disabled"}, None),
        ({"reasoning": {"effort": "none"}, "verbosity": "max"}, (), None, "high"),
        ({"verbosity": "low"}, (THINKING_TOGGLE,), None, "low"),
        ({}, (THINKING_TOGGLE,), None, None),
    ],
)
def test_reasoning_as_an_effort(
    body_of: BodyOf,
    members: dict[str, Any],
    quirks: tuple[str, ...],
    thinking: dict[str, Any] | None,
    effort: str | None,
) -> None:
    body = body_of({"max_tokens": 10_000, **members}, quirks=frozenset({ADAPTIVE_THINKING, *quirks}))
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort


def test_a_forced_tool_and_a_prefill_do_without_reasoning(body_of: BodyOf) -> None:
    wish = {"reasoning": {"effort": "high"}, "tools": [WEATHER]}
    assert "thinking" not in body_of({**wish, "tool_choice": "required"})
    adaptive = frozenset({ADAPTIVE_THINKING, THINKING_TOGGLE})
    assert body_of({**wish, "tool_choice": "required"}, quirks=adaptive)["thinking"] == {"type": "disabled"}
    assert "thinking" not in body_of({**wish, "messages": [USER, {"role": "assistant", "content": "x"}]})


def signed(text: str, index: int = 0) -> dict[str, Any]:
    return {"type": "reasoning.text", "index": index, "text": text, "signature": "sig", "format": "anthropic-claude-v1"}


def test_reasoning_goes_back_as_it_came_and_in_front(messages_of: MessagesOf) -> None:
    details = [
        {"type": "reasoning.text", "index": 0, "text": "Let ", "format": "anthropic-claude-v1"},
        {"type": "reasoning.text", "index": 0, "text": "me", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "index": 1, "data": "opaque==", "format": "anthropic-claude-v1"},
        {"type": "reasoning.text", "index": 0, "signature": "c2ln"},
        signed("other"),
        {"type": "reasoning.text", "index": 3, "text": "unsigned"},
        {"type": "reasoning.encrypted", "index": 4, "data": "theirs", "format": "google-gemini-v1"},
        {"type": "reasoning.summary", "index": 5, "summary": "s"},
    ]
    details[4]["index"] = 2
    messages = messages_of(
        USER,
        {"role": "assistant", "content": "hm", "reasoning_details": details, "tool_calls": [call("t1", "f", "{}")]},
        {"role": "tool", "tool_call_id": "t1", "content": "r"},
    )
    assert messages[1]["content"][:4] == [
        {"type": "thinking", "thinking": "Let me", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "opaque=="},
        {"type": "thinking", "thinking": "other", "signature": "sig"},
        {"type": "text", "text": "hm"},
    ]


def test_a_budget_needs_the_reasoning_of_the_calls_that_are_answered(body_of: BodyOf) -> None:
    def thinking(details: list[dict[str, Any]], quirks: frozenset[str] = frozenset()) -> object:
        assistant = {"role": "assistant", "tool_calls": [call("t1", "f", "{}")], "reasoning_details": details}
        messages = [USER, assistant, {"role": "tool", "tool_call_id": "t1", "content": "r"}]
        return body_of({"messages": messages, "reasoning": {"max_tokens": 2_000}}, quirks=quirks).get("thinking")

    assert thinking([signed("x")]) is not None
    assert thinking([]) is None
    assert thinking([], frozenset({ADAPTIVE_THINKING})) is not None


def test_no_more_cache_markers_than_the_api_takes(body_of: BodyOf) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    parts = [{"type": "text", "text": str(number), **mark} for number in range(4)]
    document = {
        "tools": [{**WEATHER, **mark}],
        "messages": [{"role": "system", "content": [{"type": "text", "text": "s", **mark}]}, {"role": "user", "content": parts}],
    }  # fmt: skip
    body = body_of(document)
    assert "cache_control" not in body["tools"][0]
    assert "cache_control" not in body["system"][0]
    assert all("cache_control" in part for part in body["messages"][0]["content"])
    automatic = body_of({**document, "cache_control": {"type": "ephemeral", "ttl": "1h"}})
    assert automatic["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert sum("cache_control" in part for part in automatic["messages"][0]["content"]) == 3


def test_a_cache_marker_has_nothing_of_the_callers_own(messages_of: MessagesOf) -> None:
    part = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "x": 1}}
    assert messages_of({"role": "user", "content": [part]})[0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert read_cache_mark({"cache_control": {"type": "ephemeral", "ttl": "9y"}}) == {"type": "ephemeral"}
    assert read_cache_mark({"cache_control": {"type": "eternal"}}) is None
