"""What `sim-agent` says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sim.agent import calls_for, json_for
from sim.answer import compose_answer
from sim.behaviour import parse_behaviour
from sim.schema_values import value_for

AGENT = parse_behaviour("sim-agent")
USER: list[dict[str, Any]] = [{"role": "user", "content": "a b"}]
TOOLS = [
    {
        "type": "function",
        "function": {"name": "first", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    },
    {"type": "function", "function": {"name": "second"}},
]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "simulated"),
        ({"type": "integer", "minimum": 7}, 7),
        ({"type": "number"}, 1),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 4}, 4),
        ({"type": ["null", "string"]}, None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": "object", "properties": {"x": {"$ref": "#/$defs/X"}}, "$defs": {"X": {"const": "x"}}}, {"x": "x"}),
        ({"type": "object"}, {}),
        (True, "simulated"),
        ({"$ref": "#/nowhere"}, "simulated"),
    ],
)
def test_values_follow_their_schema(schema: Any, value: Any) -> None:
    assert value_for(schema) == value


def test_a_schema_that_refers_to_itself_has_an_end() -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert "child" in value_for(tree)


def test_the_first_tool_is_called_or_the_one_that_is_asked_for() -> None:
    (call,) = calls_for({"tools": TOOLS}, USER, "1")
    assert (call.name, json.loads("".join(call.arguments))) == ("first", {"n": 1})
    named = {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "second"}}}
    assert [call.name for call in calls_for(named, USER, "1")] == ["second"]


@pytest.mark.parametrize(
    ("request_", "messages"),
    [
        ({}, USER),
        ({"tools": TOOLS, "tool_choice": "none"}, USER),
        ({"tools": TOOLS}, [*USER, {"role": "tool", "tool_call_id": "1", "content": "x"}]),
    ],
)
def test_nothing_is_called_without_tools_or_after_a_result(
    request_: dict[str, Any], messages: list[dict[str, Any]]
) -> None:
    assert calls_for(request_, messages, "1") == ()


def test_the_form_of_the_answer_is_kept() -> None:
    schema = {"type": "object", "properties": {"a": {"const": 5}}}
    assert json_for({"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}) == '{"a":5}'
    assert json_for({"response_format": {"type": "json_object"}}) == '{"simulated":true}'
    assert json_for({"response_format": {"type": "text"}}) is None


def test_the_pieces_of_a_call_are_the_call() -> None:
    answer = compose_answer(0, "sim-agent", AGENT, USER, None, request={"tools": TOOLS})
    (call,) = answer.calls
    pieces = [delta["tool_calls"][0]["function"]["arguments"] for delta in answer.deltas()]
    assert "".join(pieces) == "".join(call.arguments)
    assert answer.finish_reason == "tool_calls"
    message = answer.completion()["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [call.document()]


def test_without_either_it_says_what_it_was_told() -> None:
    answer = compose_answer(0, "sim-agent", AGENT, USER, None, request={})
    assert "".join(answer.content) == "[simulated] a b"
