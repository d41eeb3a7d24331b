"""Calls of tools that nobody can carry out are told from those that can be."""

from __future__ import annotations

from typing import Any

import pytest

from dialects.answers import ToolCallPiece
from dialects.chat import FunctionDefinition, Tool
from router.domain.tool_review import MAX_ARGUMENTS, ToolCallText, count_bad_calls

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "unit": {"enum": ["c", "f"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "where": {"type": "object", "properties": {"lat": {"type": ["number", "null"]}}, "required": ["lat"]},
        "exact": {"type": "boolean"},
    },
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [
    Tool(type="function", function=FunctionDefinition(name="weather", parameters=SCHEMA)),
    Tool(type="function", function=FunctionDefinition(name="anything")),
    Tool(type="openrouter:web_search"),
]


def call(name: str, *pieces: str) -> ToolCallText:
    text = ToolCallText()
    text.add(ToolCallPiece(index=0, id="call-1", type="function", name=name))
    for piece in pieces:
        text.add(ToolCallPiece(index=0, arguments=piece))
    return text


@pytest.mark.parametrize(
    "arguments",
    [
        '{"city": "Bern"}',
        '{"city": "Bern", "days": 3, "unit": "c", "tags": ["a"], "where": {"lat": null}, "exact": true}',
        '{"city": "Bern", "days": 3.0}',
    ],
)
def test_call_that_meets_its_schema_is_good(arguments: str) -> None:
    assert count_bad_calls({0: call("weather", *arguments)}, TOOLS) == 0  # a character at a time


@pytest.mark.parametrize(
    "arguments",
    [
        '{"city": "Bern"',
        '["Bern"]',
        '"Bern"',
        "{}",
        "",
        '{"city": 3}',
        '{"city": "Bern", "days": true}',
        '{"city": "Bern", "days": 1.5}',
        '{"city": "Bern", "unit": "k"}',
        '{"city": "Bern", "tags": ["a", 1]}',
        '{"city": "Bern", "where": {}}',
        '{"city": "Bern", "exact": 1}',
        '{"city": "Bern", "country": "CH"}',
        "[" * 100_000,
    ],
)
def test_call_that_breaks_its_schema_is_bad(arguments: str) -> None:
    assert count_bad_calls({0: call("weather", arguments)}, TOOLS) == 1


def test_call_of_a_tool_that_the_request_does_not_have_is_bad() -> None:
    calls = {
        0: call("weather", '{"city": "Bern"}'),
        1: call("wether", "{}"),
        2: call("anything", "{}"),
        3: call("anything"),
    }
    assert count_bad_calls(calls, TOOLS) == 1
    assert count_bad_calls(calls, None) == 4
    assert count_bad_calls({}, None) == 0


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://elsewhere.example/schema"},
        {"type": "no such type"},
        {"type": 7, "required": "city", "properties": []},
        {"pattern": "(a+)+$"},
    ],
)
def test_schema_that_is_not_understood_is_met(schema: dict[str, Any]) -> None:
    tools = [Tool(type="function", function=FunctionDefinition(name="odd", parameters=schema))]
    assert count_bad_calls({0: call("odd", '{"a": 1}')}, tools) == 0


def test_arguments_that_are_too_long_are_not_held_and_not_judged() -> None:
    text = call("weather", "x" * MAX_ARGUMENTS, "x")
    assert text.arguments is None
    assert count_bad_calls({0: text}, TOOLS) == 0
