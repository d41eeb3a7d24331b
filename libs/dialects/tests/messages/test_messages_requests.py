"""Requests of the Messages API, as chat completions gets them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.errors import InvalidRequestError
from dialects.messages import MessagesRequest, decode_messages_request

HELLO = [{"role": "user", "content": "Hello"}]


def read(**members: Any) -> MessagesRequest:
    return decode_messages_request(json.dumps({"model": "acme/one", "messages": HELLO, **members}).encode())


def chat_of(**members: Any) -> dict[str, Any]:
    return dict(read(**members).chat.document)


def messages_of(*turns: dict[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = chat_of(messages=list(turns))["messages"]
    return messages


def test_max_tokens_is_optional_and_nothing_is_added() -> None:
    assert chat_of() == {"model": "acme/one", "messages": HELLO}


def test_openrouters_members_go_through() -> None:
    members = {
        "models": ["acme/two"],
        "provider": {"only": ["acme"]},
        "plugins": [{"id": "response-healing"}],
        "session_id": "s1",
        "trace": {"trace_id": "t"},
        "stream": True,
        "temperature": 0.5,
    }
    chat = chat_of(**members)
    assert {name: chat[name] for name in members} == members


def test_fallbacks_are_models() -> None:
    assert chat_of(fallbacks=[{"model": "acme/two"}, {"model": "acme/three"}])["models"] == ["acme/two", "acme/three"]


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"fallbacks": [{"model": "a/b"}], "models": ["c/d"]}, "fallbacks"),
        ({"fallbacks": [{"model": "a/b"}] * 4}, "fallbacks"),
        ({"fallbacks": [{"model": "a/b", "max_tokens": 5}]}, "fallbacks[0].max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": []}]}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
            "messages[0].content[0].source",
        ),
        (
            {"messages": [{"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "text/html", "data": ""}}
            ]}]},
            "messages[0].content[0].source.media_type",
        ),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort"),
        ({"stop_sequences": ["a"] * 5}, "stop_sequences"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}, "mcp_servers"),
        ({"container": "c_1"}, "container"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"provider": {"sort": "beauty"}}, "provider.sort"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_the_callers_words(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        read(**members)
    assert raised.value.param == param


def test_a_tool_result_is_a_message_of_its_own_and_keeps_what_it_says() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    result = {
        "type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "cache_control": {"type": "ephemeral"},
        "content": [{"type": "text", "text": "broken"}, image],
    }  # fmt: skip
    assert messages_of({"role": "user", "content": [result, {"type": "text", "text": "Try again"}]}) == [
        {
            "role": "tool",
            "tool_call_id": "toolu_1",
            "is_error": True,
            "content": [
                {"type": "text", "text": "broken"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,AAAA"},
                    "cache_control": {"type": "ephemeral"},
                },
            ],
        },
        {"role": "user", "content": "Try again"},
    ]


def test_reasoning_between_texts_keeps_its_place() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    turns = messages_of(
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, thought, {"type": "text", "text": "b"}]},
    )
    detail = {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-claude-v1", "index": 0}
    assert turns[1:] == [
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning": "hm", "reasoning_details": [detail]},
    ]


def test_blocks_of_tools_that_others_ran_are_dropped() -> None:
    use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    turns = messages_of(*HELLO, {"role": "assistant", "content": [use, found, {"type": "text", "text": "Hi"}]})
    assert turns[1:] == [{"role": "assistant", "content": "Hi"}]


def test_documents_and_search_results_are_read_by_any_model() -> None:
    found = {
        "type": "search_result",
        "source": "https://a",
        "title": "A",
        "content": [{"type": "text", "text": "fact"}],
    }
    own = {
        "type": "document",
        "title": "B",
        "context": "of 1999",
        "source": {"type": "content", "content": "text of b"},
    }
    (turn,) = messages_of({"role": "user", "content": [found, own]})
    assert [part["text"] for part in turn["content"]] == ["A\nhttps://a", "fact", "of 1999", "B", "text of b"]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2_000}}, {"reasoning": {"max_tokens": 2_000}}),
        ({"thinking": {"type": "disabled"}}, {"reasoning": {"enabled": False}}),
        ({"thinking": {"type": "adaptive"}}, {"reasoning": {"effort": "high"}}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, {"reasoning": {"effort": "low"}}),
        ({"output_config": {"effort": "xhigh"}}, {"verbosity": "xhigh"}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"speed": "fast"}, {"service_tier": "fast"}),
        ({"metadata": {"user_id": "u1"}}, {"user": "u1"}),
        ({"metadata": {"user_id": "u1"}, "user": "u2"}, {"user": "u2"}),
        ({"stop_sequences": ["END"]}, {"stop": ["END"]}),
        ({"system": "Be brief"}, {"messages": [{"role": "system", "content": "Be brief"}, *HELLO]}),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
        ({"context_management": {"edits": []}}, {}),
        ({"tools": [{"type": "openrouter:datetime"}]}, {"tools": [{"type": "openrouter:datetime"}]}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {"response_format": {
                "type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}
            }},
        ),
    ],
)  # fmt: skip
def test_members_in_the_words_of_chat_completions(members: dict[str, Any], expected: dict[str, Any]) -> None:
    assert chat_of(**members) == {"model": "acme/one", "messages": HELLO, **expected}


def test_what_the_answer_needs_of_the_request_is_kept() -> None:
    request = read(
        stream=True,
        stop_sequences=["END"],
        thinking={"type": "adaptive", "display": "omitted"},
        context_management={"edits": []},
    )
    assert (request.streamed, request.stop_sequences) == (True, ("END",))
    assert request.hides_thinking
    assert request.edits_context


def test_arguments_that_were_no_json_come_back_as_the_model_wrote_them() -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"INVALID_JSON": '{"a": '}}
    (_, turn) = messages_of(*HELLO, {"role": "assistant", "content": [use]})
    assert turn["tool_calls"][0]["function"]["arguments"] == '{"a": '
