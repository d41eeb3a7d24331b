"""Why an answer ended, and what it used, in the words of the Messages API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Words of the API itself, which its own models' answers come with.
NATIVE_REASONS = frozenset(
    {"end_turn", "max_tokens", "model_context_window_exceeded", "stop_sequence", "tool_use", "pause_turn", "refusal"}
)
_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_TIERS = {"default": "standard", "standard": "standard", "priority": "priority", "batch": "batch"}


@dataclass(slots=True)
class Ending:
    """What pieces say of the end of an answer; grows with them.

    Attributes:
        finish_reason: in chat completions' words.
        native_finish_reason: in the provider's words.
        stop_sequence: the one that was met, where the provider says it.
        refusal: why the model would not answer.
    """

    finish_reason: str = ""
    native_finish_reason: str = ""
    stop_sequence: str | None = None
    refusal: str = ""

    def members(self, *, calls_tools: bool, stop_sequences: Sequence[str]) -> dict[str, Any]:
        """Write the members of a message that say why it ended.

        Args:
            calls_tools: whether the answer has tool calls.
            stop_sequences: of the request. Where it has one only, that is the one that was met.
        """
        sequence = self.stop_sequence
        if sequence is None and self.native_finish_reason == "stop_sequence" and len(stop_sequences) == 1:
            sequence = stop_sequences[0]
        reason = self._reason(calls_tools=calls_tools)
        details = None
        if reason == "refusal":
            details = {"type": "refusal", "category": None, "explanation": self.refusal or None}
        return {
            "stop_reason": reason,
            "stop_sequence": sequence if reason == "stop_sequence" else None,
            "stop_details": details,
            "container": None,
        }

    def _reason(self, *, calls_tools: bool) -> str:
        if self.native_finish_reason in NATIVE_REASONS:
            return self.native_finish_reason
        if self.refusal:
            return "refusal"
        if self.stop_sequence is not None:
            return "stop_sequence"
        reason = _REASONS.get(self.finish_reason, "end_turn")
        # Some servers say `stop` after calls too; clients go by this word.
        return "tool_use" if calls_tools and reason == "end_turn" else reason


@dataclass(frozen=True, slots=True)
class Counts:
    """Token counts as chat completions has them: `prompt` includes `cached` and `cache_write`, `completion` the `reasoning`."""

    prompt: int = 0
    completion: int = 0
    reasoning: int = 0
    cached: int = 0
    cache_write: int = 0


def usage_members(counts: Counts, service_tier: str) -> dict[str, Any]:
    """Write the usage of a message, whose input tokens leave out what a cache was read for or written with."""
    return {
        "input_tokens": max(0, counts.prompt - counts.cached - counts.cache_write),
        "output_tokens": counts.completion,
        "cache_read_input_tokens": counts.cached,
        "cache_creation_input_tokens": counts.cache_write,
        # How long each lives is not known.
        "cache_creation": None,
        "output_tokens_details": {"thinking_tokens": counts.reasoning},
        "server_tool_use": None,
        "inference_geo": None,
        "service_tier": _TIERS.get(service_tier, "standard"),
    }
