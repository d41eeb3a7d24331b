"""The dialect of Anthropic's Messages API: its requests, answers, streams and errors."""

from __future__ import annotations

from dialects.anthropic.dialect import Anthropic
from dialects.anthropic.requests import DEFAULT_MAX_TOKENS, NO_PREFILL
from dialects.anthropic.stream import MessagesStream
from dialects.anthropic.thinking import ADAPTIVE_THINKING, NO_XHIGH_EFFORT, THINKING_TOGGLE

__all__ = [
    "ADAPTIVE_THINKING",
    "DEFAULT_MAX_TOKENS",
    "NO_PREFILL",
    "NO_XHIGH_EFFORT",
    "THINKING_TOGGLE",
    "Anthropic",
    "MessagesStream",
]
