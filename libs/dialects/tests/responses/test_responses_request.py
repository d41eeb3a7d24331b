"""Responses requests: what they become for the router, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.errors import InvalidRequestError
from dialects.responses import ResponsesRequest, decode_responses_request, error_code
from dialects.responses.tools import ToolName

LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


def decode(**members: Any) -> ResponsesRequest:
    return decode_responses_request(json.dumps({"model": "acme/one", "input": "Hi", **members}).encode())


def chat(**members: Any) -> dict[str, Any]:
    return dict(decode(**members).chat.document)


def messages(*items: Any) -> list[dict[str, Any]]:
    return list(chat(input=list(items))["messages"])


def test_a_text_is_what_the_user_says_after_the_instructions() -> None:
    assert chat(instructions="Be brief")["messages"] == [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Hi"},
    ]


def test_messages_need_no_type_and_keep_their_roles_and_parts() -> None:
    breakpoint_ = {"mode": "explicit"}
    parts = [
        {"type": "input_text", "text": "See", "prompt_cache_breakpoint": breakpoint_},
        {"type": "input_text", "text": "this", "cache_control": {"type": "ephemeral"}},
        {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_url": "https://x.example/a.pdf"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA=="},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "input_video", "video_url": "https://x.example/a.mp4"},
    ]
    found = messages(
        {"role": "developer", "content": "Be brief"},
        {"type": "message", "role": "user", "content": parts},
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": None},
    )
    assert found == [
        {"role": "developer", "content": "Be brief"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See", "prompt_cache_breakpoint": breakpoint_},
                {"type": "text", "text": "this", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "low"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://x.example/a.pdf"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "video_url", "video_url": {"url": "https://x.example/a.mp4"}},
            ],
        },
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": ""},
    ]


def test_one_turn_of_the_model_is_one_message_and_reasoning_begins_the_next() -> None:
    found = messages(
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
        {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "look", "arguments": "{"},
        {"type": "reasoning", "id": "rs_tmp_2", "summary": [{"type": "summary_text", "text": "Well"}]},
        {"type": "message", "role": "assistant", "id": "m", "status": "completed", "content": [
            {"type": "output_text", "text": "One", "annotations": []},
            {"type": "refusal", "refusal": "No"},
        ]},
        {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "seen"}]},
    )  # fmt: skip
    assert [message["role"] for message in found] == ["assistant", "assistant", "tool"]
    assert found[0]["reasoning_details"] == [{"type": "reasoning.text", "text": "Hm", "id": "rs_1", "index": 0}]
    assert [call["id"] for call in found[0]["tool_calls"]] == ["a", "b"]
    # An id that was made up here is not shown to a provider.
    assert found[1]["reasoning_details"] == [{"type": "reasoning.summary", "summary": "Well", "index": 0}]
    assert (found[1]["content"], found[1]["refusal"]) == ("One", "No")
    assert found[2] == {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "seen"}]}


def test_an_image_that_the_model_made_comes_back_as_its_image() -> None:
    png = "iVBORw0KGgo="
    (turn,) = messages({"type": "image_generation_call", "id": "ig", "status": "completed", "result": png})
    assert turn["images"] == [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png}"}}]


def test_parameters_have_their_names_in_the_chat_request() -> None:
    sent = {
        "max_output_tokens": 50, "temperature": 0.5, "top_p": 0.9, "top_k": 3, "frequency_penalty": 1, "presence_penalty": -1,
        "reasoning": {"effort": "high", "summary": "auto"}, "models": ["a/b"], "provider": {"order": ["acme"]},
        "session_id": "s", "metadata": {"k": "v"}, "trace": {"trace_id": "t"}, "prompt_cache_key": "p", "stream": True,
        "service_tier": "flex", "cache_control": {"type": "ephemeral"}, "modalities": ["text"], "top_logprobs": 2,
        "max_tool_calls": 3, "plugins": [{"id": "response-healing"}], "safety_identifier": "someone",
    }  # fmt: skip
    found = chat(**sent)
    renamed = {"max_output_tokens": "max_completion_tokens", "safety_identifier": "user"}
    for name, value in sent.items():
        assert found[renamed.get(name, name)] == value
    assert found["logprobs"] is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"format": {"type": "text"}, "verbosity": "low"}, {"verbosity": "low"}),
        ({"format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        (
            {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
    ],
)
def test_the_form_of_the_text_is_the_response_format(text: Any, expected: dict[str, Any]) -> None:
    found = chat(text=text)
    assert {name: found[name] for name in ("response_format", "verbosity") if name in found} == expected


def test_truncation_is_the_compression_of_the_context() -> None:
    assert chat(truncation="auto")["transforms"] == ["middle-out"]
    assert chat(truncation="disabled")["transforms"] == []
    assert "transforms" not in chat()


def test_tools_are_functions_and_keep_their_names_for_the_answer() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
    request = decode(
        tools=[
            {**LOOK, "description": "Looks", "strict": True},
            {"type": "custom", "name": "patch", "description": "Patches", "format": grammar},
            {"type": "namespace", "name": "ns", "description": "", "tools": [LOOK]},
        ],
        parallel_tool_calls=False,
    )
    first, patch, spaced = (tool["function"] for tool in request.chat.document["tools"])
    assert first == {"name": "look", "description": "Looks", "parameters": LOOK["parameters"], "strict": True}
    assert patch["parameters"]["required"] == ["input"]
    assert patch["description"].endswith("The input follows this lark grammar:\nstart: /x/")
    assert spaced["name"] == "ns__look"
    assert request.tools["ns__look"] == ToolName("function", "look", "ns")
    assert request.chat.document["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    ("choice", "expected", "left"),
    [
        ("required", "required", ["look", "patch"]),
        ({"type": "function", "name": "look"}, {"type": "function", "function": {"name": "look"}}, ["look", "patch"]),
        ({"type": "custom", "name": "patch"}, {"type": "function", "function": {"name": "patch"}}, ["look", "patch"]),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "patch"}]},
            "required",
            ["patch"],
        ),
    ],
)
def test_a_choice_of_tools(choice: Any, expected: Any, left: list[str]) -> None:
    found = chat(tools=[LOOK, {"type": "custom", "name": "patch"}], tool_choice=choice)
    assert found["tool_choice"] == expected
    assert [tool["function"]["name"] for tool in found["tools"]] == left


def test_a_custom_call_that_comes_back_is_a_call_of_its_function() -> None:
    turn, result = messages(
        {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": 'say "x"'},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
    )
    assert json.loads(turn["tool_calls"][0]["function"]["arguments"]) == {"input": 'say "x"'}
    assert result == {"role": "tool", "tool_call_id": "c", "content": "done"}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"content": "x"}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "smell"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0].file_data"),
        ({"input": [{"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"type": "web_search_call", "id": "x"}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"store": True}, "store"),
        ({"store": "no"}, "store"),
        ({"store": 0}, "store"),
        ({"background": True}, "background"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"model": ""}, "model"),
        ({"models": "a/b"}, "models"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"include": ["everything"]}, "include[0]"),
        ({"truncation": "some"}, "truncation"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"text": {"verbosity": "endless"}}, "text.verbosity"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [LOOK, {"type": "openrouter:datetime"}]}, "tools[1].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [LOOK, LOOK]}, "tools[1].name"),
        ({"tools": [{"type": "namespace", "name": "n" * 60, "tools": [LOOK]}]}, "tools[0].tools[0].name"),
        ({"tool_choice": {"type": "function", "name": "look"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "shell"}}, "tool_choice.type"),
        ({"tool_choice": 7}, "tool_choice"),
        ({"tools": [LOOK], "tool_choice": {"type": "allowed_tools", "mode": "auto"}}, "tool_choice.tools"),
        ({"metadata": {"k": 5}}, "metadata[...]"),
        ({"metadata": {"a[b]": "c"}}, "metadata"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"user": "x" * 257}, "user"),
        ({"session_id": "x" * 257}, "session_id"),
        ({"stream": "yes"}, "stream"),
        ({"logit_bias": {"5": 200}}, "logit_bias[...]"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"modalities": ["smell"]}, "modalities[0]"),
        ({"debug": {"echo_upstream_body": "yes"}}, "debug.echo_upstream_body"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_wrong_or_not_offered_is_refused_by_name(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        decode(**members)
    assert raised.value.param == param
    assert raised.value.message.startswith((param, "each name"))


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b'{"input":"\xff"}', b"[" * 100_000])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        decode_responses_request(body)


def test_what_asks_for_nothing_to_be_kept_is_accepted() -> None:
    assert decode(store=False, background=False, previous_response_id=None, unknown_member={"x": 1}).chat.body.model


def test_a_repr_shows_nothing_of_the_prompt() -> None:
    assert "Hi" not in repr(decode())


@pytest.mark.parametrize(
    ("error_type", "code"),
    [
        ("rate_limit_exceeded", "rate_limit_exceeded"),
        ("context_length_exceeded", "invalid_prompt"),
        ("invalid_request", "invalid_prompt"),
        ("content_policy_violation", "image_content_policy_violation"),
        ("provider_unavailable", "server_error"),
        ("authentication", "server_error"),
    ],
)
def test_codes_of_errors(error_type: str, code: str) -> None:
    assert error_code(error_type) == code
