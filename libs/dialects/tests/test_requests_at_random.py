"""Requests that nearly are ones, and answers that nearly are ones: refused by name or read, never anything else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.answers import ChoiceDelta
from dialects.chat import decode_chat_request
from dialects.errors import InvalidRequestError
from dialects.responses import ResponseOutput, decode_responses_request
from dialects.text_completions import decode_text_completion_request, text_logprobs

FUNCTION = {"name": "look", "description": "Looks", "parameters": {"type": "object", "properties": {}}, "strict": True}
SHARED: dict[str, Any] = {
    "model": "a/b", "models": ["c/d"], "stream": True, "temperature": 0.5, "top_p": 0.5, "top_k": 4, "frequency_penalty": 1,
    "presence_penalty": -1, "reasoning": {"effort": "low", "summary": "auto"}, "provider": {"order": ["x"], "sort": "price"},
    "plugins": [{"id": "context-compression"}], "route": "fallback", "debug": {"echo_upstream_body": True},
    "cache_control": {"type": "ephemeral", "ttl": "1h"}, "prompt_cache_options": {"mode": "explicit"}, "user": "u",
    "service_tier": "flex", "session_id": "s", "metadata": {"k": "v"}, "trace": {"trace_id": "t"}, "max_tool_calls": 3,
    "stop_server_tools_when": [{"type": "step_count_is", "step_count": 3}], "modalities": ["text"], "image_config": {},
}  # fmt: skip
CHAT: dict[str, Any] = {
    **SHARED,
    "messages": [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": [
            {"type": "text", "text": "See", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "c", "content": "ok"},
    ],
    "tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "auto", "stop": ["x"], "logit_bias": {"5": 1},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}, "max_tokens": 5,
    "prediction": {"type": "content", "content": "x"}, "stream_options": {"include_usage": True},
}  # fmt: skip
RESPONSES: dict[str, Any] = {
    **SHARED,
    "instructions": "Be brief", "max_output_tokens": 5, "include": ["reasoning.encrypted_content"], "store": False,
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "See"},
                                     {"type": "input_image", "image_url": "https://x.example/a.png"}]},
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "E"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": []}]},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "ok"},
        {"type": "image_generation_call", "id": "i", "status": "completed", "result": "AAAA"},
    ],
    "tools": [{"type": "function", **FUNCTION}, {"type": "custom", "name": "patch"},
              {"type": "namespace", "name": "ns", "tools": [{"type": "function", "name": "f"}]}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look"}]},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"}, "truncation": "auto",
}  # fmt: skip
COMPLETIONS: dict[str, Any] = {**SHARED, "prompt": ["Once"], "max_tokens": 5, "logprobs": 1, "echo": True, "n": 1}

Decode = Callable[[bytes], Any]
Path = tuple[str | int, ...]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths_of(value: Any, path: Path = ()) -> list[Path]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for name, each in inner for found in paths_of(each, (*path, name)))]


def changed(document: Any, path: Path, value: Any, *, remove: bool) -> Any:
    """A copy with one value replaced or removed."""
    if not path:
        return value
    copied = copy.deepcopy(document)
    holder = copied
    for step in path[:-1]:
        holder = holder[step]
    if remove:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return copied


@pytest.mark.parametrize(
    ("seed", "decode"),
    [
        (CHAT, decode_chat_request),
        (RESPONSES, decode_responses_request),
        (COMPLETIONS, decode_text_completion_request),
    ],
    ids=["chat", "responses", "completions"],
)
@given(st.data())
def test_a_request_with_one_change_is_read_or_refused_by_name(
    seed: dict[str, Any], decode: Decode, data: st.DataObject
) -> None:
    decode(json.dumps(seed).encode())
    path = data.draw(st.sampled_from(paths_of(seed)))
    document = changed(seed, path, data.draw(json_values), remove=data.draw(st.booleans()))
    error = refusal(decode, document)
    if error is None:
        return
    assert error.message
    if not isinstance(document, dict):
        return
    assert error.param
    top = error.param.partition(".")[0].partition("[")[0]
    assert not path or top in {str(path[0]), "tool_choice"}


def refusal(decode: Decode, document: Any) -> InvalidRequestError | None:
    try:
        decode(json.dumps(document).encode())
    except InvalidRequestError as error:
        return error
    return None


extras = st.dictionaries(
    st.sampled_from(["reasoning_details", "annotations", "images", "audio"]),
    st.lists(
        st.dictionaries(
            st.sampled_from(["type", "text", "summary", "data", "id", "index", "format", "signature", "url_citation", "image_url"]),
            st.sampled_from(["reasoning.text", "reasoning.summary", "reasoning.encrypted", "url_citation"]) | json_values,
        )
        | json_values,
        max_size=3,
    )
    | json_values,
)  # fmt: skip


@given(st.lists(st.tuples(extras, json_values | st.builds(lambda v: {"content": [v]}, json_values)), max_size=4))
def test_what_a_provider_adds_to_an_answer_never_breaks_it(pieces: list[tuple[dict[str, Any], Any]]) -> None:
    output = ResponseOutput("gen-1-aaaaaaaaaaaaaaaaaaaa", {}, encrypted=True, logprobs=True)
    events = []
    for extra, logprobs in pieces:
        events += output.add(ChoiceDelta(0, content="x", extra=extra, logprobs=logprobs))
        text_logprobs(logprobs, 0)
    events += output.finish()
    assert output.text == "x" * len(pieces)
    assert json.dumps(events)
    assert len(output.items()) == len([event for event in events if event["type"] == "response.output_item.done"])
