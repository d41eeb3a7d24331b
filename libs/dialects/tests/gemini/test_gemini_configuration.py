"""The configuration of a generation in the words of the Gemini API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialects.chat import decode_chat_request
from dialects.errors import UnsupportedRequestError
from dialects.gemini import Gemini
from dialects.upstream import Target

WEATHER = {"type": "function", "function": {"name": "get_weather"}}


def build(document: dict[str, Any], supported: set[str] | None = None, quirks: set[str] | None = None) -> Any:
    request = decode_chat_request(json.dumps({"messages": [{"role": "user", "content": "hi"}], **document}).encode())
    target = Target("gemini-3.1-pro", frozenset(supported or ()), False, 65_536, frozenset(quirks or ()))
    return json.loads(Gemini().request(request, target).body)


def test_parameters_go_by_their_names_and_only_where_supported() -> None:
    sent = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "seed": 2**40 + 7,
        "max_tokens": 10,
        "max_completion_tokens": 20,
        "n": 2,
        "stop": ["a", "", "b"],
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logprobs": True,
        "top_logprobs": 3,
        "min_p": 0.1,
        "logit_bias": {"1": 2},
        "user": "someone",
        "metadata": {"a": "b"},
        "cache_control": {"type": "ephemeral"},
    }
    assert build(sent, set(sent))["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "seed": 7,
        "maxOutputTokens": 20,
        "candidateCount": 2,
        "stopSequences": ["a", "b"],
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 3,
    }
    assert set(build(sent)) == {"contents"}
    assert "topK" not in build({"top_k": 0}, {"top_k", "seed"}).get("generationConfig", {})
    with pytest.raises(UnsupportedRequestError):
        build({"n": 9}, {"n"})


def test_structured_output() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    wanted = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}
    assert build(wanted, {"structured_outputs"})["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }
    some_object = build({"response_format": {"type": "json_object"}}, {"response_format"})
    assert some_object["generationConfig"] == {"responseMimeType": "application/json"}
    assert "generationConfig" not in build({"response_format": {"type": "text"}}, {"response_format"})
    assert "generationConfig" not in build(wanted)
    with pytest.raises(UnsupportedRequestError):
        build({"response_format": {"type": "grammar", "grammar": "x"}}, {"response_format"})


def test_only_models_that_think_by_level_have_structured_output_with_tools() -> None:
    both = {"tools": [WEATHER], "response_format": {"type": "json_object"}}
    supported = {"tools", "response_format", "reasoning"}
    assert build(both, supported)["generationConfig"]["responseMimeType"] == "application/json"
    with pytest.raises(UnsupportedRequestError):
        build(both, supported, quirks={"thinking-budget"})


@pytest.mark.parametrize(
    ("document", "by_level", "by_budget"),
    [
        ({}, {"includeThoughts": True}, {"includeThoughts": True}),
        ({"include_reasoning": False}, {}, {}),
        (
            {"reasoning": {"effort": "high"}},
            {"includeThoughts": True, "thinkingLevel": "HIGH"},
            {"includeThoughts": True, "thinkingBudget": 24_576},
        ),
        (
            {"reasoning_effort": "minimal"},
            {"includeThoughts": True, "thinkingLevel": "LOW"},
            {"includeThoughts": True, "thinkingBudget": 1_024},
        ),
        ({"reasoning": {"enabled": False}}, {"thinkingLevel": "LOW"}, {"thinkingBudget": 0}),
        (
            {"reasoning": {"enabled": True, "exclude": True}},
            {"thinkingLevel": "MEDIUM"},
            {"thinkingBudget": 8_192},
        ),
        (
            {"reasoning": {"max_tokens": 2_000}, "max_tokens": 10_000},
            {"includeThoughts": True, "thinkingLevel": "LOW"},
            {"includeThoughts": True, "thinkingBudget": 2_000},
        ),
        (
            {"reasoning": {"max_tokens": 60_000}},
            {"includeThoughts": True, "thinkingLevel": "HIGH"},
            {"includeThoughts": True, "thinkingBudget": 24_576},
        ),
    ],
)
def test_thinking(document: dict[str, Any], by_level: dict[str, Any], by_budget: dict[str, Any]) -> None:
    config = build(document, {"reasoning"}).get("generationConfig", {})
    assert config.get("thinkingConfig", {}) == by_level
    config = build(document, {"reasoning"}, quirks={"thinking-budget"}).get("generationConfig", {})
    assert config.get("thinkingConfig", {}) == by_budget
    assert "generationConfig" not in build(document)


def test_thinking_least() -> None:
    off = {"reasoning": {"effort": "none"}}
    minimal = build(off, {"reasoning"}, quirks={"minimal-thinking"})["generationConfig"]
    assert minimal == {"thinkingConfig": {"thinkingLevel": "MINIMAL"}}
    always = build(off, {"reasoning"}, quirks={"thinking-budget", "always-reasons"})["generationConfig"]
    assert always == {"thinkingConfig": {"thinkingBudget": 512}}


def test_images_and_speech_out() -> None:
    sent = {
        "modalities": ["text", "image", "audio"],
        "image_config": {"aspect_ratio": "16:9", "image_size": "2K", "strength": 1},
        "audio": {"voice": "Kore", "format": "wav"},
    }
    assert build(sent, {"modalities", "image_config"})["generationConfig"] == {
        "responseModalities": ["TEXT", "IMAGE", "AUDIO"],
        "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    }
