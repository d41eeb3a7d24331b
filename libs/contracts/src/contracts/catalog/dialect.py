"""The dialects that providers speak, and the words for where an endpoint departs from its dialect."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Dialect(StrEnum):
    """How a provider wants to be spoken to."""

    OPENAI_COMPATIBLE = "openai-compatible"
    """Chat completions; the base URL ends before `/chat/completions`."""

    ANTHROPIC = "anthropic"
    """Messages; the base URL ends before `/v1/messages`."""

    GEMINI = "gemini"
    """Generate content; the base URL ends before `/models/`."""

    AZURE_OPENAI = "azure-openai"
    """Chat completions at a resource; the base URL ends before `/openai/`."""

    BEDROCK = "bedrock"
    """Converse; the base URL is a region's, and ends before `/model/`."""

    COHERE = "cohere"
    """Chat; the base URL ends before `/v2/chat`."""

    OLLAMA = "ollama"
    """Chat; the base URL ends before `/api/chat`."""


class Quirk(StrEnum):
    """Where an endpoint departs from its dialect. What a word says holds in each dialect that knows it."""

    MAX_COMPLETION_TOKENS = "max-completion-tokens"
    """Takes `max_completion_tokens` and refuses `max_tokens`."""

    NO_STREAM_OPTIONS = "no-stream-options"
    """Refuses `stream_options`; its streams carry token counts unasked or not at all."""

    NO_DEVELOPER_ROLE = "no-developer-role"
    """Refuses the role `developer`; its messages are sent as the system's."""

    REASONING_CONTENT = "reasoning-content"
    """Takes the reasoning of earlier turns as `reasoning_content`."""

    PLAIN_MESSAGES = "plain-messages"
    """Refuses members of messages, content parts and tools that OpenAI did not define."""

    NO_STRICT_TOOLS = "no-strict-tools"
    """Refuses `strict` in a function."""

    STATED_OUTPUT_LIMIT = "stated-output-limit"
    """Writes little unless it is told how much it may: the endpoint's output limit is sent when the caller sets none."""

    THINKING_TYPE = "thinking-type"
    """Is told to reason by `thinking: {type: enabled | disabled}`."""

    ENABLE_THINKING = "enable-thinking"
    """Is told to reason by `enable_thinking`, and how much by `thinking_budget`."""

    REASONING_EFFORT = "reasoning-effort"
    """Is told how much to reason by `reasoning_effort`: low, medium or high."""

    NONE_EFFORT = "none-effort"
    """With `reasoning-effort`: takes `none` too, and then does not reason."""

    XHIGH_EFFORT = "xhigh-effort"
    """With `reasoning-effort`: takes `xhigh` too."""

    DEPLOYMENT_PATH = "deployment-path"
    """Azure: is spoken to by deployment and dated version rather than by the undated API."""

    ADAPTIVE_THINKING = "adaptive-thinking"
    """Claude: decides how much it thinks, under an effort; a budget is refused or deprecated."""

    THINKING_TOGGLE = "thinking-toggle"
    """Claude: thinks unless it is told not to."""

    NO_XHIGH_EFFORT = "no-xhigh-effort"
    """Claude: has no effort between `high` and `max`."""

    NO_PREFILL = "no-prefill"
    """Claude: refuses to go on in the middle of its own turn."""

    THINKING_BUDGET = "thinking-budget"
    """Gemini before 3, and Claude with budgets on Bedrock: thinks by a budget in tokens."""

    REASONING_OBJECT = "reasoning-object"
    """Bedrock, GPT: is told how much to reason by `reasoning.effort`."""

    REASONING_CONFIG = "reasoning-config"
    """Bedrock, Nova 2: is told how much to reason by `reasoningConfig`."""

    CACHE_POINTS = "cache-points"
    """Bedrock: the prompt cache takes markers in messages and in the system's text."""

    TOOL_CACHE_POINTS = "tool-cache-points"
    """Bedrock: the prompt cache takes markers among the tools."""

    ALWAYS_REASONS = "always-reasons"
    """Gemini: cannot be told not to think; it is told to think least."""

    MINIMAL_THINKING = "minimal-thinking"
    """Gemini: has the level below the lowest that all have."""


_CHAT_COMPLETIONS: Final = frozenset(
    {
        Quirk.MAX_COMPLETION_TOKENS,
        Quirk.NO_STREAM_OPTIONS,
        Quirk.NO_DEVELOPER_ROLE,
        Quirk.REASONING_CONTENT,
        Quirk.PLAIN_MESSAGES,
        Quirk.NO_STRICT_TOOLS,
        Quirk.STATED_OUTPUT_LIMIT,
        Quirk.THINKING_TYPE,
        Quirk.ENABLE_THINKING,
        Quirk.REASONING_EFFORT,
        Quirk.NONE_EFFORT,
        Quirk.XHIGH_EFFORT,
    }
)
_CLAUDE: Final = frozenset({Quirk.ADAPTIVE_THINKING, Quirk.THINKING_TOGGLE, Quirk.NO_XHIGH_EFFORT, Quirk.NO_PREFILL})

# The words that the code of each dialect asks for; any other would be set in vain, and is refused.
QUIRKS_OF: Final[Mapping[Dialect, frozenset[Quirk]]] = MappingProxyType(
    {
        Dialect.OPENAI_COMPATIBLE: _CHAT_COMPLETIONS,
        Dialect.AZURE_OPENAI: _CHAT_COMPLETIONS | {Quirk.DEPLOYMENT_PATH},
        Dialect.ANTHROPIC: _CLAUDE,
        Dialect.BEDROCK: _CLAUDE
        | {
            Quirk.THINKING_BUDGET,
            Quirk.REASONING_EFFORT,
            Quirk.REASONING_OBJECT,
            Quirk.REASONING_CONFIG,
            Quirk.CACHE_POINTS,
            Quirk.TOOL_CACHE_POINTS,
        },
        Dialect.GEMINI: frozenset({Quirk.THINKING_BUDGET, Quirk.ALWAYS_REASONS, Quirk.MINIMAL_THINKING}),
        Dialect.COHERE: frozenset(),
        Dialect.OLLAMA: frozenset(),
    }
)
