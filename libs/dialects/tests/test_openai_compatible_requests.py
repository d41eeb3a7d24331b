"""Making provider requests."""

from __future__ import annotations

import json
from typing import Any

from dialects.chat import decode_chat_request
from dialects.openai_compatible import build_request
from dialects.parameters import sent_parameters, supports

MESSAGES = [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}]


def build(document: dict[str, Any], supported: set[str], **options: Any) -> Any:
    request = decode_chat_request(json.dumps({"messages": MESSAGES, **document}).encode())
    return json.loads(build_request(request, model="up/stream", supported=supported, **{"stream": False, **options}))


def test_only_supported_parameters_go_upstream() -> None:
    sent = {"model": "a/b", "temperature": 0.5, "top_k": 3, "seed": 7, "invented": True}
    assert build(sent, {"temperature", "seed", "invented"}) == {
        "model": "up/stream",
        "messages": MESSAGES,
        "temperature": 0.5,
        "seed": 7,
    }


def test_private_members_never_go_upstream() -> None:
    private: dict[str, Any] = {
        "models": ["a/b"],
        "provider": {"only": ["x"]},
        "plugins": [],
        "route": "fallback",
        "transforms": [],
        "session_id": "s",
        "user": "u",
        "metadata": {"a": "b"},
        "trace": {"trace_id": "t"},
        "usage": {"include": True},
        "debug": {"echo_upstream_body": True},
        "service_tier": "priority",
        "preset": "p",
        "stream_options": {"include_usage": False},
    }
    assert build(private, set(private)) == {"model": "up/stream", "messages": MESSAGES}


def test_a_stream_asks_for_its_usage() -> None:
    assert build({}, set(), stream=True)["stream_options"] == {"include_usage": True}
    assert build({}, set(), stream=True)["stream"] is True
    assert "stream_options" not in build({}, set(), stream=True, ask_usage=False)


def test_the_output_limit_goes_by_the_name_the_endpoint_knows() -> None:
    assert build({"max_completion_tokens": 5}, {"max_tokens"})["max_tokens"] == 5
    newer = build({"max_tokens": 5}, {"max_tokens"}, limit_name="max_completion_tokens")
    assert newer["max_completion_tokens"] == 5
    assert "max_tokens" not in newer
    both = build({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens", "max_completion_tokens"})
    assert both["max_tokens"] == 6
    assert "max_completion_tokens" not in both
    assert "max_tokens" not in build({"max_tokens": 5}, set())


def test_reasoning_takes_the_form_the_endpoint_knows() -> None:
    effort = {"reasoning": {"effort": "low"}}
    assert build(effort, {"reasoning"})["reasoning"] == {"effort": "low"}
    assert build(effort, {"reasoning_effort"})["reasoning_effort"] == "low"
    assert build({"reasoning": {"enabled": True}}, {"reasoning_effort"})["reasoning_effort"] == "medium"
    assert build({"reasoning_effort": "high"}, {"reasoning"})["reasoning"] == {"effort": "high"}
    assert set(build(effort, set())) == {"model", "messages"}


def test_server_tools_stay_here() -> None:
    function = {"type": "function", "function": {"name": "f"}}
    sent = {"tools": [function, {"type": "openrouter:web_search"}], "tool_choice": "auto"}
    assert build(sent, {"tools"})["tools"] == [function]
    assert build(sent, {"tools"})["tool_choice"] == "auto"
    only_server = build({"tools": [{"type": "openrouter:web_search"}], "tool_choice": "auto"}, {"tools"})
    assert set(only_server) == {"model", "messages"}


def test_parameters_are_named_in_order() -> None:
    request = decode_chat_request(
        json.dumps({"top_k": 1, "messages": MESSAGES, "provider": {}, "seed": 2, "stream": True, "x": 1}).encode()
    )
    assert sent_parameters(request) == ["top_k", "seed"]
    assert supports("max_tokens", {"max_completion_tokens"})
    assert not supports("seed", {"max_completion_tokens"})
