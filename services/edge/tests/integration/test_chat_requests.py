"""Chat completions requests that are wrong, through the real HTTP port."""

from __future__ import annotations

from typing import Any

import pytest

from edge.testing.stack import EdgeStack, chat_body


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b'{"model":"a/b","messages":[{"role":"user","content":"\xff"}]}', None),
        (b"[" * 200_000, None),
        ({"messages": []}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": "yes"}, "stream"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "openrouter:web_search"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "openrouter:web_search"}}, "tool_choice.type"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"models": [""]}, "models[0]"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"5": 101}}, "logit_bias[...]"),
        ({"reasoning": {"effort": "most"}}, "reasoning.effort"),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, None),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"provider": {"sort": "beauty"}}, "provider.sort"),
        ({"provider": {"quantizations": ["int3"]}}, "provider.quantizations[0]"),
        ({"cache_control": {"type": "ephemeral", "ttl": "2h"}}, "cache_control.ttl"),
        ({"prompt_cache_options": {"mode": "never"}}, "prompt_cache_options.mode"),
        ({"prediction": {"type": "content"}}, "prediction.content"),
        ({"stop_server_tools_when": [{"type": "step_count_is"}]}, "stop_server_tools_when[0].step_count"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"session_id": "x" * 257}, "session_id"),
        ({"metadata": {"a[0]": "b"}}, "metadata"),
        ({"metadata": {"a": "b" * 513}}, "metadata[...]"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"trace": {"trace_id": 5}}, "trace.trace_id"),
        ({"route": "random"}, "route"),
        ({"usage": {"include": "yes"}}, "usage.include"),
        ({"debug": {"echo_upstream_body": 1}}, "debug.echo_upstream_body"),
        ({"modalities": ["smell"]}, "modalities[0]"),
        ({"verbosity": "chatty"}, "verbosity"),
        ({"plugins": {}}, "plugins"),
        ({"n": 0}, "n"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_s31_bad_input_is_400_and_names_the_field(body: Any, param: str | None, edge: EdgeStack) -> None:
    sent = body if isinstance(body, bytes) else chat_body(**body)
    answer = await edge.call("POST", "/chat/completions", sent)
    assert answer.status == 400, answer.body
    assert answer.error["metadata"].get("param") == param
    assert edge.around.router.requests == []
