"""The parameters of the public API that are for providers, and whether an endpoint honours one."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from dialects.chat import ChatRequest

# Provider parameters of the public API. Everything else in a request is for the router or for nobody.
PARAMETERS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "image_config",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "min_p",
        "modalities",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "reasoning",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "tool_choice",
        "tools",
        "top_a",
        "top_k",
        "top_logprobs",
        "top_p",
        "verbosity",
        "web_search_options",
    }
)
# Names that one parameter goes by. An endpoint that lists any of them supports it.
_SAME_AS = {
    "max_completion_tokens": ("max_completion_tokens", "max_tokens"),
    "max_tokens": ("max_tokens", "max_completion_tokens"),
    "reasoning": ("reasoning", "reasoning_effort"),
    "reasoning_effort": ("reasoning_effort", "reasoning"),
    "tool_choice": ("tool_choice", "tools"),
    "parallel_tool_calls": ("parallel_tool_calls", "tools"),
    "top_logprobs": ("top_logprobs", "logprobs"),
    "response_format": ("response_format", "structured_outputs"),
}


def sent_parameters(request: ChatRequest) -> list[str]:
    """Name the provider parameters in a request, in the order they came: what `require_parameters` is about."""
    return [name for name in request.document if name in PARAMETERS]


def supports(parameter: str, supported: AbstractSet[str]) -> bool:
    """Say whether an endpoint that lists `supported` honours a parameter, under any of its names."""
    return any(name in supported for name in _SAME_AS.get(parameter, (parameter,)))
