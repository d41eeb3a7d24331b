"""Presets: members of a request that are kept under a name, put under the request that names them.

Source: OpenRouter's presets. The merge is shallow and the request wins; tools are united; an instruction goes before the
caller's messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dialects.chat import ChatRequest
from dialects.errors import InvalidRequestError

_MARK: Final = "@preset/"
_INSTRUCTIONS: Final = frozenset({"system", "developer"})
# What a preset keeps of a request. The rest is about one request: its text, its stream, who sends it and what for.
CONFIG_MEMBERS: Final = frozenset(
    """
    model models max_tokens max_completion_tokens n temperature top_p top_k min_p top_a frequency_penalty presence_penalty
    repetition_penalty seed stop logit_bias logprobs top_logprobs verbosity tools tool_choice parallel_tool_calls
    response_format reasoning reasoning_effort include_reasoning modalities image_config audio provider plugins route
    transforms web_search_options stop_server_tools_when max_tool_calls cache_control prompt_cache_options service_tier
    cache_enabled cache_ttl_seconds
    """.split()  # noqa: SIM905 - a paragraph of words
)
# Members of a preset that are about the gateway's cache of answers, and not for the router.
CACHE_MEMBERS: Final = frozenset({"cache_enabled", "cache_ttl_seconds"})


@dataclass(frozen=True, slots=True)
class PresetUse:
    """The preset that a request names.

    Attributes:
        slug: its name.
        model: the model that the request names besides, None for the preset's.
    """

    slug: str
    model: str | None


def preset_use(request: ChatRequest) -> PresetUse | None:
    """Say which preset a request names: `@preset/slug` or `model@preset/slug` as the model, or the member `preset`.

    Raises:
        InvalidRequestError: it names two, or none where it seems to.
    """
    named, model = request.body.preset, request.body.model
    if model is not None and _MARK in model:
        model, _, slug = model.partition(_MARK)
        if not slug:
            raise InvalidRequestError("model: no preset after @preset/", "model")
        if named is not None and named != slug:
            raise InvalidRequestError("preset: the model names another preset", "preset")
        return PresetUse(slug, model or None)
    if named is None:
        return None
    if not named:
        raise InvalidRequestError("preset: empty", "preset")
    return PresetUse(named, model)


def with_preset(
    request: ChatRequest, use: PresetUse, config: Mapping[str, Any], system_prompt: str | None
) -> ChatRequest:
    """Put a preset under a request.

    Raises:
        InvalidRequestError: the two together are not valid.
    """
    sent = dict(request.document)
    sent.pop("model", None)
    if use.model is not None:
        sent["model"] = use.model
    merged: dict[str, Any] = {name: value for name, value in config.items() if name in CONFIG_MEMBERS - CACHE_MEMBERS}
    merged.update(sent)
    if isinstance(config.get("tools"), list) and isinstance(sent.get("tools"), list):
        merged["tools"] = _united(config["tools"], sent["tools"])
    if system_prompt:
        merged["messages"] = [{"role": "system", "content": system_prompt}, *sent["messages"]]
    merged["preset"] = use.slug
    # A member of the request that the preset alone had, and the request does not have, must go as well: `model` is one.
    gone = {name: None for name in request.document if name not in merged}
    return request.with_members(gone | merged)


def config_of(request: ChatRequest) -> tuple[dict[str, Any], str | None]:
    """Give what a preset keeps of a request, and the instruction in its messages."""
    config = {name: value for name, value in request.document.items() if name in CONFIG_MEMBERS}
    texts = [
        _text(message.get("content"))
        for message in request.document["messages"]
        if isinstance(message, Mapping) and message.get("role") in _INSTRUCTIONS
    ]
    return config, "\n\n".join(text for text in texts if text) or None


def _united(kept: list[Any], sent: list[Any]) -> list[Any]:
    """Both lists, the request's version of what is in both."""
    names = {_tool_name(tool) for tool in sent}
    return [*(tool for tool in kept if _tool_name(tool) not in names), *sent]


def _tool_name(tool: Any) -> tuple[str, str]:
    """What makes two tools the same: functions by name, advisors and subagents by their name too, the rest by type."""
    if not isinstance(tool, Mapping):
        return "", ""
    kind = str(tool.get("type", ""))
    function, parameters = tool.get("function"), tool.get("parameters")
    if kind == "function" and isinstance(function, Mapping):
        return kind, str(function.get("name", ""))
    if kind in {"openrouter:advisor", "openrouter:subagent"} and isinstance(parameters, Mapping):
        return kind, str(parameters.get("name", ""))
    return kind, ""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))
