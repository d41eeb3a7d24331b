"""Where servers depart from the dialect of chat completions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.chat import decode_chat_request
from dialects.errors import UpstreamAnswerError
from dialects.openai_compatible import OpenAICompatible, read_answer, read_event
from dialects.openai_compatible import quirks as words
from dialects.upstream import Target

MESSAGES: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be brief.", "x": 1},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}, "x": 1},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "reasoning": "Hm.",
        "reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "signature": "s"}],
        "tool_calls": [{"id": "c", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c", "content": "1", "name": "f"},
]
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "f", "strict": True},
    "cache_control": {"type": "ephemeral"},
}


def build(document: dict[str, Any], supported: set[str] | None = None, *quirks: str) -> Any:
    request = decode_chat_request(json.dumps({"messages": MESSAGES, **document}).encode())
    before = json.dumps(request.document)
    target = Target("m", frozenset(supported or ()), False, 4_096, frozenset(quirks))
    body = json.loads(OpenAICompatible().request(request, target).body)
    assert json.dumps(request.document) == before
    return body


def test_a_server_without_quirks_gets_the_messages_as_they_came() -> None:
    assert build({})["messages"] == MESSAGES


def test_instructions_by_the_older_name() -> None:
    first, *rest = build({}, None, words.NO_DEVELOPER_ROLE)["messages"]
    assert first == {"role": "system", "content": "Be brief.", "x": 1}
    assert rest == MESSAGES[1:]


def test_reasoning_goes_back_as_reasoning_content() -> None:
    turn = build({}, None, words.REASONING_CONTENT)["messages"][2]
    assert turn["reasoning_content"] == "Hm."
    assert "reasoning" not in turn
    assert "reasoning_details" not in turn
    of_details = {**MESSAGES[2], "reasoning": None}
    (turn,) = build({"messages": [of_details]}, None, words.REASONING_CONTENT)["messages"]
    assert turn["reasoning_content"] == "Hm."
    (turn,) = build({"messages": [{"role": "assistant", "content": "x"}]}, None, words.REASONING_CONTENT)["messages"]
    assert turn == {"role": "assistant", "content": "x"}


def test_plain_messages_have_no_member_that_openai_did_not_define() -> None:
    body = build({"tools": [TOOL]}, {"tools"}, words.PLAIN_MESSAGES)
    assert body["messages"] == [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "1", "name": "f"},
    ]
    assert body["tools"] == [{"type": "function", "function": {"name": "f", "strict": True}}]


def test_plain_messages_with_reasoning_content_keep_it() -> None:
    turn = build({}, None, words.PLAIN_MESSAGES, words.REASONING_CONTENT)["messages"][2]
    assert set(turn) == {"role", "content", "tool_calls", "reasoning_content"}


def test_functions_without_strict() -> None:
    body = build({"tools": [TOOL]}, {"tools"}, words.NO_STRICT_TOOLS)
    assert body["tools"] == [{**TOOL, "function": {"name": "f"}}]
    assert build({"tools": [TOOL]}, {"tools"})["tools"] == [TOOL]


def test_the_output_limit_is_stated() -> None:
    limit = {"max_tokens"}
    assert build({}, limit, words.STATED_OUTPUT_LIMIT)["max_tokens"] == 4_096
    assert build({"max_tokens": 7}, limit, words.STATED_OUTPUT_LIMIT)["max_tokens"] == 7
    newer = build({}, limit, words.STATED_OUTPUT_LIMIT, words.MAX_COMPLETION_TOKENS)
    assert newer["max_completion_tokens"] == 4_096
    assert "max_tokens" not in build({}, None, words.STATED_OUTPUT_LIMIT)
    assert "max_tokens" not in build({}, limit)


@pytest.mark.parametrize(
    ("wish", "by_type", "by_flag"),
    [
        ({}, {}, {}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, {"enable_thinking": False}),
        ({"reasoning": {"enabled": True}}, {"thinking": {"type": "enabled"}}, {"enable_thinking": True}),
        (
            {"reasoning": {"max_tokens": 99}},
            {"thinking": {"type": "enabled"}},
            {"enable_thinking": True, "thinking_budget": 99},
        ),
    ],
)
def test_reasoning_by_a_switch(wish: dict[str, Any], by_type: dict[str, Any], by_flag: dict[str, Any]) -> None:
    bare = {"model", "messages"}

    def said(quirk: str) -> dict[str, Any]:
        return {name: value for name, value in build(wish, {"reasoning"}, quirk).items() if name not in bare}

    assert said(words.THINKING_TYPE) == by_type
    assert said(words.ENABLE_THINKING) == by_flag
    assert set(build(wish, None, words.THINKING_TYPE)) == bare


@pytest.mark.parametrize(
    ("wish", "three", "more"),
    [
        ({}, None, None),
        ({"reasoning_effort": "low"}, "low", "low"),
        ({"reasoning": {"effort": "minimal"}}, "low", "low"),
        ({"reasoning": {"effort": "xhigh"}}, "high", "xhigh"),
        ({"reasoning_effort": "max"}, "high", "xhigh"),
        ({"reasoning": {"enabled": True}}, "medium", "medium"),
        ({"reasoning": {"max_tokens": 800}}, "low", "low"),
        ({"reasoning": {"max_tokens": 800}, "max_tokens": 1_000}, "high", "high"),
        ({"reasoning_effort": "none"}, None, "none"),
        ({"reasoning": {"enabled": False}}, None, "none"),
    ],
)
def test_reasoning_by_an_effort(wish: dict[str, Any], three: str | None, more: str | None) -> None:
    body = build(wish, {"reasoning", "max_tokens"}, words.REASONING_EFFORT)
    assert (body.get("reasoning_effort"), "reasoning" in body) == (three, False)
    body = build(wish, {"reasoning"}, words.REASONING_EFFORT, words.NONE_EFFORT, words.XHIGH_EFFORT)
    assert body.get("reasoning_effort") == more
    assert not {"reasoning", "reasoning_effort"} & set(build(wish, {"seed"}, words.REASONING_EFFORT))
    both = build(wish, {"reasoning"}, words.REASONING_EFFORT, words.ENABLE_THINKING, words.THINKING_TYPE)
    assert not {"enable_thinking", "thinking"} & set(both), "the model's way counts for more than the provider's"


def test_reasoning_among_the_content_is_told_apart() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}, {"type": "text", "text": "m."}]},
        {"type": "text", "text": "noon"},
    ]
    (choice,) = read_answer(json.dumps({"choices": [{"message": {"content": content}}]}).encode()).choices
    assert (choice.content, choice.reasoning) == ("noon", "Hmm.")
    delta = {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}
    (choice,) = read_event(json.dumps({"choices": [{"delta": delta}]}).encode()).choices
    assert (choice.content, choice.reasoning) == (None, "Hm")


@pytest.mark.parametrize("content", [3, {}, [3], [{"type": "text"}], [{"type": "text", "text": 3}]])
def test_content_that_is_no_text_is_refused(content: Any) -> None:
    with pytest.raises(UpstreamAnswerError):
        read_event(json.dumps({"choices": [{"delta": {"content": content}}]}).encode())
