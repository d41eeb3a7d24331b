"""Answers in the words of the Messages API."""

from __future__ import annotations

from typing import Any

import pytest

from dialects.messages import (
    AnswerBlocks,
    Counts,
    Ending,
    InterleavedCallsError,
    MessageContent,
    anthropic_error_type,
    usage_members,
)


@pytest.mark.parametrize(
    ("ending", "calls_tools", "stop_sequences", "expected"),
    [
        (Ending("stop", "stop"), False, (), ("end_turn", None)),
        (Ending("length", "length"), False, (), ("max_tokens", None)),
        (Ending("tool_calls", "tool_calls"), True, (), ("tool_use", None)),
        (Ending("stop", "stop"), True, (), ("tool_use", None)),
        (Ending("content_filter", "SAFETY"), False, (), ("refusal", None)),
        (Ending("length", "model_context_window_exceeded"), False, (), ("model_context_window_exceeded", None)),
        (Ending("stop", "pause_turn"), False, (), ("pause_turn", None)),
        (Ending("stop", "stop_sequence"), False, ("END",), ("stop_sequence", "END")),
        (Ending("stop", "stop_sequence"), False, ("END", "FIN"), ("stop_sequence", None)),
        (Ending("stop", "stop", "FIN"), False, ("END", "FIN"), ("stop_sequence", "FIN")),
        (Ending(), False, (), ("end_turn", None)),
    ],
)
def test_why_an_answer_ended(
    ending: Ending, calls_tools: bool, stop_sequences: tuple[str, ...], expected: tuple[str, str | None]
) -> None:
    members = ending.members(calls_tools=calls_tools, stop_sequences=stop_sequences)
    assert (members["stop_reason"], members["stop_sequence"]) == expected


def test_a_refusal_says_why() -> None:
    members = Ending("stop", "stop", refusal="I would rather not.").members(calls_tools=False, stop_sequences=())
    assert members["stop_reason"] == "refusal"
    assert members["stop_details"] == {"type": "refusal", "category": None, "explanation": "I would rather not."}


def test_input_tokens_leave_out_the_cache() -> None:
    usage = usage_members(Counts(prompt=100, completion=7, reasoning=2, cached=60, cache_write=30), "default")
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (
        10,
        60,
        30,
    )
    assert usage["output_tokens"] == 7
    assert usage["output_tokens_details"] == {"thinking_tokens": 2}
    assert usage["service_tier"] == "standard"


def content_of(blocks: AnswerBlocks, *events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    content = MessageContent()
    for some in (*events, blocks.close()):
        content.add(some)
    return content.blocks()


def test_hidden_thinking_keeps_its_signature() -> None:
    blocks = AnswerBlocks(hides_thinking=True)
    detail = {
        "type": "reasoning.text",
        "text": "secret",
        "signature": "sig",
        "format": "anthropic-claude-v1",
        "index": 0,
    }
    made = content_of(blocks, blocks.reasoning("secret", [detail]))
    assert made == [{"type": "thinking", "thinking": "", "signature": "sig"}]


def test_reasoning_without_details_is_thinking_without_a_signature() -> None:
    blocks = AnswerBlocks()
    made = content_of(blocks, blocks.reasoning("a", []), blocks.reasoning("b", []), blocks.text("c"))
    assert made[0] == {"type": "thinking", "thinking": "ab", "signature": ""}
    assert made[1]["text"] == "c"


def test_arguments_that_are_no_object_stay_visible() -> None:
    blocks = AnswerBlocks()
    (made,) = content_of(blocks, blocks.tool_call(0, "call_1", "f", '{"a": '))
    assert made["input"] == {"INVALID_JSON": '{"a": '}


def test_mixed_pieces_of_calls_are_not_put_together_wrongly() -> None:
    blocks = AnswerBlocks()
    blocks.tool_call(0, "call_1", "f", "{")
    blocks.tool_call(1, "call_2", "g", "{")
    with pytest.raises(InterleavedCallsError):
        blocks.tool_call(0, "", "", "}")


def test_a_page_of_the_web_is_cited() -> None:
    blocks = AnswerBlocks()
    note = {"type": "url_citation", "url_citation": {"url": "https://a", "title": "A", "content": "so"}}
    (made,) = content_of(blocks, blocks.text("It is so."), blocks.citations([note]))
    (citation,) = made["citations"]
    assert (citation["url"], citation["cited_text"]) == ("https://a", "so")


@pytest.mark.parametrize(
    ("error_type", "status", "expected"),
    [
        ("authentication", 401, "authentication_error"),
        ("payment_required", 402, "billing_error"),
        ("permission_denied", 403, "permission_error"),
        ("not_found", 404, "not_found_error"),
        ("rate_limit_exceeded", 429, "rate_limit_error"),
        ("provider_overloaded", 503, "overloaded_error"),
        ("timeout", 504, "timeout_error"),
        ("context_length_exceeded", 400, "invalid_request_error"),
        ("payload_too_large", 413, "invalid_request_error"),
        ("server", 500, "api_error"),
        ("provider_unavailable", 502, "api_error"),
    ],
)
def test_errors_have_anthropics_types(error_type: str, status: int, expected: str) -> None:
    assert anthropic_error_type(error_type, status) == expected
