"""How much a model reasons. Converse has no word of its own for it: each family of models has another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dialects.anthropic.thinking import (
    ADAPTIVE_THINKING,
    THINKING_TOGGLE,
    effort_for,
    plan_thinking,
)
from dialects.chat import ChatBody
from dialects.parameters import supports
from dialects.reasoning_wish import ReasoningWish, reasoning_wish
from dialects.upstream import Target

# The words of the catalogue for how a model is told to reason. A model with none of them reasons as it likes.
THINKING_BUDGET = "thinking-budget"  # Claude, a budget of tokens
REASONING_EFFORT = "reasoning-effort"  # gpt-oss, Kimi: `reasoning_effort`
REASONING_OBJECT = "reasoning-object"  # GPT: `reasoning.effort`
REASONING_CONFIG = "reasoning-config"  # Nova: `reasoningConfig.maxReasoningEffort`

_CLAUDE = frozenset((THINKING_BUDGET, ADAPTIVE_THINKING, THINKING_TOGGLE))
_THREE_LEVELS = {"max": "high", "xhigh": "high"}


@dataclass(frozen=True, slots=True)
class ReasoningPlan:
    """What a request says about it.

    Attributes:
        fields: members of `additionalModelRequestFields`.
        effort: the effort of the whole answer, None to leave it out.
        limits_sampling: whether temperatures and the like do not go together with it.
        needs_limit: whether the request has to state its output limit.
        unlimited: whether neither an output limit nor any sampling parameter goes together with it.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    effort: str | None = None
    limits_sampling: bool = False
    needs_limit: bool = False
    unlimited: bool = False


def is_claude(target: Target) -> bool:
    """Whether the model reasons in Claude's way, and takes its signed reasoning back."""
    return not _CLAUDE.isdisjoint(target.quirks)


def plan_reasoning(body: ChatBody, target: Target, limit: int, *, possible: bool, whole: bool) -> ReasoningPlan:
    """Decide on reasoning. For the arguments see `dialects.anthropic.thinking.plan_thinking`."""
    if is_claude(target):
        thinking = plan_thinking(body, target.supported, target.quirks, limit, possible=possible, whole=whole)
        fields = {} if thinking.config is None else {"thinking": thinking.config}
        needs_limit = thinking.config is not None and "budget_tokens" in thinking.config
        return ReasoningPlan(fields, thinking.effort, limits_sampling=thinking.on, needs_limit=needs_limit)
    wish = reasoning_wish(body) if supports("reasoning", target.supported) else ReasoningWish()
    if not (wish.is_on or wish.off):
        return ReasoningPlan()
    if REASONING_OBJECT in target.quirks:
        return ReasoningPlan({"reasoning": {"effort": "none" if wish.off else effort_for(wish, limit)}})
    if REASONING_EFFORT in target.quirks and not wish.off:
        return ReasoningPlan({"reasoning_effort": _of_three(wish, limit)})
    if REASONING_CONFIG in target.quirks and not wish.off:
        return _nova(_of_three(wish, limit), body)
    return ReasoningPlan()


def _nova(level: str, body: ChatBody) -> ReasoningPlan:
    # At its highest the model takes no output limit; the caller's limit counts for more.
    if level == "high" and body.output_limit is not None:
        level = "medium"
    config = {"type": "enabled", "maxReasoningEffort": level}
    return ReasoningPlan({"reasoningConfig": config}, unlimited=level == "high")


def _of_three(wish: ReasoningWish, limit: int) -> str:
    level = effort_for(wish, limit) or "medium"
    return _THREE_LEVELS.get(level, level)
